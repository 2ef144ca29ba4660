"""The exception tree: its shape, its pickles, and that its drawing tells the truth."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from mobiz_async import BatchOutcome, BulkReport, ChunkOutcome, Outcome, StopReason, TriggerReport, errors
from mobiz_async.errors import (
    InvalidRecordError,
    MobizError,
    OutcomeUnknownError,
    Reason,
    RequestError,
    SourceChangedError,
    SourceError,
    ThrottledError,
)

KINDS = [getattr(errors, name) for name in errors.__all__ if name != "Reason"]


def made(kind: type[MobizError]) -> MobizError:
    if issubclass(kind, RequestError):
        return kind(
            "TriggerMessage: it happened",
            operation="TriggerMessage",
            status=429,
            attempts=3,
            result_code=2,
            reference="ref-1",
            retry_after=1.5,
        )
    if kind is InvalidRecordError:
        return InvalidRecordError(3, "Number", Reason.MISSING)
    if kind is SourceError:
        return SourceError(1_234_567, "ValueError")
    if kind is SourceChangedError:
        return SourceChangedError(5)
    return kind("it happened")


def test_the_drawing_at_the_head_of_the_module_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in str(errors.__doc__).splitlines():
        found = re.match(r"^([\s│├└─]*)([A-Z]\w+)", line)
        if found is None or not found[2].endswith("Error"):
            continue
        depth = len(found[1])
        above = [entry for entry in above if entry[0] < depth]
        drawn[found[2]] = above[-1][1] if above else "Exception"
        above.append((depth, found[2]))

    assert {kind.__name__: kind.__base__.__name__ for kind in KINDS} == drawn


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_every_error_survives_pickling_and_copying(kind: type[MobizError], again) -> None:
    error = made(kind)

    other = again(error)

    assert (kind, error.args, str(error), vars(error)) == (type(other), other.args, str(other), vars(other))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_every_pickle_protocol(protocol: int) -> None:
    error = made(ThrottledError)

    assert vars(error) == vars(pickle.loads(pickle.dumps(error, protocol)))


def test_an_error_that_ended_a_run_survives_pickling_with_its_report() -> None:
    """The error holds the report and the report holds the error: a circle."""
    error = made(InvalidRecordError)
    error.report = BulkReport(read=2, accepted=2, stopped=StopReason.SOURCE, error=error)

    other = pickle.loads(pickle.dumps(error))

    assert (other.report.accepted, other.report.stopped) == (2, StopReason.SOURCE)
    assert other.report.error is other


def test_a_report_survives_pickling_with_the_errors_of_its_chunks() -> None:
    error = made(OutcomeUnknownError)
    chunk = ChunkOutcome(0, 1, 2, Outcome.UNKNOWN, 1, None, error)
    report = BulkReport(read=2, unknown=2, failures=(chunk,), failed_chunks=1)
    with pytest.raises(OutcomeUnknownError):
        report.raise_for_failures()

    other = pickle.loads(pickle.dumps(report))

    assert other.failures[0].error.report is other


@pytest.mark.parametrize("again", [lambda report: pickle.loads(pickle.dumps(report)), copy.deepcopy])
def test_a_report_is_equal_to_its_copy_whatever_failed(again) -> None:
    error = made(OutcomeUnknownError)
    chunk = ChunkOutcome(0, 1, 2, Outcome.UNKNOWN, 1, None, error)
    batch = BatchOutcome(0, 1, 2, Outcome.UNKNOWN, 1, None, error)
    for report in (BulkReport(read=2, unknown=2, failures=(chunk,), failed_chunks=1), TriggerReport((batch,), 1)):
        assert (again(report), hash(again(report))) == (report, hash(report))


def test_an_error_deeply_copied_takes_its_report_along() -> None:
    error = made(SourceError)
    error.report = TriggerReport(requests=4)

    assert copy.deepcopy(error).report == TriggerReport(requests=4)


def test_a_report_is_nothing_outside_runs() -> None:
    assert made(ThrottledError).report is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InvalidRecordError(1_234, "Number", Reason.MISSING), "record 1,234, field 'Number': missing"),
        (InvalidRecordError(7, None, Reason.KEY_NOT_TEXT), "record 7: a field name is not text"),
        (SourceError(9, "ValueError"), "the source of records raised ValueError at record 9"),
        (
            SourceChangedError(9),
            "the source has changed since the journal was written: record 9 differs",
        ),
    ],
)
def test_an_error_about_a_record_names_its_place_and_the_reason(error: MobizError, text: str) -> None:
    assert text == str(error)


def test_every_kind_is_documented() -> None:
    assert [kind.__name__ for kind in KINDS if not inspect.getdoc(kind)] == []


def test_an_address_for_a_field_name_is_not_shown() -> None:
    """A file without a header has its first recipient's for one."""
    error = InvalidRecordError(1, "thandi82@example.com", Reason.MISSING)

    assert (error.field, str(error)) == ("[address]", "record 1, field '[address]': missing")
