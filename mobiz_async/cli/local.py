"""`mobiz sandbox`: a local Mobiz in this terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from mobiz_async.cli.arguments import PlainCommand, duration
from mobiz_async.cli.streams import delivered
from mobiz_async.errors import ConfigurationError
from mobiz_async.sandbox import FACTS, EveryNth, Faults, RateLimit, Sandbox, serve
from mobiz_async.sandbox.limits import rate
from mobiz_async.sandbox.serving import KEYS, announce, made

__all__ = ["sandbox"]


def _faults(ctx: click.Context, param: click.Parameter, value: str | None) -> Faults | None:
    try:
        return None if value is None else Faults.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def _rate(ctx: click.Context, param: click.Parameter, value: str | None) -> RateLimit | EveryNth | None:
    try:
        return None if value is None else rate(value)
    except ValueError:
        raise click.BadParameter("a rate is written REQUESTS/SECONDS, or every/N", ctx, param) from None


@click.command(cls=PlainCommand, short_help="Run a local Mobiz to try things on.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="[default: any free one]")
@click.option(
    "--faults",
    metavar="SCHEDULE",
    callback=_faults,
    help="Misbehave: always:F, every:N:F, script:F,-,F or seeded:SEED:F=0.1. --list-faults says what F can be; F@2 is "
    "one of 2 seconds.",
)
@click.option("--list-faults", is_flag=True, help="Say which faults there are, and end.")
@click.option("--rate-limit", metavar="N/SECONDS", callback=_rate, help="Answer 429 above this; every/N: to each N-th.")
@click.option(
    "--log", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="A line for each request applied."
)
@click.option("--lifetime", metavar="TIME", callback=duration, help="End by itself after so long: 90s, 30m.")
@click.option("--json", "as_json", is_flag=True, help="Say where it is as one line of JSON.")
def sandbox(
    *,
    host: str,
    port: int,
    faults: Faults | None,
    list_faults: bool,
    rate_limit: RateLimit | EveryNth | None,
    log: Path | None,
    lifetime: float | None,
    as_json: bool,
) -> int:
    """Run a local Mobiz: it behaves as documented, misbehaves on demand, and sends to nobody. Ctrl-C ends it.

    Its keys are made up, or those in MOBIZ_SANDBOX_API_KEY and MOBIZ_SANDBOX_SUBSCRIPTION_KEY.
    """
    if list_faults:
        _list_faults()
        return delivered()
    server = made(host=host, port=port, faults=faults, rate_limit=rate_limit, log=log)
    try:
        asyncio.run(serve(server, lifetime=lifetime, announce=announce if as_json else _announce))
    except OSError as error:
        raise ConfigurationError(f"the sandbox cannot run: {error.strerror or type(error).__name__}") from None
    return delivered() if as_json else 0


def _list_faults() -> None:
    for fault, facts in FACTS.items():
        applied = "applied" if facts.applied else "not applied"
        sys.stdout.write(f"{fault.value}\n    {applied}: {facts.peer_sees}\n")


def _exported(key: str, default: str) -> str:
    # A key that somebody has set is named by its variable; it is not written out.
    return f'"${KEYS[key]}"' if os.environ.get(KEYS[key]) else default


def _announce(running: Sandbox) -> None:
    lines = (
        f"A local Mobiz is at {running.base_url}; what is sent there reaches nobody.",
        "",
        "In the terminal you send from:",
        f"  export MOBIZ_BASE_URL={running.base_url}",
        f"  export MOBIZ_API_KEY={_exported('api_key', 'sandbox-api-key')}",
        f"  export MOBIZ_SUBSCRIPTION_KEY={_exported('subscription_key', 'sandbox-subscription-key')}",
        "  export MOBIZ_USERNAME=sandbox-user",
        "",
        "List 1 and trigger key sandbox-trigger are there; what has arrived is shown at",
        f"  {running.base_url}/",
        "",
        "Ctrl-C ends it.",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
