"""The books of a bulk run: every record read is counted once, whatever happens. No I/O, no loop."""

from __future__ import annotations

import attrs

from mobiz_async.errors import MobizError, RequestError
from mobiz_async.models import Outcome, StopReason
from mobiz_async.recipients.stages import Problem
from mobiz_async.reports import BulkReport, ChunkOutcome, FirstAndLast, Stats

__all__ = ["Books"]


_OF_THE_CALLER = {StopReason.ASKED, StopReason.DEADLINE}


class Books:
    """Counts what is settled and what is skipped, and closes into a balanced report."""

    def __init__(self, failures_kept: int) -> None:
        """Keep the first and the last ``failures_kept`` chunks that were not accepted."""
        self.stats = Stats()
        self._failures = FirstAndLast(failures_kept)
        self._skipped: dict[str, int] = {}
        self._resumed = 0
        self._settled = 0
        self.last_error: RequestError | None = None
        """Of the last chunk that was not accepted."""

    @property
    def failure_rate(self) -> float:
        """Rejected, unknown and not sent, as a share of all that this run and earlier ones settled."""
        stats = self.stats
        return (stats.rejected + stats.unknown + stats.not_sent) / self._settled if self._settled else 0.0

    def settle(self, chunk: ChunkOutcome) -> None:
        """Count a chunk, or a part of one, under its outcome. Call it once for each record."""
        self.stats.count(chunk.outcome, chunk.count)
        self._settled += chunk.count
        self._resumed += chunk.count if chunk.resumed else 0
        if chunk.outcome is not Outcome.ACCEPTED:
            self.last_error = chunk.error or self.last_error
            self._failures.add(attrs.evolve(chunk, body=None))

    def skip(self, problem: Problem) -> None:
        """Count a record that is not to be sent."""
        self._skipped[problem.reason.value] = self._skipped.get(problem.reason.value, 0) + 1
        self.stats.skipped += 1

    def close(
        self, read: int, elapsed: float, stopped: StopReason | None, error: MobizError | None, *, whole: bool = False
    ) -> BulkReport:
        """Return the report. What was read and neither settled nor skipped never went out: it is not sent.

        ``whole``: the source was read to its end. A run that was stopped when all of it was settled was not cut short.
        """
        stats = self.stats
        stats.read = read
        stats.elapsed = elapsed
        stats.not_sent += read - self._settled - stats.skipped
        if whole and not stats.not_sent and not stats.unknown and stopped in _OF_THE_CALLER:
            stopped = None
        return BulkReport(
            read=read,
            accepted=stats.accepted,
            rejected=stats.rejected,
            not_sent=stats.not_sent,
            unknown=stats.unknown,
            skipped=stats.skipped,
            chunks=stats.chunks,
            requests=stats.requests,
            retries=stats.retries,
            elapsed=elapsed,
            resumed=self._resumed,
            skipped_by_reason=dict(self._skipped),
            failures=self._failures.kept(),
            failed_chunks=self._failures.total,
            stopped=stopped,
            error=error,
        )
