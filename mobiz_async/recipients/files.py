"""Files of recipients as UTF-8: decompressed, recoded, and cut into blocks of whole lines.

Everything that can be wrong with the bytes of a file is found here, and each is told only after all whole lines before
it have been handed over, so that whoever counts rows knows which row it hit.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import attrs

from mobiz_async.errors import ConfigurationError, MobizError

__all__ = [
    "MAX_LINE",
    "BinaryFile",
    "BrokenFile",
    "SourceFileError",
    "line_blocks",
    "not_utf8",
    "open_binary",
    "text_of_head",
]

BLOCK = 1 << 16
"""Bytes read at once."""

MAX_LINE = 1 << 20
"""Bytes in one line, at most: what stands between an unbroken file of 100 MB and our memory."""

MAX_BLANK = 1 << 22
"""Bytes of blank lines, one after the other: no record comes of them, and nobody has a turn until one does."""

_FED = 1 << 10
"""Bytes that zstd is given at once, of which it may make 32 MB; it cannot be told to stop."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PACKED = re.compile(rb"(?P<bzip2>BZh[1-9]1AY)|(?P<xz>\xfd7zXZ)|(?P<RAR>Rar!\x1a)|(?P<SevenZip>7z\xbc\xaf)").match
_LEAST_LOOKED_AT = 8
"""Bytes that a stream has to give before its kind is decided: as many as an old Excel file is known by.

A pipe that says less, and does not end, is waited for; so this is not to be raised without need.
"""
_BEGUN = re.compile(rb"(?:\xef\xbb\xbf)?[\s\0]*+\[?+[\s\0]*+\{?+[\s\0]*+[^\s\0]").match
"""What text has to begin with before anybody can say what it is: more than blanks and the braces of JSON."""

# The longer mark first: UTF-32's begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class SourceFileError(MobizError):
    """A file of recipients cannot be read, or cannot be read further.

    ``row`` is the record that could not be read, from 1 (a header is not counted), None when the file as a whole is at
    fault. All records before it were handed over. The message names the file, and nothing of what is in it but the
    names of columns.
    """

    def __init__(self, name: str, what: str, row: int | None = None) -> None:
        """Name the file, the fault and the record."""
        where = name if row is None else f"{name}, record {row:,}"
        super().__init__(f"{where}: {what}")
        self.name = name
        self.row = row


class BrokenFile(Exception):  # noqa: N818  # a signal between modules; whoever counts rows makes an error of it
    """The bytes cannot be read further; the text says why."""


Read = Callable[[int], bytes]
"""Gives the next bytes, some of as many as are asked for; none at the end."""


@attrs.define
class BinaryFile:
    """An open file or stream: ``read`` gives its bytes, decompressed; ``head`` are the first of them, given again.

    ``head`` is as long as it takes to say what the file is, in however small pieces a pipe hands it over.
    """

    name: str
    read: Read
    head: bytes = attrs.field(repr=False)
    raw: BinaryIO
    compressed: bool
    size: int | None
    _close: Callable[[], None]
    _read_to: float = 0.0

    def fraction(self) -> float | None:
        """How much of the file has been read, 0.0 to 1.0 (a closed one: when it was closed); None without a size.

        A stream has none, and what some systems make up as it is read (/proc) has 0.
        """
        if not self.size:
            return None
        if not self.raw.closed:
            self._read_to = self.raw.tell() / self.size
        return min(self._read_to, 1.0)

    def close(self) -> None:
        """Close the file, or let go of a stream that is somebody else's."""
        self.fraction()
        self._close()


def open_binary(source: Any) -> BinaryFile:
    """Open a path, ``"-"`` for standard input, or a binary stream, and look through gzip and zstd.

    Raises:
        SourceFileError: it cannot be opened.
        ConfigurationError: it is a stream of text, or needs the extra ``zstd``.

    """
    if source == "-":
        source = sys.stdin.buffer
    if isinstance(source, (str, os.PathLike)):
        return _open_path(Path(source))
    if isinstance(source, io.TextIOBase) or not hasattr(source, "read"):
        raise ConfigurationError(
            "recipients are read from a path or a binary stream: open(..., 'rb'), sys.stdin.buffer"
        )
    return _look_through(str(getattr(source, "name", "the stream")), source, None, lambda: None)


def _open_path(path: Path) -> BinaryFile:
    try:
        raw = path.open("rb")
        status = os.fstat(raw.fileno())
    except OSError as error:
        raise SourceFileError(str(path), error.strerror or "cannot be opened") from error
    try:
        # A pipe may have a path too, /dev/stdin or that of a shell's <(command), and has no size.
        return _look_through(str(path), raw, status.st_size if stat.S_ISREG(status.st_mode) else None, raw.close)
    except BaseException:
        raw.close()
        raise


def _look_through(name: str, raw: BinaryIO, size: int | None, close: Callable[[], None]) -> BinaryFile:
    packed = _Ahead(getattr(raw, "read1", raw.read))
    if packed.fault is not None and not packed.head:
        raise SourceFileError(name, str(packed.fault)) from packed.fault.__cause__
    read: Read
    if packed.head.startswith(_GZIP):
        read = gzip.GzipFile(fileobj=cast("BinaryIO", packed), mode="rb").read1
    elif packed.head.startswith(_ZSTD):
        read = _zstd_reader(packed.read)
    elif (other := _PACKED(packed.head)) is not None:
        raise SourceFileError(name, f"it is packed by {other.lastgroup}; unpack it first, or pack it by gzip or zstd")
    else:
        return BinaryFile(name, packed.read, packed.head, raw, False, size, close)
    text = _Ahead(read)  # what is wrong with the data already here is told by its read
    return BinaryFile(name, text.read, text.head, raw, True, size, close)


class _Ahead:
    """Reads bytes of which the first were looked at before: ``head``."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.fault: BrokenFile | None = None
        """What ended the head, told again to whoever reads so far."""
        self.head = b""
        try:
            # Blank lines alone say nothing of a file; somewhere this has to end.
            while len(self.head) < _LEAST_LOOKED_AT or (not _BEGUN(self.head) and len(self.head) <= MAX_LINE):
                block = _guarded(read, BLOCK)
                if not block:
                    break
                self.head += block
        except BrokenFile as fault:
            self.fault = fault
        self._again = self.head

    def read(self, wanted: int) -> bytes:
        if self._again:
            block, self._again = self._again[:wanted], self._again[wanted:]
            return block
        if self.fault is not None:
            raise self.fault
        return self._read(wanted)


def _zstd_reader(read: Read) -> Read:
    try:
        import zstandard  # noqa: PLC0415  # an extra
    except ImportError:
        raise ConfigurationError("zstd files need: pip install 'mobiz-async[zstd]'") from None
    chunks = _zstd_chunks(read, zstandard)
    return lambda _: next(chunks, b"")


def _zstd_chunks(read: Read, zstandard: Any) -> Iterator[bytes]:
    # Frame by frame and by hand: the library's own file object takes the end of a truncated file for its end.
    frame = None
    while packed := read(BLOCK >> 2):
        made: list[bytes] = []
        while packed:
            if frame is None:
                frame = zstandard.ZstdDecompressor().decompressobj()
            fed, packed = packed[:_FED], packed[_FED:]
            try:
                made.append(frame.decompress(fed))
            except zstandard.ZstdError:
                raise BrokenFile("the compressed data is damaged") from None
            if frame.eof:
                packed = frame.unused_data + packed
                frame = None
            if len(made[-1]) >= BLOCK:
                yield from _in_blocks(made)
        yield from _in_blocks(made)
    if frame is not None:
        raise BrokenFile("the compressed file ends early")


def _in_blocks(made: list[bytes]) -> Iterator[bytes]:
    """Yield what was made, none of it larger than a block, and forget it."""
    whole = b"".join(made)
    made.clear()
    for start in range(0, len(whole), BLOCK):
        yield whole[start : start + BLOCK]


def _guarded(read: Read, wanted: int) -> bytes:
    try:
        block: bytes | None = read(wanted)
    except EOFError:
        raise BrokenFile("the compressed file ends early") from None
    except (gzip.BadGzipFile, zlib.error):
        raise BrokenFile("the compressed data is damaged") from None
    except OSError as error:
        raise BrokenFile(error.strerror or "it cannot be read further") from error
    if block is None:  # which is not its end
        raise BrokenFile("it is a stream that does not wait for what is still to come; make it block")
    return block


def text_of_head(file: BinaryFile, encoding: str | None = None) -> str:
    """Return the first characters of ``file``, as far as they are any, without a byte order mark."""
    try:
        mark, name = _encoding_of(file.head, codecs.lookup(encoding).name if encoding is not None else None)
        return str(file.head[mark:].decode(name, "ignore"))
    except (LookupError, TypeError, UnicodeError):
        return ""  # line_blocks tells what is wrong


def line_blocks(file: BinaryFile, encoding: str | None = None) -> Iterator[bytes]:
    """Yield ``file`` as UTF-8, in blocks that end with a line's end (the last one may not).

    ``encoding`` None means UTF-8; a byte order mark says more than either. What is UTF-8 already is not looked at:
    decoding it line by line is the reader's, and ``not_utf8`` the fault to tell.

    Raises (while iterating, and after every whole line before the fault):
        BrokenFile: truncated, damaged, not in the encoding, or a line is longer than ``MAX_LINE``.
        ConfigurationError: there is no such encoding (at once).

    """
    try:
        asked = codecs.lookup(encoding).name if encoding is not None else None
        mark, name = _encoding_of(file.head, asked)
        decoder = codecs.getincrementaldecoder(name)()
        is_text = decoder.decode(b"") == ""
    except (LookupError, TypeError, ValueError):  # of which "undefined" and "uu" have kinds of their own
        is_text = False
    if not is_text:
        raise ConfigurationError(f"no text encoding is called {encoding!r}")
    return _blocks(file, _as_it_is if name == "utf-8" else _Recoder(decoder, name, mark), mark)


def not_utf8(error: UnicodeDecodeError) -> BrokenFile:
    """Return the fault for a line that is not UTF-8."""
    return BrokenFile(
        f"byte {error.start + 1:,} of its line is not UTF-8; if the file is in another encoding (Excel often writes "
        "cp1252), name it, or save it as UTF-8"
    )


def _encoding_of(head: bytes, asked: str | None) -> tuple[int, str]:
    """Return how many bytes the byte order mark takes, and the encoding."""
    for mark, name in _BYTE_ORDER_MARKS:
        if head.startswith(mark):  # no text of another encoding begins so, whatever was asked for
            return len(mark), name
    return 0, asked or "utf-8"


Recode = Callable[[bytes], tuple[bytes, BrokenFile | None]]
"""A block (empty at the end of the file) to UTF-8, up to where it is not text, and the fault there."""


def _blocks(file: BinaryFile, recode: Recode, mark: int) -> Iterator[bytes]:
    carry = b""
    blank = 0
    fault: BrokenFile | None = None
    at_end = False
    while not at_end and fault is None:
        try:
            block = _guarded(file.read, BLOCK)
        except BrokenFile as error:
            fault = error
        else:
            at_end = not block
            block, mark = block[mark:], max(mark - len(block), 0)
            if block or at_end:
                block, fault = recode(block)
            blank = blank + len(block) if block.isspace() else 0
            if blank > MAX_BLANK:
                fault = BrokenFile(f"there are more than {MAX_BLANK:,} bytes of blank lines")
            carry += block
        cut = carry.rfind(b"\n") + 1 or carry.rfind(b"\r", 0, -1) + 1
        if at_end and fault is None:
            cut = len(carry)
        whole, carry = carry[:cut], carry[cut:]
        if whole:
            yield whole
        if len(carry) > MAX_LINE and fault is None:
            fault = BrokenFile(f"a line is longer than {MAX_LINE:,} bytes")
    if fault is not None:
        raise fault


def _as_it_is(block: bytes) -> tuple[bytes, BrokenFile | None]:
    return block, None


_WITHOUT_ORDER = ("utf-16", "utf-32")
"""Of which a file says the order itself, by a mark at its beginning; then its encoding is another one."""


class _Recoder:
    def __init__(self, decoder: codecs.IncrementalDecoder, encoding: str, offset: int) -> None:
        """``offset`` is that of the first block in the file."""
        self._decoder = decoder
        self._encoding = encoding
        self._offset = offset

    def __call__(self, block: bytes) -> tuple[bytes, BrokenFile | None]:
        pending = len(self._decoder.getstate()[0])
        fault: BrokenFile | None = None
        try:
            text = self._decoder.decode(block, not block)
        except UnicodeError as error:
            # Where nobody told the order of the bytes of UTF-16, Python 3.13 says that the first is wrong.
            if self._encoding in _WITHOUT_ORDER or not isinstance(error, UnicodeDecodeError):
                text = ""
                fault = BrokenFile(f"it is not {self._encoding.upper()}, or has no byte order mark")
            else:
                start = error.start - pending
                text = self._decoder.decode(block[: max(start, 0)])
                fault = BrokenFile(f"byte {self._offset + start + 1:,} is not {self._encoding.upper()}")
        self._offset += len(block)
        return text.encode("utf-8", "replace"), fault
