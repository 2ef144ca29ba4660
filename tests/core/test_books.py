"""The books: every record read is under exactly one heading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobiz_async import ChunkOutcome, Outcome, Reason, StopReason
from mobiz_async.books import Books
from mobiz_async.recipients.stages import Problem


def chunk(outcome: Outcome, count: int = 1, *, resumed: bool = False, index: int = 0) -> ChunkOutcome:
    return ChunkOutcome(index, 1, count, outcome, resumed=resumed, body=b"[1]")


def test_what_was_read_and_never_settled_is_not_sent() -> None:
    books = Books(1)
    books.settle(chunk(Outcome.ACCEPTED, 3))
    books.skip(Problem(4, "Number", Reason.MISSING))

    report = books.close(10, 1.5, StopReason.ASKED, None)

    assert (report.read, report.accepted, report.skipped, report.not_sent, report.elapsed) == (10, 3, 1, 6, 1.5)


def test_books_that_settled_more_than_was_read_do_not_close() -> None:
    books = Books(1)
    books.settle(chunk(Outcome.ACCEPTED, 3))

    assert books.close(3, 0.0, None, None).ok
    books.stats.accepted += 1
    with pytest.raises(AssertionError):
        books.close(3, 0.0, None, None)


def test_skipped_records_are_counted_by_reason() -> None:
    books = Books(1)
    for reason in (Reason.MISSING, Reason.DUPLICATE, Reason.MISSING):
        books.skip(Problem(1, None, reason))

    assert books.close(3, 0.0, None, None).skipped_by_reason == {"missing": 2, "duplicate": 1}


def test_what_an_earlier_run_settled_is_counted_as_resumed() -> None:
    books = Books(1)
    books.settle(chunk(Outcome.ACCEPTED, 3, resumed=True))
    books.settle(chunk(Outcome.ACCEPTED, 2))

    assert books.close(5, 0.0, None, None).resumed == 3


def test_failures_are_kept_without_their_records() -> None:
    books = Books(1)
    for index, outcome in enumerate((Outcome.UNKNOWN, Outcome.ACCEPTED, Outcome.REJECTED, Outcome.NOT_SENT)):
        books.settle(chunk(outcome, index=index))

    report = books.close(4, 0.0, None, None)

    assert (report.failed_chunks, [(one.index, one.body) for one in report.failures]) == (3, [(0, None), (3, None)])


def test_the_failure_rate_is_a_share_of_what_is_settled() -> None:
    books = Books(1)
    rates = [books.failure_rate]
    for outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.REJECTED, Outcome.NOT_SENT):
        books.settle(chunk(outcome))
        rates.append(books.failure_rate)

    assert rates == [0.0, 0.0, 1 / 2, 2 / 3, 3 / 4]


@given(st.lists(st.tuples(st.sampled_from(Outcome), st.integers(1, 10_000))), st.integers(0, 50), st.integers(0, 50))
def test_the_books_balance_whatever_happens(settled, skipped: int, unsent: int) -> None:
    books = Books(2)
    for outcome, count in settled:
        books.settle(chunk(outcome, count))
    for row in range(skipped):
        books.skip(Problem(row, None, Reason.EMPTY))
    read = sum(count for _, count in settled) + skipped + unsent

    report = books.close(read, 0.0, None, None)

    assert read == report.accepted + report.rejected + report.not_sent + report.unknown + report.skipped
    assert report.not_sent == unsent + sum(count for outcome, count in settled if outcome is Outcome.NOT_SENT)
