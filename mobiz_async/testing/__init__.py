"""Aids for the tests of programs that use mobiz_async."""

from __future__ import annotations

from mobiz_async.testing.clock import FakeClock

__all__ = ["FakeClock"]
