"""Parquet files (extra ``parquet``). Types are kept, but for times, decimals and phone numbers, which become text."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.recipients.columns import field_sources
from mobiz_async.recipients.files import BLOCK, MAX_LINE, SourceFileError
from mobiz_async.recipients.stages import LARGEST_SLICE
from mobiz_async.recipients.tables import Table, TableOptions, checked_header, dropped_columns
from mobiz_async.recipients.typed import Maker, NoValue, plain

__all__ = ["open_parquet"]

_UNREADABLE = NoValue(Reason.NOT_ENCODABLE)
_NANOSECONDS = "ns"


def open_parquet(name: str, stream: BinaryIO, options: TableOptions) -> Table:
    """Return the table of a Parquet file, read row group by row group, and only the columns that are asked for.

    Times are read to the microsecond. A value that Python has no room for, such as a date in the year 30,000, makes its
    row a bad record. So does a phone number in a column of floats of 32 or 16 bits, which have digits for seven places.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra, without types
        import pyarrow.parquet as pq  # type: ignore[import-untyped]  # noqa: PLC0415  # the same
    except ImportError:
        raise ConfigurationError("Parquet files need: pip install 'mobiz-async[parquet]'") from None
    try:
        file = pq.ParquetFile(stream)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise SourceFileError(name, f"it cannot be read as Parquet ({type(error).__name__})") from None
    columns = checked_header(name, schema.names)
    sources = field_sources(options.mapping, columns, dropped_columns(columns))
    wanted = [place for place, column in enumerate(columns) if any(column in source.columns for source in sources)]
    types = [schema.field(place).type for place in range(len(columns))]
    inexact = [
        columns[place] for place in wanted if pa.types.is_float32(types[place]) or pa.types.is_float16(types[place])
    ]
    try:
        too_long = _longest_row(file, stream, [schema.names[place] for place in wanted]) > MAX_LINE
    except (pa.ArrowException, OSError):
        too_long = False  # whoever reads it tells
    if too_long:
        raise SourceFileError(name, f"a row of it may be longer than {MAX_LINE:,} bytes")
    maker = Maker([columns[place] for place in wanted], sources, options, convert=plain, inexact=inexact)

    def slices() -> Iterator[list[Any]]:
        row = 0
        try:
            # A name with a dot is that of a column, or of a part of one: more may be read than was asked for.
            for batch in file.iter_batches(LARGEST_SLICE, columns=[schema.names[place] for place in wanted]):
                cells = [_cells(batch.column(schema.names[place]), pa) for place in wanted]
                row += batch.num_rows
                yield maker.made(list(zip(*cells, strict=True)) or [()] * batch.num_rows)
        except (pa.ArrowException, OSError) as error:
            raise SourceFileError(name, f"it cannot be read further ({type(error).__name__})", row + 1) from None

    return Table(maker.fields, slices(), file.metadata.num_rows)


def _longest_row(file: Any, stream: BinaryIO, names: Collection[str]) -> int:
    """Return how many bytes a row may have, going by what the file keeps of a column once for many rows.

    250 rows with the same 50 MB are made of a file of 3 kB.
    """
    import pyarrow.compute as pc  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra, without types

    leaves = map(file.schema.column, range(len(file.schema)))
    texts = {leaf.path for leaf in leaves if leaf.path in names and leaf.physical_type == "BYTE_ARRAY"}
    # Without a buffer all of a column would be read for its dictionary.
    packed = type(file)(stream, metadata=file.metadata, read_dictionary=[*texts], buffer_size=BLOCK)
    longest = 0
    for place in range(file.num_row_groups):
        group = file.metadata.row_group(place)
        parts = map(group.column, range(group.num_columns))
        large = texts.intersection(part.path_in_schema for part in parts if part.total_uncompressed_size > MAX_LINE)
        if large:
            first = next(packed.iter_batches(1, row_groups=[place], columns=[*large]))
            lengths = [pc.max(pc.binary_length(column.dictionary)).as_py() or 0 for column in first.columns]
            longest = max(longest, sum(lengths))
    return longest


def _cells(column: Any, pa: Any) -> list[Any]:
    """Return the values of a column, ``NoValue`` for one that cannot be read."""
    kind = column.type
    if pa.types.is_float32(kind):
        # By way of text, which is short: 9.99 would otherwise come out as 9.989999771118164.
        return [None if text is None else float(text) for text in column.cast(pa.string()).to_pylist()]
    if pa.types.is_float16(kind):
        return [None if value is None else float(value) for value in column.to_pylist()]  # some releases give NumPy's
    if getattr(kind, "unit", None) == _NANOSECONDS:
        column = column.cast(_to_the_microsecond(kind, pa), safe=False)
    faults = (pa.ArrowException, ValueError, OverflowError, LookupError)
    try:
        values: list[Any] = column.to_pylist()
    except faults:
        return [_value(scalar, faults) for scalar in column]
    return values


def _value(scalar: Any, faults: tuple[type[Exception], ...]) -> Any:
    try:
        return scalar.as_py()
    except faults:
        return _UNREADABLE


def _to_the_microsecond(kind: Any, pa: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.duration("us") if pa.types.is_duration(kind) else pa.time64("us")
