"""What an error may say of a file's columns."""

import openpyxl
import pytest

from mobiz_async import ConfigurationError
from mobiz_async.recipients.columns import field_sources
from mobiz_async.recipients.sources import SourceFileError, open_recipients

DATA = ["0821234567", "+27 (0)82 123-4567", "thandi@example.com", "2.78E+10"]


@pytest.mark.parametrize("cell", DATA)
def test_a_first_row_of_data_is_not_quoted_as_a_header(cell):
    with pytest.raises(ConfigurationError) as caught:
        field_sources({"Number": "phone"}, ["Thandi", cell])
    told = str(caught.value)
    assert (cell in told, "Thandi" in told, "no header" in told) == (False, False, True)


def test_the_columns_there_are_named():
    with pytest.raises(ConfigurationError, match="there are: first_name, cell2"):
        field_sources({"Number": "phone"}, ["first_name", "cell2"])


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\u202eb", "x" * 100])
def test_a_column_that_cannot_be_shown_is_told_by_its_position(name):
    with pytest.raises(ConfigurationError, match=r"there are: first_name, \[column 2\]$"):
        field_sources({"Number": "phone"}, ["first_name", name])


@pytest.mark.parametrize("cell", DATA)
@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.parametrize(
    ("rest", "told"), [(["{0}"], "columns 1 and 2 alike"), (["Thandi", "Thandi"], "2 and 3 alike"), ([""], "column 2")]
)
def test_a_first_row_of_data_that_is_no_good_header_is_told_by_position(cell, form, rest, told, tmp_path):
    path = tmp_path / f"a.{form}"
    row = [cell, *(one.format(cell) for one in rest)]
    if form == "csv":
        path.write_text(";".join(row) + "\n")
    else:
        book = openpyxl.Workbook()
        book.active.append(row)
        book.active.append(["x"] * len(row))
        book.save(path)
    with pytest.raises(SourceFileError, match=told) as caught:
        open_recipients(path)
    message = str(caught.value)
    assert (cell in message, "Thandi" in message, "no header" in message) == (False, False, True)


def test_a_name_twice_that_cannot_be_shown_is_told_by_position(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\x1b[2J,b,a\x1b[2J\n1,2,3\n")
    with pytest.raises(SourceFileError, match=r"columns 1 and 3 alike$"):
        open_recipients(path)
