"""Rejected records: a file for its owner only, to be mended and sent again."""

import csv
import json
import stat

import msgspec
import pytest

from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.models import Outcome
from mobiz_async.recipients.rejects import RejectsWriter
from mobiz_async.recipients.sources import open_recipients
from mobiz_async.recipients.stages import Problem
from mobiz_async.reports import ChunkOutcome

RECORD = {"Number": "082", "Message": 'Hi, "T"\r\nSê 😀'}


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
    with pytest.raises(ConfigurationError, match="exists"):
        RejectsWriter(path)
    assert path.read_text() == "earlier"


def test_a_file_that_cannot_be_made_is_a_setting_to_mend(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        RejectsWriter(tmp_path / "no" / "rejects.csv")
