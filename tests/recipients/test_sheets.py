"""Sheets of a workbook: which of them is read, where its columns are, and cells that hold no value."""

import datetime as dt
import gc
import re
import time
import zipfile

import openpyxl
import pytest
from source_files import read

from mobiz_async.errors import Reason
from mobiz_async.recipients.dedupe import load_suppression
from mobiz_async.recipients.extent import refusal_of_sheet
from mobiz_async.recipients.rejects import RejectsWriter
from mobiz_async.recipients.shape import shape_stage
from mobiz_async.recipients.sources import SourceFileError, open_recipients
from mobiz_async.recipients.stages import LARGEST_SLICE, BadRecord
from mobiz_async.recipients.valueless import valueless_cells

ERROR = "error: "


@pytest.fixture
def sheet(tmp_path):
    """A function that writes a sheet, from ``at`` on, and returns the path; ``"error: #N/A"`` becomes an error."""

    def write(rows, at=(1, 1), edit=None):
        book = openpyxl.Workbook()
        for row, cells in enumerate(rows, start=at[0]):
            for column, value in enumerate(cells, start=at[1]):
                cell = book.active.cell(row, column, value)
                if isinstance(value, str) and value.startswith(ERROR):
                    cell.value, cell.data_type = value.removeprefix(ERROR), "e"
        if edit is not None:
            edit(book)
        book.save(tmp_path / "a.xlsx")
        return tmp_path / "a.xlsx"

    return write


def rewritten(path, old, new):
    """Change the XML of the only sheet."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(path, "w") as book:
        for name, content in parts.items():
            book.writestr(name, re.sub(old, new, content) if "sheets/sheet1" in name else content)
    return path


# -- columns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [None, "r1"])
def test_a_given_header_names_the_columns_from_a_on_also_where_those_are_empty(first, sheet):
    path = sheet([[None, "0821234567", "0791234567", "Hi"], [first, "0831234567", None, "Ho"]])
    found = read(path, header=["Ref", "Number", "Home", "Message"])
    assert [(record["Number"], record["Home"]) for record in found] == [
        ("0821234567", "0791234567"),
        ("0831234567", ""),
    ]


def test_a_table_with_a_header_may_begin_anywhere(sheet):
    assert read(sheet([["Number", "b"], ["1", "x"]], at=(4, 3))) == [{"Number": "1", "b": "x"}]


def test_a_row_with_more_cells_than_a_given_header_is_ragged_and_kept_whole(sheet):
    path = sheet([["1", "a"], ["2", "b, c", 5], ["3", "d", None]])
    found = read(path, header=["Number", "Message"])
    assert found == [{"Number": "1", "Message": "a"}, BadRecord(None, Reason.RAGGED), {"Number": "3", "Message": "d"}]
    assert found[1].cells == {"Number": "2", "Message": "b, c", "_raw": '2,"b, c",5'}


def test_a_given_header_may_be_longer_than_the_sheet_is_wide(sheet):
    assert read(sheet([["1"], ["2"]]), header=["Number", "b"])[1] == {"Number": "2", "b": ""}


# -- sheets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_the_first_sheet_is_the_first_that_is_not_hidden(state, sheet):
    def edit(book):
        book.create_chartsheet("Chart", 0)
        book["Sheet"].sheet_state = state
        book.create_sheet("Shown").append(["Number"])
        book["Shown"].append(["2"])
        book.active = 2

    path = sheet([["Number"], ["1"]], edit=edit)
    assert read(path) == [{"Number": "2"}]
    assert read(path, sheet="Sheet") == [{"Number": "1"}]


def test_a_workbook_without_a_sheet_of_cells_is_told(sheet):
    def edit(book):
        book.create_chartsheet("Chart")
        del book["Sheet"]

    with pytest.raises(SourceFileError, match="workbook"):
        open_recipients(sheet([], edit=edit))


def test_values_are_read_and_not_what_a_format_shows_of_them(sheet):
    def edit(book):
        for cell, form in zip(book.active[2], ["@", "0000", "0%", "[h]:mm", "hh:mm", "0.00"], strict=True):
            cell.number_format = form

    row = ["1", 42, 0.15, dt.timedelta(hours=30, minutes=5), dt.time(8, 30), 1e-7]
    path = sheet([["Number", "pin", "share", "long", "at", "small"], row], edit=edit)
    expected = {"Number": "1", "pin": "42", "share": "0.15", "long": "30:05:00", "at": "08:30:00", "small": "0.0000001"}
    assert read(path) == [expected]


def test_a_sum_is_shown_with_the_fifteen_digits_that_a_spreadsheet_shows(sheet):
    """Excel stores 3.3000000000000003 of 1.1 * 3, and shows 3.3."""
    stored = {"11": "3.3000000000000003", "12": "114.99999999999999", "13": "-1234.5600000000002", "14": "0.15"}
    path = sheet([["Number", *"abcd"], ["0821234567", *map(int, stored)]])
    for number, value in stored.items():
        rewritten(path, rb"<v>%b</v>" % number.encode(), b"<v>%b</v>" % value.encode())
    mapping = {"Number": "Number", "Message": "R{a} R{b} R{c} R{d}", "Sum": "a"}
    assert read(path, mapping=mapping) == [
        {"Number": "0821234567", "Message": "R3.3 R115 R-1234.56 R0.15", "Sum": "3.3"}
    ]


# -- cells without a value ---------------------------------------------------------------------------------------------


MAPPING = {"Number": "cell", "Message": "Hi {name}, you owe {sum}"}
HEADER = ["cell", "name", "sum", "note"]


@pytest.mark.parametrize(("value", "shown"), [("error: #N/A", "#N/A"), ("error: #REF!", "#REF!"), ("=A1", "")])
def test_a_cell_without_a_value_that_a_record_needs_makes_its_row_a_bad_record(value, shown, sheet):
    path = sheet([HEADER, ["1", value, 5], ["2", "Thandi", 6, value], [value, "Sipho", 7]])
    found = read(path, mapping=MAPPING)
    good = {"Number": "2", "Message": "Hi Thandi, you owe 6"}
    assert found == [BadRecord("Message", Reason.NO_VALUE), good, BadRecord("Number", Reason.NO_VALUE)]
    raw = f'{{"cell": "1", "name": "{shown}", "sum": "5", "note": ""}}'
    assert found[0].cells == {"Number": "1", "Message": f"Hi {shown}, you owe 5", "_raw": raw}


def test_a_row_of_nothing_but_cells_without_a_value_is_a_row(sheet):
    path = sheet([["Number", "b"], ["1", "x"], ["=A2", None], ["error: #N/A"]])
    with open_recipients(path) as recipients:
        assert [type(record) for record in recipients] == [dict, BadRecord, BadRecord]
        assert recipients.length == 3


def test_an_opt_out_without_a_value_is_not_lost(sheet):
    path = sheet([["Number"], ["0821234567"], ["=A2"]])
    with pytest.raises(SourceFileError, match="record 2: a cell of the sheet holds an error"):
        load_suppression(path)


def test_an_error_in_another_column_of_opt_outs_does_not_matter(sheet, tmp_path):
    text = tmp_path / "optouts.csv"
    text.write_text("Number,Name\n0821234567,#N/A\n")
    path = sheet([["Number", "Name"], ["0821234567", "=A2"]])
    assert load_suppression(text) == load_suppression(path) == {"27821234567"}


OPEN_DOCUMENT = """<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0">
<office:body><office:spreadsheet><table:table table:name="Sheet">{}</table:table></office:spreadsheet></office:body>
</office:document-content>"""
ROW = '<table:table-row><table:table-cell office:value-type="string">{}</table:table-cell></table:table-row>'
AN_ERROR = '<table:table-row><table:table-cell table:formula="of:=NA()" office:value-type="error"/></table:table-row>'
MANIFEST = """<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">
<manifest:file-entry manifest:full-path="/" manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/>
</manifest:manifest>"""


@pytest.fixture
def ods(tmp_path):
    """A workbook of another kind: a heading, a number, and a cell with an error."""
    path = tmp_path / "a.ods"
    cells = "".join(ROW.format(f"<text:p>{text}</text:p>") for text in ("Number", "0821234567"))
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr("META-INF/manifest.xml", MANIFEST)
        book.writestr("content.xml", OPEN_DOCUMENT.format(cells + AN_ERROR))
    return path


@pytest.mark.parametrize("column", [None, "Number"])
def test_opt_outs_in_a_workbook_whose_errors_look_empty_are_refused(column, ods):
    with pytest.raises(SourceFileError, match=r"a\.ods: .*#N/A.* save it as \.xlsx or CSV"):
        load_suppression(ods, column)


def test_recipients_in_such_a_workbook_are_read_and_it_says_so(ods, sheet):
    assert read(ods) == [{"Number": "0821234567"}]
    with open_recipients(ods) as recipients, open_recipients(sheet([["Number"], ["1"]])) as others:
        assert (recipients.hides_errors, others.hides_errors) == (True, False)


def test_what_a_cell_without_a_value_left_of_a_text_is_not_sent_from_the_file_of_rejects(sheet, tmp_path):
    found = read(sheet([HEADER, ["1", "error: #N/A", 5]]), mapping=MAPPING)
    with RejectsWriter(tmp_path / "bad.csv") as rejects:
        for problem in shape_stage("Number")(found, range(1, 2)).problems:
            rejects.write_problem(problem)
    assert read(tmp_path / "bad.csv") == [BadRecord(None, Reason.NO_VALUE)]


def test_a_header_that_is_a_formula_without_a_result_is_no_name(sheet):
    with pytest.raises(SourceFileError, match="no name for column 2"):
        open_recipients(sheet([["Number", "=A1"], ["1", "x"]]))


def test_formulas_with_a_result_are_values_and_an_empty_text_is_one(sheet):
    path = sheet([["Number", "a", "b", "c"], ["1", "=A2", '=""', "=C2"]])
    rewritten(path, rb'<c r="B2"><f>A2</f><v ?/></c>', rb'<c r="B2"><f>A2</f><v>1</v></c>')
    rewritten(path, rb'<c r="C2"><f>""</f><v ?/></c>', rb'<c r="C2" t="str"><f>""</f><v></v></c>')
    rewritten(path, rb'<c r="D2"><f>C2</f><v ?/></c>', rb'<c r="D2" t="str"><f t="shared" si="0"/><v/></c>')
    assert read(path) == [{"Number": "1", "a": "1", "b": "", "c": ""}]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        (rb"<c r='B2' t='e'><f>A1</f><v>#N/A</v></c>", {(1, 1): "#N/A"}),
        (rb'<c r="B2" s="1" t="e"/>', {(1, 1): ""}),
        (rb'<c r="AB12"><f t="shared" si="0"/></c>', {(11, 27): ""}),
        (rb'<c r="B2"><f>A1</f><v>\n</v></c>', {(1, 1): ""}),
        (rb'<c r="B2" t="n"><f>A1</f></c>', {(1, 1): ""}),
        (rb'<c t="e"><v>#N/A</v></c>', {}),  # nobody can say where
        (rb'<c r="B2" t="inlineStr"><is><t>t="e"&gt;</t></is></c>', {}),
        (rb'<c r="B2" t="b"><f>A1</f><v>1</v></c>', {}),
    ],
)
@pytest.mark.parametrize("prefix", [b"", b"x:"])
def test_cells_without_a_value_are_found_in_every_spelling(cell, found, prefix, sheet):
    path = sheet([["Number"], ["1", "here"]])
    rewritten(path, rb'<c r="B2"[^>]*>.*?</c>', cell)
    rewritten(path, rb"<(/?)(?=\w)", rb"<\1" + prefix)
    rewritten(path, b"xmlns=", b"xmlns:x=" if prefix else b"xmlns=")
    with path.open("rb") as stream:
        assert valueless_cells(stream, "Sheet") == found


def test_cells_are_found_wherever_the_blocks_end(sheet, monkeypatch):
    path = sheet([["Number", "b"]] + [["1", "error: #N/A"], ["=A1", "x"]] * 20)
    expected = {(row, row % 2): "#N/A" if row % 2 else "" for row in range(1, 41)}
    for size in (1, 7, 100, 1_000):
        monkeypatch.setattr("mobiz_async.recipients.valueless._BLOCK", 300 + size)
        with path.open("rb") as stream:
            assert valueless_cells(stream, "Sheet") == expected


def test_of_other_files_nobody_can_tell(file, sheet):
    with file("a.xls", b"\xd0\xcf\x11\xe0 nothing of the sort").open("rb") as stream:
        assert valueless_cells(stream, "Sheet") is None
    with sheet([["1"]]).open("rb") as stream:
        assert valueless_cells(stream, "Other") is None
        assert valueless_cells(stream, "Sheet") == {}


def test_a_sheet_is_found_by_its_name(sheet):
    def edit(book):
        book.create_sheet("B & <C>")["A1"] = "=1+1"

    with sheet([["Number"], ["error: #N/A"]], edit=edit).open("rb") as stream:
        assert valueless_cells(stream, "B & <C>") == {(0, 0): ""}
        assert valueless_cells(stream, "Sheet") == {(1, 0): "#N/A"}


# -- sheets that would take all memory ---------------------------------------------------------------------------------

LAST = '<c r="XFD1048576" t="inlineStr"><is><t>x</t></is></c>'
FAR_OUT = {
    "in the last corner": f'<row r="1048576">{LAST}</row>',
    "in single quotes": f'<row r="1048576">{LAST}</row>'.replace('"', "'"),
    "of another prefix": f'<row r="1048576">{LAST}</row>'.replace("<c ", '<x:c xmlns:x="x" ').replace("</c>", "</x:c>"),
    "in small letters": f'<row r="1048576">{LAST}</row>'.replace("XFD", "xfd"),
    "another attribute first": f'<row r="1048576">{LAST}</row>'.replace("<c ", '<c s="1" '),
    "below the last row of Excel": '<row r="4294967295"><c r="A4294967295"><v>1</v></c></row>',
    "beyond the last column of Excel": '<row r="3"><c r="XFE3"><v>1</v></c></row>',
    "that does not say where it stands": '<row r="1048576">' + "<c/>" * 100 + "<c><v>1</v></c></row>",
    "of many columns and many rows": '<row r="900000"><c r="AZ900000"><v>1</v></c></row>',
    "that says twice where it stands": '<row r="900000"><c r="A1" r="AZ900000"><v>1</v></c></row>',
    "in lines of their own": '<row r="900000"><c\nr="AZ900000"><v>1</v></c></row>',
}


@pytest.mark.parametrize("case", FAR_OUT)
def test_a_sheet_with_a_cell_far_out_is_refused_before_anything_makes_room_for_it(case, sheet):
    """The library that reads workbooks ends the process, where there is no memory for the rectangle."""
    path = rewritten(sheet([["Number"], ["0821234567"]]), b"</sheetData>", f"{FAR_OUT[case]}</sheetData>".encode())
    with pytest.raises(SourceFileError, match=r"more than 33,554,432 cells"):
        read(path)


@pytest.mark.parametrize("at", [(1, 1), (999_999, 1), (1_048_575, 3), (99_998, 300), (3, 16_383)])
def test_a_table_may_stand_anywhere_that_excel_has(at, sheet):
    rows = [["Number", "Message"], ["0821234567", "Hi"]]
    with sheet(rows, at).open("rb") as stream:
        assert refusal_of_sheet(stream, "Sheet") is None


def test_so_may_one_whose_cells_do_not_say_where_they_stand(sheet):
    path = rewritten(sheet([["Number", "Message"], ["0821234567", "Hi"]]), rb'(<(?:row|c)) r="\w+"', rb"\1")
    assert read(path) == [{"Number": "0821234567", "Message": "Hi"}]


@pytest.mark.parametrize("width", [3, 30])
@pytest.mark.parametrize("declared", ['encoding="UTF-8"', 'encoding="UTF-8" standalone="yes"'])
def test_a_sheet_as_excel_writes_it_is_measured_quickly(width, declared, sheet, monkeypatch):
    """The other way takes ten times as long, more than all the rest of reading the sheet."""
    monkeypatch.delattr("mobiz_async.recipients.extent._extent")
    path = sheet([["Number", *map(str, range(1, width))], ["0821234567", *[5] * (width - 1)]])
    rewritten(path, rb"^(<\?xml[^>]*>)?<worksheet", f'<?xml version="1.0" {declared}?>\n<worksheet'.encode())
    assert len(read(path)[0]) == width


def test_an_archive_that_is_no_workbook_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("spring.csv", "Number\n0821234567\n")
    with pytest.raises(SourceFileError, match="a ZIP archive, and no workbook; unpack it first"):
        open_recipients(tmp_path / "a.zip")


def test_rows_of_a_sheet_are_made_as_they_are_asked_for(sheet):
    """All of them at once took as much memory again as the library takes for its cells."""
    rows = iter(open_recipients(sheet([["Number"], *([str(27820000000 + n)] for n in range(2_000))])))
    next(rows)
    held = [one for one in gc.get_objects() if type(one) is dict and one.keys() == {"Number"}]
    lists = [one for one in gc.get_objects() if type(one) is list and len(one) == 1 and type(one[0]) is str]
    assert len(held) + sum(one[0].startswith("2782000") for one in lists) < 4 * LARGEST_SLICE


@pytest.mark.parametrize("true", [True, False])
def test_a_part_that_would_be_too_large_is_refused_whatever_the_archive_says(true, sheet, monkeypatch):
    monkeypatch.setattr("mobiz_async.recipients.extent.MOST_BYTES", 1 << 20)
    path = sheet([["Number"], ["0821234567"]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/large.xml", b" " * (1 << 21))
    if not true:
        content = path.read_bytes()
        path.write_bytes(content.replace((1 << 21).to_bytes(4, "little"), (1 << 10).to_bytes(4, "little")))
    with pytest.raises(SourceFileError, match="a part of more than 1,048,576 bytes"):
        read(path)


@pytest.mark.parametrize(
    "content",
    [
        "<f>1</f>" + " " * (1 << 20) + "<v>1</v>",
        "<f>1</f><v>" + " " * (1 << 20) + "x</v>",
        '<is><t>t="e"' + "t='e'" * (1 << 16) + "</t></is>",
    ],
    ids=lambda text: text[:12],
)
def test_a_cell_is_looked_through_once(content, sheet):
    path = rewritten(
        sheet([["Number"], ["0821234567"]]), b"</sheetData>", b"<row><c>%b</c></row></sheetData>" % content.encode()
    )
    began = time.thread_time()
    with path.open("rb") as stream:
        assert valueless_cells(stream, "Sheet") == {}
    assert time.thread_time() - began < 2.0  # it took hours
