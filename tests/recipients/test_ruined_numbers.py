"""Numbers that a spreadsheet wrote as 2.78E+10 are held back in whatever file they come: their digits are gone."""

import csv
import json

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import read

from mobiz_async.errors import Reason
from mobiz_async.recipients.stages import BadRecord

FIELDS = ["Number", "Message"]


def write_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([FIELDS, *rows])


def write_json_lines(path, rows):
    path.write_text("".join(json.dumps(dict(zip(FIELDS, row, strict=True))) + "\n" for row in rows))


def write_excel(path, rows):
    book = openpyxl.Workbook()
    for row in [FIELDS, *rows]:
        book.active.append(row)
    book.save(path)


def write_parquet(path, rows):
    pq.write_table(pa.table([pa.array(column) for column in zip(*rows, strict=True)], names=FIELDS), path)


WRITERS = {"a.csv": write_csv, "a.jsonl": write_json_lines, "a.xlsx": write_excel, "a.parquet": write_parquet}


@pytest.fixture(params=WRITERS)
def written(request, tmp_path):
    """A function that writes rows to a file of one format and returns its path."""

    def write(rows):
        WRITERS[request.param](tmp_path / request.param, rows)
        return tmp_path / request.param

    return write


@pytest.mark.parametrize("number", ["2.78E+10", "2,78e+10", " 2.7821E+10 ", "2E10", "#######"])
def test_a_ruined_number_is_held_back_and_kept_to_be_mended(written, number):
    rows = [["0821234567", "E+10 is fine here"], [number, "Hi"], ["0711234567", "#1"]]
    found = read(written(rows))

    assert found == [
        {"Number": "0821234567", "Message": "E+10 is fine here"},
        BadRecord("Number", Reason.RUINED),
        {"Number": "0711234567", "Message": "#1"},
    ]
    assert found[1].cells == {"Number": number, "Message": "Hi"}


def test_a_mapped_column_of_numbers_is_looked_at(written):
    assert read(written([["Hi", "2.78E+10"]]), mapping={"Number": "Message"}) == [BadRecord("Number", Reason.RUINED)]


def test_what_is_only_like_a_ruined_number_is_left_to_other_checks(written):
    rows = [["Cell: 082 123 4567", "Hi"], ["2.78E+10 or so", "Hi"], ["Suite #3", "Hi"]]

    assert [record["Number"] for record in read(written(rows))] == [number for number, _ in rows]


def test_fields_that_hold_no_numbers_may_say_what_they_like(written):
    assert read(written([["2.78E+10", "2.78E+10"]]), phone_fields=()) == [{"Number": "2.78E+10", "Message": "2.78E+10"}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.xlsx"])
def test_texts_among_numbers_are_looked_at_too(name, tmp_path):
    WRITERS[name](tmp_path / name, [[27821234567, "a"], ["2.78E+10", "b"], [1.5, "c"]])

    assert read(tmp_path / name) == [
        {"Number": "27821234567", "Message": "a"},
        BadRecord("Number", Reason.RUINED),
        BadRecord("Number", Reason.NOT_A_NUMBER),
    ]
