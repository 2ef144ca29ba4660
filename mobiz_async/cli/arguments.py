"""What the command line's arguments may look like. No message repeats a value: it may be a number or a key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from mobiz_async.errors import ConfigurationError
from mobiz_async.models import check_definition

__all__ = [
    "PlainCommand",
    "SectionedCommand",
    "assignments",
    "definition",
    "duration",
    "is_text",
    "moment",
    "regular_path",
]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)")
_SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_HELP_COLUMN = 30
"""Where the second column of a help text begins, at most."""


def is_text(word: str) -> bool:
    """Return whether a word from outside could be decoded: what could not stands in it as lone surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _are_texts(value: object) -> bool:
    words = value if isinstance(value, tuple) else (value,)
    return all(is_text(word) for word in words if isinstance(word, str))


class PlainCommand(click.Command):
    """A command that does not repeat arguments it has no use for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; raise UsageError with the number of the arguments left over, not with their text."""
        ctx.allow_extra_args = True
        words, _, _ = self.make_parser(ctx).parse_args(list(args))
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            ctx.fail(f"{len(rest)} argument{'s' if len(rest) > 1 else ''} too many; is a quote missing?")
        for param in self.get_params(ctx):
            # An empty path would become the folder that one is in, and other empty words what is said nothing of.
            if words.get(param.name or "") == "":
                ctx.fail(f"{param.get_error_hint(ctx)} is empty; is a variable of the shell not set?")
            # What is a path may be any bytes. All else goes into a message or a name, and has to be text.
            if not isinstance(param.type, click.Path) and not _are_texts(ctx.params.get(param.name or "")):
                ctx.fail(f"{param.get_error_hint(ctx)} is not text in the encoding of this system")
        return rest


class SectionedCommand(PlainCommand):
    """A command whose help shows its options under headings; ``sections`` are a section's first option -> heading."""

    def __init__(self, *args: Any, sections: Mapping[str, str], **settings: Any) -> None:
        """Take the headings on top of what a command takes."""
        super().__init__(*args, **settings)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options as they are declared, each under the heading that began last."""
        heading, written = "Options", dict[str, list[tuple[str, str]]]()
        for option in self.get_params(ctx):
            heading = self._sections.get(option.name or "", heading)
            if isinstance(option, click.Option) and (record := option.get_help_record(ctx)):
                written.setdefault(heading, []).append(record)
        for heading, records in written.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=_HELP_COLUMN)


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return seconds, of a number of them or one with a unit: ``90``, ``90s``, ``30m``, ``2h``."""
    if value is None:
        return None
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise click.BadParameter("a duration is a number of seconds, or one with a unit: 90s, 30m, 2h", ctx, param)
    return float(match[1]) * _SECONDS[match[2]]


def regular_path(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Return a path; ``-``, which is a stream elsewhere, would become a file of that name."""
    if value == Path("-"):
        raise click.BadParameter("it has to be a file", ctx, param)
    return value


def moment(ctx: click.Context, param: click.Parameter, value: str) -> datetime:
    """Return a moment of ISO 8601, which must have its offset: ``2026-12-01T08:00+02:00``."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("a time is written 2026-12-01T08:00+02:00", ctx, param) from None
    if found.utcoffset() is None:
        raise click.BadParameter("the time needs its offset: 2026-12-01T08:00+02:00, or Z for UTC", ctx, param)
    return found


def assignments(pairs: Iterable[str], what: str = "a field is written NAME=VALUE") -> dict[str, str]:
    """Return ``["A=1", "B=2"]`` as a mapping; raise ``ConfigurationError`` where one is none, or a name comes twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(what)
        if name.strip() in found:
            raise ConfigurationError(f"field {name.strip()!r} is given twice")
        found[name.strip()] = value
    return found


def definition(pairs: Iterable[str]) -> dict[str, str]:
    """Return ``["Number=msisdn", ...]`` as a list's definition; raise ``ConfigurationError`` where it cannot be one."""
    found = assignments(pairs, "a field is written NAME=FORMAT, such as Number=msisdn")
    check_definition(found)
    return found
