"""Journals: the protocol, one in memory, one in a SQLite file; and what it takes to write another."""

from mobiz_async.journal.memory import MemoryJournal
from mobiz_async.journal.protocol import (
    LIFE,
    ChunkState,
    Event,
    Intent,
    Journal,
    JournalSummary,
    Part,
    Recalled,
    Settlement,
    carve,
    check_identity,
    step,
    summarize,
)
from mobiz_async.journal.seals import Seal, first_difference, seal
from mobiz_async.journal.sqlite import SQLiteJournal

__all__ = [
    "LIFE",
    "ChunkState",
    "Event",
    "Intent",
    "Journal",
    "JournalSummary",
    "MemoryJournal",
    "Part",
    "Recalled",
    "SQLiteJournal",
    "Seal",
    "Settlement",
    "carve",
    "check_identity",
    "first_difference",
    "seal",
    "step",
    "summarize",
]
