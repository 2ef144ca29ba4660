"""What one request of a run carries, and how far the attempts at it have come."""

from __future__ import annotations

import attrs
import msgspec

from mobiz_async.journal.protocol import Event, event_of, split_rows
from mobiz_async.models import Outcome
from mobiz_async.stopping import STOPS
from mobiz_async.verdicts import Judged, Stage

__all__ = ["Attempts", "Piece"]


@attrs.frozen(eq=False)
class Piece:
    """What one request carries: a chunk, or a range of one. ``start`` counts from 0 within the chunk."""

    index: int
    start: int
    count: int
    rows: tuple[tuple[int, int], ...]
    body: bytes | bytearray = attrs.field(repr=False)

    def cut(self, start: int, stop: int, records: list[msgspec.Raw]) -> Piece:
        """Return the range from ``start`` to ``stop`` within this piece, whose split body is ``records``."""
        rows = split_rows(self.rows, (start, stop - start, self.count - stop))[1]
        body = b"[" + b",".join(map(bytes, records[start:stop])) + b"]"
        return Piece(self.index, self.start + start, stop - start, rows, body)


@attrs.define(eq=False)
class Attempts:
    """What is known so far of the attempts at a piece.

    It is kept up to date as they go on, and not made at the end: when a task is cancelled in the middle of an attempt,
    this says what has to be assumed of the piece.
    """

    piece: Piece
    id: str = ""
    """Of the current attempt, as the journal knows it; empty before the first."""
    number: int = 0
    """How many were begun."""
    stage: Stage = Stage.QUEUED
    """How far the current one is."""
    judged: Judged | None = None
    """What the current one proved; None as long as it goes on."""
    counted: bool = False
    """Whether the current one is among the requests that the run counts as in flight."""
    in_doubt: bool = False
    """Whether any attempt may have been applied: that another was refused does not prove that this one was not."""
    halve: bool = False
    """Whether the piece was refused and is to be sent again in smaller ranges."""

    def begin(self, attempt_id: str) -> None:
        """Note that another attempt begins."""
        self.id = attempt_id
        self.number += 1
        self.stage = Stage.QUEUED
        self.judged = None

    def mark(self, stage: Stage) -> None:
        """Note how far it is."""
        self.stage = stage

    def prove(self, judged: Judged, *, split: bool = False) -> None:
        """Note what it proved. ``split``: whether a refused piece is to be halved, where that can help."""
        self.judged = judged
        self.in_doubt = self.in_doubt or judged.verdict.outcome is Outcome.UNKNOWN
        self.halve = split and judged.verdict.splittable and self.piece.count > 1 and not self.in_doubt

    def outcome_of(self, judged: Judged) -> Outcome:
        """What ``judged`` proves together with the attempts before it."""
        outcome = judged.verdict.outcome
        return Outcome.UNKNOWN if self.in_doubt and outcome is not Outcome.ACCEPTED else outcome

    @property
    def outcome(self) -> Outcome:
        """What is known: by the verdict where there is one, or else by the stage."""
        if self.judged is not None:
            return Outcome.NOT_SENT if self.halve else self.outcome_of(self.judged)
        return Outcome.UNKNOWN if self.in_doubt or self.stage >= Stage.SENDING else Outcome.NOT_SENT

    @property
    def event(self) -> Event:
        """What the journal is told of it.

        A refusal that is about the caller and not about the chunk (a wrong key, a wrong address) leaves it pending: it
        was not applied, and goes out when the run is resumed with the right one.
        """
        if self.halve:
            return Event.HALVE
        outcome = self.outcome
        if outcome is Outcome.REJECTED and self.judged is not None and self.judged.verdict in STOPS:
            return Event.NOT_SENT
        return event_of(outcome)
