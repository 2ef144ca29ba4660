"""Rows that cannot become records keep their cells: they are written among the rejects, mended, and sent again."""

import csv
import json

import openpyxl
import pytest
from source_files import read, stream

from mobiz_async.errors import Reason
from mobiz_async.recipients.rejects import RejectsWriter
from mobiz_async.recipients.shape import shape_stage
from mobiz_async.recipients.sources import open_recipients
from mobiz_async.recipients.stages import BadRecord

MAPPING = {"Number": "cell", "Message": "Hi {name}, from {town}"}


def bad(source, **options):
    """Return (field, reason, cells) of each bad record."""
    return [(one.field, one.reason, one.cells) for one in read(source, **options) if isinstance(one, BadRecord)]


def rejected(source, path, *, stage=None, **options):
    """Write all records of a source that are bad to ``path``."""
    stage = stage or shape_stage("Number")
    with open_recipients(source, **options) as records, RejectsWriter(path, records.fields) as rejects:
        found = list(records)
        for problem in stage(found, range(1, len(found) + 1)).problems:
            rejects.write_problem(problem)
    return path


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_ragged_row_keeps_its_cells_by_column_and_itself_whole(quote):
    text = f"Number,Message,Note\n{quote}082{quote},Hi\n083,Hi, Sipho,x\n"
    expected = [
        (None, Reason.RAGGED, {"Number": "082", "Message": "Hi", "_raw": "082,Hi"}),
        (None, Reason.RAGGED, {"Number": "083", "Message": "Hi", "Note": " Sipho", "_raw": "083,Hi, Sipho,x"}),
    ]
    assert expected == bad(stream(text))


def test_a_ragged_row_under_a_mapping_has_the_fields_that_can_be_made():
    text = "cell;name;town;id\n082;Thandi\n083;Sipho;Cape; Town;7\n"
    expected = [
        (None, Reason.RAGGED, {"Number": "082", "_raw": "082;Thandi"}),
        (None, Reason.RAGGED, {"Number": "083", "Message": "Hi Sipho, from Cape", "_raw": "083;Sipho;Cape; Town;7"}),
    ]
    assert expected == bad(stream(text), mapping=MAPPING)


@pytest.mark.parametrize("cell", ['"a,b"', '"a\nb"', '"a\rb"', '"a\r\nb"', '"a""b"'])
def test_a_ragged_row_is_written_with_the_quotes_it_needs(cell):
    assert bad(stream(f"Number,Message\n083,{cell},c\n"))[0][2]["_raw"] == f"083,{cell},c"


@pytest.mark.parametrize("cell", ["2.78E+10", "2.78E10", "2,78e+10", "#######"])
def test_a_ruined_number_is_kept_as_read_with_the_rest_of_its_row(cell):
    text = f"cell;name;town\n{cell};Thandi;Durban\n"
    expected = [("Number", Reason.RUINED, {"Number": cell, "Message": "Hi Thandi, from Durban"})]
    assert expected == bad(stream(text), mapping=MAPPING)


def test_a_row_with_a_nul_keeps_its_cells():
    expected = [("Message", Reason.NOT_TEXT, {"Number": "1", "Message": "a\0b"})]
    assert expected == bad(stream("Number,Message\n1,a\0b\n"))


@pytest.mark.parametrize(
    ("line", "before"),
    [
        ('1,"a"b', ""),
        ('1,"a"b', '5,"x\r\ny"\n\n6,z\n'),
        ('1,"two\nlines"b', '5,"x\ry"\n'),
        ('1,"a"b', "5,x\n" * 40_000),
        ('1,"' + "a line\n" * 10_000 + 'and"b', '5,"x\ny"\n' * 1_000),
    ],
)
def test_a_row_with_broken_quotes_is_kept_as_it_stands(line, before):
    text = f"Number,Message\n{before}{line}\n2,c\n"
    assert [(None, Reason.MALFORMED, {"_raw": line})] == bad(stream(text))


def test_lines_of_json_keep_what_could_be_read():
    lines = [
        '{"cell": 2.5, "n": 1}',
        '{"cell": 99999999999999999, "n": 2}',
        '{"cell": true, "n": 3}',
        '{"cell":',
        "[1]",
        '{"cell": "1", "n": 1e400}',
        f'{{"cell": "1", "n": {"9" * 5000}}}',
        '{"cell": "1", "n": [1e400]}',
        '{"cell": "1", "n": NaN}',
    ]
    expected = [
        ("cell", Reason.NOT_A_NUMBER, {"cell": 2.5, "n": 1}),
        ("cell", Reason.TOO_LONG, {"cell": 99999999999999999, "n": 2}),
        ("cell", Reason.NOT_A_NUMBER, {"cell": True, "n": 3}),
        (None, Reason.MALFORMED, {"_raw": lines[3]}),
        (None, Reason.NOT_A_RECORD, {"_raw": lines[4]}),
        ("n", Reason.NOT_FINITE, {"cell": "1", "n": "1e400"}),
        ("n", Reason.NOT_FINITE, {"cell": "1", "n": "9" * 5000}),
        (None, Reason.NOT_FINITE, {"_raw": lines[7]}),
        (None, Reason.MALFORMED, {"_raw": lines[8]}),
    ]
    assert expected == bad(stream("\n".join(lines)), phone_fields=["cell"])


def test_lines_of_json_under_a_mapping_keep_fields_not_columns():
    lines = [
        '{"cell": 2.5, "name": "T", "town": "D"}',
        '{"cell": "1", "name": "T"}',
        '{"cell": 1e400, "name": "T"}',
        '{"x": 1e400}',
    ]
    expected = [
        ("Number", Reason.NOT_A_NUMBER, {"Number": 2.5, "Message": "Hi T, from D"}),
        ("Message", Reason.MISSING, {"Number": "1", "_raw": lines[1]}),
        ("Number", Reason.NOT_FINITE, {"Number": "1e400"}),
        (None, Reason.NOT_FINITE, {}),
    ]
    assert expected == bad(stream("\n".join(lines)), mapping=MAPPING)


def test_a_sheets_row_keeps_its_cells(tmp_path):
    book = openpyxl.Workbook()
    for row in [["cell", "name", "town"], [27821234568.5, "Thandi", 5], [True, "Sipho", "Durban"]]:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    expected = [
        ("Number", Reason.NOT_A_NUMBER, {"Number": "27821234568.5", "Message": "Hi Thandi, from 5"}),
        ("Number", Reason.NOT_A_NUMBER, {"Number": "TRUE", "Message": "Hi Sipho, from Durban"}),
    ]
    assert expected == bad(tmp_path / "a.xlsx", mapping=MAPPING)


def test_the_cells_of_a_bad_row_are_in_no_repr():
    assert "082" not in repr(read(stream("Number,Message\n0821234567\n")))


def test_a_bad_row_held_back_looks_like_any_other_record_held_back():
    stage = shape_stage("Number", common={"Campaign": "May"}, rename={"cell": "Number"})
    problems = stage(
        [BadRecord("cell", Reason.RUINED, {"cell": "2.7E+10"}), BadRecord(None, Reason.MALFORMED)], range(1, 3)
    ).problems
    assert [problem.record for problem in problems] == [{"Campaign": "May", "Number": "2.7E+10"}, None]


def test_a_bad_row_that_cannot_be_renamed_is_held_back_as_it_is():
    cells = {"cell": "2.7E+10", "Number": "27821234567"}
    (problem,) = shape_stage("Number", rename={"cell": "Number"})(
        [BadRecord("cell", Reason.RUINED, cells)], range(1, 2)
    ).problems
    assert problem.record == cells


def test_a_field_that_could_not_be_made_is_not_sent_empty_from_the_file_of_rejects(tmp_path):
    """An empty cell holds nothing back, and a text that is missing is no text to be sent."""
    lines = '{"cell": "1", "name": "T"}\n{"cell": "2", "name": [1], "town": "D"}\n'
    path = rejected(stream(lines), tmp_path / "bad.csv", mapping=MAPPING)
    assert [(field, reason) for field, reason, _ in bad(path)] == [(None, Reason.MISSING), (None, Reason.NOT_TEXT)]


# -- mended, and read again --------------------------------------------------------------------------------------------

SOURCE = 'cell,name,town\n082,Thandi\n2.78E+10,Anna,Soweto\n083,Sipho,"Cape, Town"\n084,Lerato,Cape, Town\n1,"a"b,c\n'


def test_rejects_that_were_mended_are_read_as_the_records_they_should_have_been(tmp_path):
    path = rejected(stream(SOURCE), tmp_path / "bad.csv", mapping=MAPPING)
    mended = rows(path)
    for row, number, message in zip(mended, ["0821", "0822", "0823", "0824"], "abcd", strict=True):
        row |= {"Number": number, "Message": message, "_raw": ""}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, mended[0])
        writer.writeheader()
        writer.writerows(mended)
    expected = [
        {"Number": "0821", "Message": "a"},
        {"Number": "0822", "Message": "b"},
        {"Number": "0823", "Message": "c"},
        {"Number": "0824", "Message": "d"},
    ]
    assert expected == read(path)


@pytest.mark.parametrize("name", ["bad.csv", "bad.jsonl"])
def test_rejects_that_were_not_mended_are_rejected_again_for_the_same_reasons(name, tmp_path):
    """Half of a message, say, must not go because somebody sent the file of rejects as it was."""
    first = rejected(stream(SOURCE), tmp_path / name, mapping=MAPPING)
    again = rejected(first, tmp_path / f"again-{name}")
    expected = [(None, Reason.RAGGED), ("Number", Reason.RUINED), (None, Reason.RAGGED), (None, Reason.MALFORMED)]
    assert expected == [(field, reason) for field, reason, _ in bad(first)]
    read_back = rows if name == "bad.csv" else lambda path: list(map(json.loads, path.read_text().splitlines()))
    assert [{**row, "_row": ""} for row in read_back(first)] == [{**row, "_row": ""} for row in read_back(again)]


def test_rejects_that_became_a_sheet_are_held_back_until_they_are_mended(tmp_path):
    path = rejected(stream(SOURCE), tmp_path / "bad.csv")
    book = openpyxl.Workbook()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            book.active.append(row)
    book.active["G2"] = None  # its raw row
    book.save(tmp_path / "bad.xlsx")
    found = read(tmp_path / "bad.xlsx")
    assert found[0] == {"cell": "082", "name": "Thandi", "town": ""}
    assert [one.reason for one in found[1:] if isinstance(one, BadRecord)] == [Reason.RAGGED, Reason.MALFORMED]


def test_a_reason_that_somebody_wrote_over_does_not_let_an_unmended_row_go():
    text = '_row,_reason,_field,Number,_raw\n3,to do,,082,"082,x"\n'
    assert bad(stream(text)) == [(None, Reason.MALFORMED, {"Number": "082", "_raw": "082,x"})]


def test_a_column_raw_of_any_other_file_is_a_field():
    assert read(stream("Number,_raw\n1,x\n")) == [{"Number": "1", "_raw": "x"}]
    assert read(stream('{"Number": "1", "_raw": "x"}')) == [{"Number": "1", "_raw": "x"}]


def test_a_bad_number_in_rejects_of_json_is_kept_without_what_is_said_of_it():
    lines = "".join(
        f'{{"_row": 1, "_reason": "x", "_field": null, "Number": {number}}}\n' for number in ('"1"', "1e400")
    )
    assert bad(stream(lines)) == [("Number", Reason.NOT_FINITE, {"Number": "1e400"})]
