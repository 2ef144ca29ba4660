"""What a run that was told to be quiet says in its one line, where it did not go well."""

from __future__ import annotations

import pytest

from mobiz_async.cli.reporting import failure_line
from mobiz_async.errors import RejectedError
from mobiz_async.models import Outcome, StopReason
from mobiz_async.reports import BulkReport, ChunkOutcome

REFUSED = ChunkOutcome(0, 1, 3, Outcome.REJECTED, error=RejectedError("SendBulkMessages: rejected"))
RESUMED = ChunkOutcome(0, 1, 3, Outcome.REJECTED, resumed=True)


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (
            BulkReport(read=3, rejected=3, failures=(REFUSED,)),
            "3 of 3 records were rejected; the first: SendBulkMessages: rejected",
        ),
        (
            BulkReport(read=9, accepted=5, rejected=1, not_sent=3, failures=(RESUMED, REFUSED)),
            "1 of 9 records was rejected, 3 of 9 records were not sent; the first: SendBulkMessages: rejected",
        ),
        (BulkReport(read=1, rejected=1, failures=(RESUMED,)), "1 of 1 record was rejected"),
        (
            BulkReport(read=2, accepted=1, skipped=1, skipped_by_reason={"missing": 1}),
            "1 of 2 records was held back; the first: missing",
        ),
        (
            BulkReport(read=2, accepted=2, stopped=StopReason.DEADLINE),
            f"2 records were read; stopped early: {StopReason.DEADLINE.value}",
        ),
        (
            BulkReport(read=1, skipped=1, skipped_by_reason={"duplicate": 1}, stopped=StopReason.ASKED),
            "1 record was read; stopped early: interrupted",
        ),
    ],
)
def test_it_counts_what_was_not_accepted_and_gives_the_first_reason(report: BulkReport, line: str) -> None:
    assert failure_line(report) == line
