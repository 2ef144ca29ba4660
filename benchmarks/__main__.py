"""Side by side: `MobizClient` against the loops that people write, the clients they know, and the limit.

    python -m benchmarks                    tables, in about four minutes
    python -m benchmarks --full --docs      with ten million records, and into docs/
    python -m benchmarks --render           docs/ again from the figures of the last run

Every contender runs in a process of its own, against one sink on this machine, in turn (A B C A B C …): ratios hold on
a busy machine, absolute figures only on a quiet one.
"""

import argparse
import json
import shlex
import sys
import time

from benchmarks import course, report
from benchmarks.field import ALL, LIMIT

_SIZES = (250_000, 1_000_000)
_LARGEST = 10_000_000
_BUSY = 0.7


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=500_000, help="of each contender, in multiples of 10,000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=3, help="the rounds in which the slow ones take part")
    parser.add_argument("--messages", type=int, default=20_000, help="single messages")
    parser.add_argument("--only", default="", help=f"of {', '.join([*ALL, LIMIT])}")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before the sink answers")
    parser.add_argument("--no-memory", action="store_true", help="without the runs of growing size")
    parser.add_argument("--full", action="store_true", help=f"memory at {_LARGEST:,} records too")
    parser.add_argument("--docs", action="store_true", help="write the results into docs/")
    parser.add_argument("--render", action="store_true", help="measure nothing: draw the last results again")
    return parser


def main() -> None:
    parser = _arguments()
    given = parser.parse_args()
    if given.render:
        for path in report.write(json.loads(report.RESULTS.read_text(encoding="utf-8"))):
            print(path)
        return
    only = frozenset(filter(None, given.only.split(",")))
    if not only <= {*ALL, LIMIT} or given.records < 1 or given.records % 10_000:
        parser.error("--only takes names of contenders, --records a multiple of 10,000")
    sizes = () if given.no_memory else (*_SIZES, *([_LARGEST] if given.full else []))
    started = time.monotonic()
    found = course.run(
        records=given.records,
        rounds=given.rounds,
        peer_rounds=min(given.peer_rounds, given.rounds),
        messages=given.messages,
        sizes=sizes,
        only=only,
        delay=given.delay,
        tell=lambda words: print(f"{time.monotonic() - started:5.0f} s  {words}", file=sys.stderr, flush=True),
    )
    found["arguments"] = shlex.join(sys.argv[1:])
    print(report.text(found))
    if float(found["machine"]["load"].split()[0]) > _BUSY:
        print("The machine was busy: only the ratios mean something.", file=sys.stderr)
    if given.docs:
        report.GENERATED.mkdir(exist_ok=True)
        report.RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        for path in report.write(found):
            print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
