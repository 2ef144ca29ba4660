"""Journals: the protocol, one in memory, one in a SQLite file."""

from mobiz_async.journal.memory import MemoryJournal
from mobiz_async.journal.protocol import LIFE, ChunkState, Event, Journal, JournalSummary, Part, summarize
from mobiz_async.journal.sqlite import SQLiteJournal

__all__ = [
    "LIFE",
    "ChunkState",
    "Event",
    "Journal",
    "JournalSummary",
    "MemoryJournal",
    "Part",
    "SQLiteJournal",
    "summarize",
]
