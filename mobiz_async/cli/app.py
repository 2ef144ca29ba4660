"""The command group: what it is made of, and how every way of ending becomes an exit code."""

from __future__ import annotations

import io
import json
import logging
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module, metadata
from itertools import takewhile
from pathlib import Path
from typing import Any

import click

from mobiz_async.cli.exits import MEANING, Exit, exit_of_error, table
from mobiz_async.cli.interruption import Interrupted
from mobiz_async.cli.journals import journal
from mobiz_async.cli.messages import create_list, schedule, trigger
from mobiz_async.cli.send import send
from mobiz_async.cli.streams import guarded
from mobiz_async.cli.wording import words_of
from mobiz_async.errors import MobizError
from mobiz_async.legible import legible

__all__ = ["mobiz", "run"]

_EPILOG = f"""\b
Environment:
  MOBIZ_API_KEY           the api_key of your account
  MOBIZ_SUBSCRIPTION_KEY  the subscription key of the gateway
  MOBIZ_USERNAME          for creating lists
  MOBIZ_BASE_URL          an address other than the vendor's
  MOBIZ_ALLOW_INSECURE    1: that address may be plain http
  HTTPS_PROXY, NO_PROXY   the proxy to go through, and where to without

\b
Exit codes:
{table()}
Where several apply: interrupted, credentials, unknown, usage, the rest.
A supervisor may start `mobiz send --journal` again after 129 and more; 1 to 4
are for a person to look at."""


_INTERRUPTED = "interrupted: nothing was on its way"
"""Ctrl-C anywhere but where something is sent, which has words of its own."""
_NOWHERE = "the working directory is not there any more: names that are not whole lead nowhere"


_SERVING = {"sandbox": "mobiz_async.cli.local", "demo": "mobiz_async.cli.demo"}
"""Commands that need a server, and the modules they are in. To load that takes a fifth of the time a command takes to
begin, so these are loaded when they are asked for."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_SERVING})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:  # one of these, or a slip: click suggests what of all may have been meant
            for name, module in _SERVING.items():
                self.add_command(getattr(import_module(module), name))
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Kept to tell how to go on after an interruption.
        ctx.meta["mobiz.argv"] = tuple(args)
        return super().parse_args(ctx, args)


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    del param
    if value:
        try:
            version = metadata.version("mobiz-async")
        except metadata.PackageNotFoundError:
            version = "unknown: run from its sources"
        click.echo(f"mobiz {version}")
        ctx.exit()


@click.group(cls=_Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def mobiz() -> None:
    """Send messages through Mobiz, from one to millions, and know what became of each.

    Try `mobiz demo`: it needs no account and sends to nobody.
    """


for _command in (send, trigger, schedule, create_list, journal):
    mobiz.add_command(_command)


def run(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; every error of ours is one line on standard error.

    With ``--json`` a command that failed without a report writes ``{"error": ..., "exit_code": ...}`` instead. Streams
    that cannot be written do not change what is returned, but for commands that are run for what they write.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    with guarded() as output:
        _silence_the_log()
        code, error = _carry_out({} if argv is None else {"args": words, "prog_name": "mobiz"})
        if code and not output.used and "--json" in takewhile(lambda word: word != "--", words):
            sys.stdout.write(json.dumps({"error": error or MEANING[Exit(code)], "exit_code": int(code)}) + "\n")
        return code


def _carry_out(arguments: dict[str, Any]) -> tuple[int, str | None]:
    """Return the exit code, and what was told to have gone wrong."""
    try:
        code = mobiz.main(standalone_mode=False, **arguments)
    except click.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            return Exit.INTERRUPTED, _say(_INTERRUPTED)
        return _unanswered(error.__context__)
    except Interrupted as interrupted:
        return interrupted.exit, _say(str(interrupted))
    except click.ClickException as error:
        return error.exit_code, _show(error)
    except MobizError as error:
        words = words_of(error)
        _say(f"error: {words}")
        return exit_of_error(error), words
    except Exception as error:  # noqa: BLE001  # a mistake of ours: told without what it was working on
        if isinstance(error, FileNotFoundError) and _is_nowhere():
            _say(f"error: {_NOWHERE}")
            return Exit.USAGE, _NOWHERE
        sys.stderr.write(f"{_unexpected(error)}\n")
        return Exit.INCOMPLETE, f"this is a mistake in mobiz_async ({type(error).__name__})"
    return code if isinstance(code, int) else Exit.OK, None


def _is_nowhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _unanswered(why: BaseException | None) -> tuple[int, str]:
    """Return how a command ends whose question was declined, or not answered at all."""
    if why is not None:
        sys.stderr.write("\n")  # the question still stands in its line
    if isinstance(why, KeyboardInterrupt):
        return Exit.INTERRUPTED, _say("interrupted: nothing was changed")
    return Exit.INCOMPLETE, _say("nothing was changed")


def _silence_the_log() -> None:
    """Keep warnings, which logging would print where nobody set it up, off the screen; MOBIZ_LOG still shows them."""
    logger = logging.getLogger("mobiz_async")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _say(line: str) -> str:
    line = legible(line)
    sys.stderr.write(f"{line}\n")
    return line


def _show(error: click.ClickException) -> str:
    """Show what click has to say, which may repeat the name of a file."""
    shown = io.StringIO()
    error.show(shown)
    sys.stderr.write("".join(f"{legible(line)}\n" for line in shown.getvalue().splitlines()))
    return legible(error.format_message())


def _unexpected(error: BaseException) -> str:
    """Return the traceback without what the exceptions say: their text might hold a recipient's data."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        frames = traceback.format_list(traceback.extract_tb(cause.__traceback__))
        lines[:0] = [*frames, f"{type(cause).__module__}.{type(cause).__qualname__}\n"]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    trace = "".join(lines)
    return f"{trace}error: this is a mistake in mobiz_async ({type(error).__name__}); please report the lines above"
