"""Rejected records: a file for its owner only, to be mended and sent again."""

import csv
import enum
import functools
import io
import json
import os
import stat
from datetime import date
from decimal import Decimal

import msgspec
import pytest

from mobiz_async.client import MobizClient
from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.models import Outcome
from mobiz_async.recipients.rejects import RejectsWriter
from mobiz_async.recipients.sources import open_recipients
from mobiz_async.recipients.stages import Problem
from mobiz_async.reports import ChunkOutcome
from mobiz_async.testing import FakeTransport

RECORD = {"Number": "082", "Message": 'Hi, "T"\r\nSê 😀'}


class Colour(str, enum.Enum):  # noqa: UP042  whose str() is not its value
    RED = "red"


class Text(str):
    __slots__ = ()


def lines(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("name", ["rejects.csv", "rejects.jsonl", "rejects"])
def test_what_is_written_is_a_source_of_the_same_records(name, tmp_path):
    with RejectsWriter(tmp_path / name) as rejects:
        rejects.write_problem(Problem(7, "Number", Reason.TOO_SHORT, RECORD))
        rejects.write({"Number": "", "Message": "b"}, row=9, reason="duplicate")
    with open_recipients(tmp_path / name) as recipients:
        assert list(recipients) == [RECORD, {"Number": "", "Message": "b"}]


def test_each_row_begins_with_its_place_and_reason(tmp_path):
    path = tmp_path / "rejects.csv"
    with RejectsWriter(path) as rejects:
        rejects.write_problem(Problem(7, "Number", Reason.TOO_SHORT, {"Number": "082", "n": 5, "x": None, "l": [1]}))
    expected = [
        ["_row", "_reason", "_field", "Number", "n", "x", "l"],
        ["7", "phone number too short", "Number", "082", "5", "", "[1]"],
    ]
    assert expected == lines(path)


def test_json_lines_keep_types(tmp_path):
    path = tmp_path / "rejects.jsonl"
    with RejectsWriter(path) as rejects:
        rejects.write({"n": 5, "x": None}, row=1, reason="empty")
    expected = {"_row": 1, "_reason": "empty", "_field": None, "n": 5, "x": None}
    assert expected == json.loads(path.read_text())


def test_a_chunk_that_failed_is_written_record_by_record(tmp_path):
    path = tmp_path / "rejects.csv"
    body = msgspec.json.encode([{"Number": "1"}, {"Number": "2"}, {"Number": "3"}])
    chunk = ChunkOutcome(0, 4, 3, Outcome.UNKNOWN, runs=((4, 1), (9, 2)), body=body)
    with RejectsWriter(path) as rejects:
        rejects.write_chunk(chunk)
        assert rejects.count == 3
    assert lines(path)[1:] == [["4", "unknown", "", "1"], ["9", "unknown", "", "2"], ["10", "unknown", "", "3"]]


@pytest.mark.parametrize("reason", [Reason.DUPLICATE, Reason.SUPPRESSED])
def test_who_was_left_out_on_purpose_is_not_among_the_rejects(reason, tmp_path):
    """Else whoever mends the file and sends it texts people twice, or who has opted out."""
    path = tmp_path / "rejects.csv"
    with RejectsWriter(path) as rejects:
        rejects.write_problem(Problem(7, "Number", reason, {"Number": "27821234567"}))

    assert (rejects.count, path.exists()) == (0, False)


async def test_a_file_of_rejects_that_is_mended_and_sent_reaches_nobody_twice_and_nobody_who_opted_out(tmp_path):
    rows = [{"Number": number} for number in ("0821111111", "0821111111", "0822222222", "08233")]
    fake, path = FakeTransport(), tmp_path / "rejects.csv"
    async with MobizClient(transport=fake) as client:
        with RejectsWriter(path) as rejects:
            await client.send_bulk(
                "1",
                rows,
                region="ZA",
                dedupe="Number",
                suppress=["0822222222"],
                on_invalid="skip",
                on_skipped=rejects.write_problem,
            )
        path.write_text(path.read_text().replace("08233", "0823333333"))
        with open_recipients(path) as mended:
            await client.send_bulk("1", mended, region="ZA")

    assert fake.records("1") == [{"Number": "27821111111"}, {"Number": "27823333333"}]


def test_a_row_without_a_record_has_its_place_only(tmp_path):
    path = tmp_path / "rejects.csv"
    with RejectsWriter(path, ["Number"]) as rejects:
        rejects.write_problem(Problem(3, None, Reason.RAGGED))
    assert lines(path)[1] == ["3", Reason.RAGGED.value, "", ""]


def test_new_fields_widen_the_header_and_lose_nothing(tmp_path):
    path = tmp_path / "rejects.csv"
    with RejectsWriter(path) as rejects:
        rejects.write(None, row=1, reason="a")
        rejects.write({"Number": "1"}, row=2, reason="b")
        rejects.write({"Message": "x,y", "_row": "old"}, row=3, reason="c")
        rejects.write({"Number": "4"}, row=4, reason="d")
    expected = [
        ["_row", "_reason", "_field", "Number", "Message"],
        ["1", "a", "", "", ""],
        ["2", "b", "", "1", ""],
        ["3", "c", "", "", "x,y"],
        ["4", "d", "", "4", ""],
    ]
    assert expected == lines(path)
    assert [path] == list(tmp_path.iterdir())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("was_there", [False, True])
def test_the_file_is_its_owners_only(was_there, tmp_path):
    path = tmp_path / "rejects.csv"
    if was_there:
        path.touch(0o644)
    with RejectsWriter(path, overwrite=was_there):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_record_is_on_disk_as_soon_as_it_is_written(tmp_path):
    for name in ("rejects.csv", "rejects.jsonl"):
        with RejectsWriter(tmp_path / name) as rejects:
            rejects.write(RECORD, row=1, reason="a")
            assert (tmp_path / name).read_text().endswith(("\n", "\r\n"))
            assert "082" in (tmp_path / name).read_text()


def test_a_file_without_rejects_is_removed(tmp_path):
    rejects = RejectsWriter(tmp_path / "rejects.csv")
    rejects.close()
    rejects.close()
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_file_is_not_written_over_unless_asked(tmp_path):
    path = tmp_path / "rejects.csv"
    path.write_text("earlier")
    with pytest.raises(ConfigurationError, match="move it away, or name another file"):
        RejectsWriter(path)
    assert path.read_text() == "earlier"


@pytest.mark.parametrize("name", ["a.xlsx", "a.xls", "a.ODS", "a.parquet", "a.csv.gz", "a.zst", "a.zip", "a.tsv"])
def test_a_name_that_other_programs_read_as_another_kind_of_file_is_refused(name, tmp_path):
    with pytest.raises(ConfigurationError, match=r"name it \.csv, which spreadsheets open, or \.jsonl"):
        RejectsWriter(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "a.csv", "a.txt", "a.jsonl", "a.2026-11-24", "a.csv.bak"])
def test_any_other_name_is_taken(name, tmp_path):
    with RejectsWriter(tmp_path / name) as rejects:
        rejects.write(RECORD, row=1, reason="a")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_cannot_be_made_is_a_setting_to_mend(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        RejectsWriter(tmp_path / "no" / "rejects.csv")


# -- what CSV and JSON cannot hold -------------------------------------------------------------------------------------


class Mute:
    def __repr__(self):
        raise RuntimeError("no")


def endless():
    holder: list[object] = []
    holder.append(holder)
    return holder


UNWRITABLE = [
    ("half a pair", "secret \ud83d", "secret \\ud83d"),
    ("bytes", b"hi", "b'hi'"),
    ("no number", float("nan"), "nan"),
    ("infinite", float("-inf"), "-inf"),
    ("a signalling decimal", Decimal("sNaN"), "Decimal('sNaN')"),
    ("a set", {1}, "{1}"),
    ("half a pair within", ["\ud83d"], "['\\ud83d']"),
    ("it contains itself", endless(), "[[...]]"),
    ("too deep", functools.reduce(lambda held, _: [held], range(100_000), []), "<list>"),
    ("too many digits", 16**5000, "0x1" + 5000 * "0"),
    ("what cannot be shown", Mute(), "<Mute>"),
    ("names that are no text", {(1, 2): 3}, "{(1, 2): 3}"),
]


@pytest.mark.parametrize(("value", "spelt"), [one[1:] for one in UNWRITABLE], ids=[one[0] for one in UNWRITABLE])
@pytest.mark.parametrize("name", ["rejects.csv", "rejects.jsonl"])
def test_what_cannot_be_written_is_spelt_out_and_does_not_go_before_it_is_mended(name, value, spelt, tmp_path):
    """Who sends the file as it is must not send the spelling to people."""
    with RejectsWriter(tmp_path / name) as rejects:
        rejects.write_problem(Problem(7, "Message", Reason.NOT_ENCODABLE, {"Number": "082", "Message": value}))
        rejects.write({"Number": "083"}, row=9, reason="empty")
    with open_recipients(tmp_path / name) as recipients:
        bad, good = recipients
    assert (bad.reason, bad.cells["Number"], bad.cells["Message"]) == (Reason.NOT_ENCODABLE, "082", spelt)
    assert bad.cells["_raw"].startswith('{"Number": "082", "Message": ')
    assert good["Number"] == "083"


def test_the_record_that_cannot_be_written_is_kept_without_loss(tmp_path):
    record = {"Number": "082", "Message": "secret \ud83d", "Amount": float("inf"), 5: "x"}
    with RejectsWriter(tmp_path / "rejects.csv") as rejects:
        rejects.write(record, row=1, reason="x")
    header, row = lines(tmp_path / "rejects.csv")
    assert json.loads(row[header.index("_raw")]) == {"5" if key == 5 else key: record[key] for key in record}


def test_names_that_cannot_be_written_are_spelt_out(tmp_path):
    half = "half \ud83d"
    for name in ("rejects.csv", "rejects.jsonl"):
        with RejectsWriter(tmp_path / name, [half]) as rejects:
            rejects.write({half: "x", (1, 2): "y"}, row=1, reason=half, field=half)
    header, row = lines(tmp_path / "rejects.csv")
    written = dict(zip(header, row, strict=True))
    assert json.loads((tmp_path / "rejects.jsonl").read_text()) == {**written, "_row": 1}
    spelt = r"half \ud83d"
    assert written.pop("_raw") == json.dumps({spelt: "x", "(1, 2)": "y"})
    assert written == {"_row": "1", "_reason": spelt, "_field": spelt, spelt: "x", "(1, 2)": "y"}


def test_texts_of_other_kinds_have_no_quotes_of_their_own(tmp_path):
    """A decimal or a date is text in JSON; so it must be in CSV, or the quotes would be sent."""
    path = tmp_path / "rejects.csv"
    record = {"a": Decimal("1.50"), "b": date(2026, 1, 2), "c": Colour.RED, "d": Text("x"), "e": True, "f": {"g": "h"}}
    with RejectsWriter(path) as rejects:
        rejects.write(record, row=1, reason="x")
    assert lines(path)[1][3:] == ["1.50", "2026-01-02", "red", "x", "true", '{"g":"h"}']


def test_a_record_of_any_size_can_be_followed_by_one_with_more_fields(tmp_path):
    path = tmp_path / "rejects.csv"
    large = '"x"\r\n' * 100_000
    with RejectsWriter(path, ["Number", 'two\r\n"lines"']) as rejects:
        rejects.write({"Number": large}, row=1, reason="x")
        rejects.write({"Number": "1", "Message": "m\r\n"}, row=2, reason="x")
        rejects.write({"Number": "1", "Other": "o"}, row=3, reason="x")
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = cells_of(file.read())
    assert header == ["_row", "_reason", "_field", "Number", 'two\r\n"lines"', "Message", "Other"]
    assert rows == [
        ["1", "x", "", large, "", "", ""],
        ["2", "x", "", "1", "", "m\r\n", ""],
        ["3", "x", "", "1", "", "", "o"],
    ]


def cells_of(text):
    """Read CSV whose cells are longer than the csv module takes."""
    limit = csv.field_size_limit(1 << 30)
    try:
        return list(csv.reader(io.StringIO(text, newline="")))
    finally:
        csv.field_size_limit(limit)


@pytest.mark.parametrize("laid", ["a link", "a file that is open"])
def test_a_header_gets_wider_in_a_file_of_its_own_whatever_lies_there(laid, tmp_path):
    theirs, there = tmp_path / "theirs", tmp_path / ".rejects.csv.wider"
    theirs.write_text("mine")
    if laid == "a link":
        there.symlink_to(theirs)
    else:
        os.link(theirs, there)
    with RejectsWriter(tmp_path / "rejects.csv", ["Number"]) as rejects:
        rejects.write({"Number": "0821234567"}, row=1, reason="x")
        rejects.write({"Number": "0831234567", "Message": "Hi"}, row=2, reason="x")

    assert theirs.read_text() == "mine"
    assert not there.exists()
    assert stat.S_IMODE((tmp_path / "rejects.csv").lstat().st_mode) == 0o600
    rows = csv.DictReader(io.StringIO((tmp_path / "rejects.csv").read_text()))
    assert [row["Message"] for row in rows] == ["", "Hi"]
