"""Numbers that a spreadsheet wrote as 2.78E+10 are held back in whatever file they come: their digits are gone."""

import csv
import json

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import read

from mobiz_async.errors import Reason
from mobiz_async.recipients.dedupe import load_suppression
from mobiz_async.recipients.phones import normalize_stage
from mobiz_async.recipients.sources import SourceFileError
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


@pytest.mark.parametrize("number", [27821200000.0, 2.78e10, 263771000000.0])
@pytest.mark.parametrize("name", ["a.jsonl", "a.xlsx", "a.parquet"])
def test_a_float_that_a_ruined_number_was_read_as_is_held_back(name, number, tmp_path):
    """Who opens 2.78212E+10 and saves it as a workbook has 27821200000, somebody else's number."""
    WRITERS[name](tmp_path / name, [[number, "Hi"], [27821234567.0, "Hi"]])
    assert read(tmp_path / name) == [BadRecord("Number", Reason.RUINED), {"Number": "27821234567", "Message": "Hi"}]


def test_a_number_that_ends_with_zeros_is_one_as_text_as_an_integer_and_in_its_national_form(tmp_path):
    rows = [["27821200000", "text"], [27821200000, "integer"], [821200000.0, "national"]]
    write_json_lines(tmp_path / "a.jsonl", rows)
    assert [record["Number"] for record in read(tmp_path / "a.jsonl")] == ["27821200000", "27821200000", "821200000"]


def test_a_rounded_float_among_the_records_of_a_program_is_held_back_where_numbers_are_read():
    records = [{"Number": 27821200000.0}, {"Number": 27821234567.0}]
    staged = normalize_stage("Number")(records, range(1, 3))
    assert ([problem.reason for problem in staged.problems], staged.records) == (
        [Reason.RUINED],
        [{"Number": "27821234567"}],
    )


def test_an_opt_out_that_was_rounded_is_an_error_and_not_left_out(tmp_path):
    write_excel(tmp_path / "optouts.xlsx", [[27821200000.0, ""]])
    with pytest.raises(SourceFileError, match="ruined"):
        load_suppression(tmp_path / "optouts.xlsx")
