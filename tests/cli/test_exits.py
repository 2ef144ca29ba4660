"""Exit codes: one table, and one code where several would apply."""

from __future__ import annotations

import signal

import pytest

from mobiz_async import errors
from mobiz_async.cli.account import MissingKeyError
from mobiz_async.cli.exits import MEANING, Exit, exit_of_error, exit_of_report, exit_of_signal
from mobiz_async.models import StopReason
from mobiz_async.recipients.files import SourceFileError
from mobiz_async.reports import BulkReport


def report(stopped: StopReason | None = None, **counts: int) -> BulkReport:
    skipped = counts.get("skipped", 0)
    return BulkReport(
        read=sum(counts.values()), stopped=stopped, skipped_by_reason={"missing": skipped} if skipped else {}, **counts
    )


INVALID = errors.InvalidRecordError(3, "Number", errors.Reason.MISSING)


@pytest.mark.parametrize(
    ("ended", "error", "interrupted", "code"),
    [
        (report(), None, None, Exit.OK),
        (report(accepted=3), None, None, Exit.OK),
        (BulkReport(read=3, accepted=2, skipped=1, skipped_by_reason={"duplicate": 1}), None, None, Exit.OK),
        (BulkReport(read=1, skipped=1, skipped_by_reason={"on the suppression list": 1}), None, None, Exit.OK),
        (report(accepted=3, skipped=1), None, None, Exit.INCOMPLETE),
        (report(accepted=3, rejected=1), None, None, Exit.INCOMPLETE),
        (report(accepted=3, not_sent=1), None, None, Exit.INCOMPLETE),
        (report(StopReason.DEADLINE, accepted=3), None, None, Exit.INCOMPLETE),
        (report(StopReason.JOURNAL, not_sent=3), errors.JournalError("full"), None, Exit.INCOMPLETE),
        (report(accepted=3, unknown=1), None, None, Exit.UNKNOWN),
        (report(rejected=3, unknown=1), None, None, Exit.UNKNOWN),
        (report(StopReason.SOURCE, not_sent=3), INVALID, None, Exit.USAGE),
        (report(StopReason.SOURCE, not_sent=3), errors.SourceChangedError(3), None, Exit.USAGE),
        (report(StopReason.SOURCE, not_sent=3), errors.SourceError(3, "OSError"), None, Exit.USAGE),
        (report(StopReason.SOURCE, unknown=3), INVALID, None, Exit.UNKNOWN),
        (report(StopReason.CREDENTIALS, rejected=3), None, None, Exit.CREDENTIALS),
        (report(StopReason.CREDENTIALS, rejected=3, unknown=1), None, None, Exit.CREDENTIALS),
        (report(StopReason.ASKED, accepted=3), None, Exit.INTERRUPTED, Exit.INTERRUPTED),
        (report(StopReason.CANCELLED, unknown=3), None, Exit.TERMINATED, Exit.TERMINATED),
        (report(StopReason.CREDENTIALS, rejected=3), None, Exit.INTERRUPTED, Exit.CREDENTIALS),
        (report(accepted=3), None, Exit.INTERRUPTED, Exit.OK),
    ],
)
def test_a_run_ends_with_the_gravest_code_that_applies(
    ended: BulkReport, error: errors.MobizError | None, interrupted: Exit | None, code: Exit
) -> None:
    assert exit_of_report(ended, error, interrupted) is code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MissingKeyError(["MOBIZ_API_KEY"]), Exit.CREDENTIALS),
        (errors.AuthenticationError("refused"), Exit.CREDENTIALS),
        (errors.EngagementNotFoundError("not found"), Exit.CREDENTIALS),
        (errors.OutcomeUnknownError("no answer"), Exit.UNKNOWN),
        (errors.RejectedError("refused"), Exit.INCOMPLETE),
        (errors.ThrottledError("later"), Exit.INCOMPLETE),
        (errors.ConnectError("no connection"), Exit.INCOMPLETE),
        (errors.ConfigurationError("contradiction"), Exit.USAGE),
        (errors.JournalError("in use"), Exit.USAGE),
        (INVALID, Exit.USAGE),
        (SourceFileError("spring.csv", "is broken"), Exit.USAGE),
        (errors.MobizError("something else"), Exit.INCOMPLETE),
    ],
)
def test_an_error_of_ours_has_its_code(error: errors.MobizError, code: Exit) -> None:
    assert exit_of_error(error) is code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_128_and_its_number(number: int, code: int) -> None:
    assert exit_of_signal(number) == code


def test_each_code_has_its_line_in_the_help(cli) -> None:
    text = cli("--help").out

    assert set(MEANING) == set(Exit)
    assert [code for code in Exit if f"{code.value:>3}  {MEANING[code]}" not in text] == []


def test_the_help_fits_into_80_columns(cli) -> None:
    commands = ("", "send", "trigger", "schedule", "create-list", "sandbox", "demo", "journal")
    journals = ("journal status", "journal export", "journal resolve")
    texts = [cli(*command.split(), "--help").out for command in (*commands, *journals)]

    assert [line for text in texts for line in text.splitlines() if len(line) > 80] == []
