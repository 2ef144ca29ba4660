"""How fast recipients come in: against a bare csv.reader loop over the same file, in the same run.

    python benchmarks/recipients_bench.py [--rows 1000000] [--pairs 5] [--numbers 10000000]

Prints the median of the pairs for a file with quoted messages and for one without quotes, the cost of a dedupe of
``--numbers`` numbers in time and memory, and the peak memory of reading.
"""

import argparse
import csv
import gc
import random
import resource
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

from mobiz_async.recipients.dedupe import dedupe_stage
from mobiz_async.recipients.definition import definition_stage
from mobiz_async.recipients.phones import normalize_stage
from mobiz_async.recipients.shape import shape_stage
from mobiz_async.recipients.sources import open_recipients
from mobiz_async.recipients.stages import pipeline

SLICE = 250
DEFINITION = {"Number": "msisdn", "first_name": "text", "ref": "numeric", "Message": "text"}
FULL_WIDTH = str.maketrans("0123456789", "".join(chr(0xFF10 + digit) for digit in range(10)))

SPELLINGS = (
    "27{}{}{}".format,
    "+27 (0){} {} {}".format,
    "0{}-{}-{}".format,
    "0027{}{}{}".format,
    "+27\u00a0{}\u00a0{}\u00a0{}".format,
    "tel:+27-{}-{}-{}".format,
    "(0{}) {}.{}".format,
    lambda *parts: "0{} {} {}".format(*parts).translate(FULL_WIDTH),
)


def write_file(path, rows, *, quoted):
    rng = random.Random(4)
    comma = "," if quoted else ""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(DEFINITION)
        for row in range(rows):
            start = f"{rng.randrange(60, 80)}", f"{rng.randrange(1000):03}", f"{rng.randrange(10_000):04}"
            number = rng.choice(SPELLINGS)(*start)
            writer.writerow((number, "Thandi", row, f"Hi Thandi{comma} your order {row} is ready"))


def bare_loop(path):
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader)
        count = 0
        for row in reader:
            dict(zip(header, row))  # noqa: B905  # the loop that everybody writes
            count += 1
    return count


def intake(path):
    stage = pipeline([shape_stage(), normalize_stage(in_place=True), definition_stage(DEFINITION)])
    good = read = 0
    with open_recipients(path) as recipients:
        records = iter(recipients)
        while part := list(islice(records, SLICE)):
            staged = stage(part, range(read + 1, read + 1 + len(part)))
            read += len(part)
            good += len(staged.records)
    assert good == read
    return good


def timed(function, path):
    gc.collect()
    started = time.perf_counter()
    rows = function(path)
    return rows / (time.perf_counter() - started)


def resident():
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def compare(rows, pairs):
    with tempfile.TemporaryDirectory() as folder:
        for quoted in (True, False):
            path = Path(folder) / "messy.csv"
            write_file(path, rows, quoted=quoted)
            ratios = []
            rates = []
            for _ in range(pairs):
                bare = timed(bare_loop, path)
                rates.append(timed(intake, path))
                ratios.append(rates[-1] / bare)
            name = "quoted messages" if quoted else "no quotes"
            ratio, rate = statistics.median(ratios), statistics.median(rates)
            print(f"{rows:,} messy rows, {name}: {rate:,.0f} rows/s, {ratio:.2f} of the bare loop", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory while reading: {peak:.0f} MiB")


def dedupe(numbers):
    for name, values in (
        ("at random", lambda rng: rng.randrange(27_600_000_000, 27_850_000_000)),
        ("worldwide", lambda rng: rng.randrange(10**10, 10**15)),
    ):
        rng = random.Random(9)
        stage = dedupe_stage("Number")
        gc.collect()
        before = resident()
        spent = worst = 0.0
        kept = 0
        for first in range(0, numbers, SLICE):
            records = [{"Number": str(values(rng))} for _ in range(SLICE)]
            started = time.thread_time()  # what the loop would be held for; other processes do not count
            kept += len(stage(records, range(first + 1, first + 1 + SLICE)).records)
            took = time.thread_time() - started
            spent += took
            worst = max(worst, took)
        grown = (resident() - before) / kept
        each = spent / numbers * 1e6
        print(
            f"dedupe of {numbers:,} numbers {name}: {kept:,} kept, {grown:.1f} bytes and {each:.2f} µs a number, "
            f"longest slice {worst * 1e3:.1f} ms",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--numbers", type=int, default=10_000_000)
    options = parser.parse_args()
    if options.rows:
        compare(options.rows, options.pairs)
    if options.numbers:
        dedupe(options.numbers)


if __name__ == "__main__":
    main()
