"""Send a file of recipients to a list; run it again after a crash, and it goes on where it was.

pip install 'mobiz-async[phones]'
MOBIZ_API_KEY=... MOBIZ_SUBSCRIPTION_KEY=... python bulk_file.py LIST_ID recipients.csv
"""

import asyncio
import sys
from pathlib import Path

from mobiz_async import BulkReport, MobizClient, MobizError, OnInvalid, SQLiteJournal, Stats
from mobiz_async.recipients import Problem, open_recipients


def show(stats: Stats) -> None:
    print(f"\r{stats.accepted:,} of {stats.read:,} accepted", end="", flush=True)


def show_skipped(problem: Problem) -> None:
    print(f"\nrow {problem.row}: {problem.field or 'record'}: {problem.reason}", file=sys.stderr)


async def send(list_id: str, file: Path) -> BulkReport:
    with open_recipients(file) as recipients:
        async with MobizClient() as mobiz:
            return await mobiz.send_bulk(
                list_id,
                recipients,
                journal=SQLiteJournal(file.with_suffix(".journal")),
                region="ZA",
                on_invalid=OnInvalid.SKIP,
                on_skipped=show_skipped,
                progress=show,
            )


def main(list_id: str, file: str) -> int:
    try:
        report = asyncio.run(send(list_id, Path(file)))
    except MobizError as error:
        print(f"\nstopped: {error}", file=sys.stderr)
        return 2
    print(f"\naccepted {report.accepted:,}, rejected {report.rejected:,}, skipped {report.skipped:,}")
    print(f"not sent {report.not_sent:,}: run it again to send them")
    print(f"unknown {report.unknown:,}: ask Mobiz before sending them again")
    for chunk in report.failures:
        print(f"  records {chunk.first_record:,} to {chunk.first_record + chunk.count - 1:,}: {chunk.error}")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
