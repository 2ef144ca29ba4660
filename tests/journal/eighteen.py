"""Eighteen recipients: in chunks of four they make five, the last of two."""

from __future__ import annotations

SOURCE = [f"2782{number:07d}" for number in range(18)]
