"""`mobiz demo`: a million recipients from a file to a local Mobiz, and then the two compare their books."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
import click
from rich.table import Table
from rich.text import Text

from mobiz_async.cli import spellings
from mobiz_async.cli.arguments import PlainCommand
from mobiz_async.cli.exits import OF_SIGNALS, Exit, exit_of_report
from mobiz_async.cli.interruption import Interruption, obeying_signals
from mobiz_async.cli.orders import Source
from mobiz_async.cli.progress import Trouble
from mobiz_async.cli.reporting import report_table, report_value
from mobiz_async.cli.screen import Screen, json_option, quiet_option
from mobiz_async.cli.sending import conduct
from mobiz_async.cli.streams import delivered
from mobiz_async.client import MobizClient
from mobiz_async.errors import MobizError
from mobiz_async.models import DataList
from mobiz_async.options import BulkSettings
from mobiz_async.recipients.sources import open_recipients
from mobiz_async.reports import BulkReport
from mobiz_async.sandbox import SandboxProcess
from mobiz_async.sandbox.process import environment_of_child

__all__ = ["Arrived", "demo", "peak_megabytes"]

_DEFINITION = {"Number": "msisdn", "Name": "text", "Message": "text"}
_MAPPING = {
    "Number": "cell",
    "Name": "first_name",
    "Message": "Hi {first_name}, your parcel is in {town}.",
}
_GRACE = 10.0
_IN_FLIGHT = 3
"""Enough for a server that is near; what is in flight is what takes memory."""
_WRITER = (sys.executable, "-m", "mobiz_async.cli.spellings")
_BYTES_PER_UNIT = 1024 if sys.platform != "darwin" else 1
"""Of ``ru_maxrss``: Linux counts it in KiB, macOS in bytes."""


def peak_megabytes() -> float | None:
    """Return the most memory that this process has held at any time, in MB; None where the system does not say."""
    peak = None
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  # there is none on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_PER_UNIT / 1e6
    return peak


@attrs.frozen
class Arrived:
    """What the sandbox says has arrived in the list: applications, different numbers, those applied more than once."""

    records: int
    distinct: int
    repeated: int

    @classmethod
    def of(cls, summary: dict[str, Any], contacts: DataList) -> Arrived:
        """Read them from the sandbox's summary."""
        totals = summary["lists"][contacts.id]
        return cls(totals["records"], totals["distinct"], totals["repeated"])

    def differences(self, report: BulkReport, wanted: int) -> list[str]:
        """Return in what the sandbox, the report and the file disagree; nothing, if all is well."""
        checks = (
            (report.read == wanted, f"the file has {wanted:,} records, and {report.read:,} were read"),
            (report.accepted == wanted, f"{report.accepted:,} of {wanted:,} records were accepted"),
            (self.records == report.accepted, f"accepted {report.accepted:,}, arrived {self.records:,}"),
            (self.distinct == wanted, f"{wanted:,} different numbers were sent, {self.distinct:,} arrived"),
            (self.repeated == 0, f"{self.repeated:,} numbers arrived more than once"),
        )
        return [text for good, text in checks if not good]


@click.command(cls=PlainCommand, short_help="Send a million made-up recipients to a local Mobiz.")
@click.option(
    "--records",
    metavar="N",
    type=click.IntRange(1, spellings.MOST),
    default=1_000_000,
    show_default=True,
    help="How many recipients.",
)
@json_option
@quiet_option
def demo(*, records: int, as_json: bool, quiet: bool) -> int:
    """Send made-up recipients through the real client to a local Mobiz, and compare what was sent with what arrived.

    It starts the server in a process of its own, writes a file of South African numbers in ten spellings, sends it over
    a real socket, and removes everything again. It needs no account and sends to nobody.
    """
    screen = Screen(quiet, as_json)
    return obeying_signals(_GRACE, screen.tell, lambda interruption: _show(records, screen, interruption))


async def _show(records: int, screen: Screen, interruption: Interruption) -> int:
    keys = secrets.token_hex(16), secrets.token_hex(16)
    with _folder() as folder:
        path = Path(folder) / "recipients.csv"
        async with SandboxProcess(api_key=keys[0], subscription_key=keys[1]) as server:
            await _write(path, records, screen)
            settings = BulkSettings(region="ZA")
            trouble = Trouble()
            async with MobizClient(
                *keys, "sandbox-user", base_url=server.base_url, concurrency=_IN_FLIGHT, events=[trouble]
            ) as mobiz:
                contacts = await mobiz.create_list("Demo", _DEFINITION)
                screen.remark(f"sending it to list {contacts.id} at {server.base_url}")
                with open_recipients(path, mapping=_MAPPING) as recipients:
                    source = Source(path.name, recipients, recipients)
                    report, error = await conduct(mobiz, contacts, source, settings, screen, interruption, trouble)
            peak = peak_megabytes()
            screen.show("", report_table(report, f"{path.name} to list {contacts.id}", error))
            code = exit_of_report(report, error, interruption.exit)
            if code in OF_SIGNALS:
                return code
            arrived = Arrived.of(await server.summary(), contacts)
    differences = arrived.differences(report, records)
    screen.show("", _comparison(arrived, report, differences, peak))
    if screen.quiet and differences:
        screen.tell("; ".join(differences))
    screen.write_json(
        {
            **report_value(report),
            "records_per_second": round(report.read / report.elapsed) if report.elapsed else None,
            "peak_megabytes": None if peak is None else round(peak, 1),
            "arrived": attrs.asdict(arrived),
            "agree": not differences,
            "differences": differences,
        }
    )
    code = Exit.INCOMPLETE if differences else code
    return delivered(code) if screen.as_json else code


def _folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="mobiz-demo-")
    except OSError as error:
        raise MobizError(f"there is no room for temporary files: {error.strerror or type(error).__name__}") from None


async def _write(path: Path, records: int, screen: Screen) -> None:
    started = time.monotonic()
    # In a session of its own: a Ctrl-C on the terminal is for this process, which ends the other one.
    writer = await asyncio.create_subprocess_exec(
        *_WRITER,
        str(path),
        str(records),
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=environment_of_child(),
    )
    try:
        _, said = await writer.communicate()
    finally:
        if writer.returncode is None:
            writer.kill()
            await writer.wait()
    if writer.returncode:
        why = said.decode(errors="replace").strip().splitlines()[-1:]
        raise MobizError(": ".join(["the file of recipients could not be written", *why]))
    size = (await asyncio.to_thread(path.stat)).st_size / 1e6
    screen.remark(f"wrote {records:,} recipients, {size:,.1f} MB, in {time.monotonic() - started:.1f} s")


def _comparison(arrived: Arrived, report: BulkReport, differences: list[str], peak: float | None) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column()
    table.add_row("accepted", f"{report.accepted:,} records, says the client")
    numbers = f"{arrived.distinct:,} numbers, {arrived.repeated:,} of them twice"
    table.add_row("arrived", f"{arrived.records:,} records, says the server: {numbers}")
    if peak is not None:
        table.add_row("memory", f"{peak:,.0f} MB at most in the sending process")
    verdict = Text("the books agree", style="green") if not differences else Text("\n".join(differences), style="red")
    table.add_row("verdict", verdict)
    return table
