"""Checks against a list's definition, duplicates, and opted-out numbers."""

import random
from decimal import Decimal
from numbers import Integral

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.options import BulkOptions
from mobiz_async.recipients import phones
from mobiz_async.recipients.dedupe import dedupe_stage, load_suppression, suppression_stage
from mobiz_async.recipients.definition import definition_stage
from mobiz_async.recipients.sources import SourceFileError

DEFINITION = {"Number": "msisdn", "Phone": "msisdn", "Message": "text", "ContactId": "numeric", "Email": "email"}
GOOD = {"Number": "27821234567", "Phone": "", "Message": "Hi", "ContactId": "12", "Email": "a@mobiz"}


def checked(records, definition=None):
    return definition_stage(definition or DEFINITION)(records, range(1, len(records) + 1))


def found(staged):
    return {problem.row: (problem.field, problem.reason) for problem in staged.problems}


# -- the definition ----------------------------------------------------------------------------------------------------


def test_a_good_slice_is_handed_on_as_it_is():
    records = [GOOD] * 3
    assert checked(records).records is records


@pytest.mark.parametrize("records", [[], [{"Number": "27821234567"}]])
def test_fields_other_than_the_number_may_be_missing(records):
    assert checked(records).records is records


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("Number", "", Reason.EMPTY),
        ("Number", None, Reason.EMPTY),
        ("Number", "0821234567", Reason.NOT_MSISDN),
        ("Number", "+27821234567", Reason.NOT_MSISDN),
        ("Number", "2782123", Reason.NOT_MSISDN),
        ("Number", "2782123456789012", Reason.NOT_MSISDN),
        ("Number", "2782123456\n", Reason.NOT_MSISDN),
        ("Number", "2782123456\u0661", Reason.NOT_MSISDN),
        ("Number", 27821234567, Reason.NOT_MSISDN),
        ("Phone", "082", Reason.NOT_MSISDN),
        ("Message", 5, Reason.NOT_TEXT),
        ("ContactId", "12a", Reason.NOT_NUMERIC),
        ("ContactId", "1,5", Reason.NOT_NUMERIC),
        ("ContactId", "1.", Reason.NOT_NUMERIC),
        ("ContactId", "\u0661", Reason.NOT_NUMERIC),
        ("ContactId", True, Reason.NOT_NUMERIC),
        ("ContactId", float("inf"), Reason.NOT_NUMERIC),
        ("ContactId", [1], Reason.NOT_NUMERIC),
        ("ContactId", Decimal("1E+3"), Reason.NOT_NUMERIC),
        ("ContactId", Decimal("NaN"), Reason.NOT_NUMERIC),
        ("Email", "a", Reason.NOT_EMAIL),
        ("Email", "@b", Reason.NOT_EMAIL),
        ("Email", "a@", Reason.NOT_EMAIL),
        ("Email", "a@b@c", Reason.NOT_EMAIL),
        ("Email", "a b@c", Reason.NOT_EMAIL),
        ("Email", "a" * 65 + "@b", Reason.NOT_EMAIL),
        ("Email", "a@" + "b" * 253, Reason.NOT_EMAIL),
        ("Email", 5, Reason.NOT_EMAIL),
        ("Extra", "x", Reason.UNKNOWN_FIELD),
    ],
)
def test_what_does_not_fit_is_told_by_row_field_and_reason(field, value, reason):
    records = [GOOD, {**GOOD, field: value}, GOOD]
    staged = checked(records)
    assert found(staged) == {2: (field, reason)}
    assert (staged.records, list(staged.rows)) == ([GOOD, GOOD], [1, 3])


def test_a_missing_number_is_told_whatever_the_other_records_have():
    lacking = {key: value for key, value in GOOD.items() if key != "Number"}
    expected = {1: ("Number", Reason.MISSING), 3: ("Number", Reason.MISSING)}
    assert expected == found(checked([lacking, GOOD, lacking]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Number", "27821234"),
        ("Number", "278212345678901"),
        ("Phone", "27821234567"),
        ("Phone", None),
        ("ContactId", "-12.50"),
        ("ContactId", ""),
        ("ContactId", 5),
        ("ContactId", 2.5),
        ("ContactId", Decimal("1.50")),
        ("ContactId", Decimal(-3)),
        ("Email", "O'Neil+sms@example.co.za"),
        ("Email", "jos\u00e9@b\u00fccher.example"),
        ("Email", "a" * 64 + "@b"),
        ("Email", "a@" + "b" * 252),
        ("Email", None),
        ("Message", "\ud83d"),
    ],
)
def test_what_fits_passes_among_others_and_alone(field, value):
    good = {**GOOD, field: value}
    assert checked([GOOD, good, GOOD]).problems == []
    assert checked([good]).problems == []


def test_two_values_in_one_cell_do_not_make_up_for_an_empty_one():
    """Whole columns are checked as lines; as many lines as values proves nothing when a value holds two."""
    for field, two in (("ContactId", "1\n2"), ("Phone", "27821234567\n27821234568"), ("Email", "a@b\nc@d")):
        records = [{**GOOD, field: two}, {**GOOD, field: ""}]
        assert set(found(checked(records))) == {1}


def test_fields_may_change_from_slice_to_slice():
    stage = definition_stage(DEFINITION)
    for record in (GOOD, {"Number": "27821234567"}, GOOD):
        assert stage([record], range(1, 2)).problems == []


def test_a_definition_without_a_number_asks_for_none():
    assert checked([{"a": "1"}, {}], {"a": "numeric"}).problems == []


def test_a_format_that_the_vendor_does_not_name_is_a_setting_to_mend():
    with pytest.raises(ConfigurationError, match="format"):
        definition_stage({"Number": "phone"})


values = st.one_of(
    st.text(alphabet="0127.@a\n -+\u0661", max_size=10),
    st.none(),
    st.integers(),
    st.floats(),
    st.sampled_from(["27821234567", "a@b", "12"]),
)


@given(st.lists(st.dictionaries(st.sampled_from([*DEFINITION, "Extra"]), values, max_size=5), max_size=5))
def test_a_slice_is_judged_as_its_records_are(records):
    stage = definition_stage(DEFINITION)
    expected = {row: found(checked([record]))[1] for row, record in enumerate(records, 1) if checked([record]).problems}
    assert expected == found(stage(records, range(1, len(records) + 1)))


# -- duplicates --------------------------------------------------------------------------------------------------------


def numbers(values):
    return [{"Number": value} for value in values]


def kept(stage, values, size=7):
    passed = []
    for first in range(0, len(values), size):
        part = numbers(values[first : first + size])
        passed += [r["Number"] for r in stage(part, range(first + 1, first + 1 + len(part))).records]
    return passed


def test_the_first_of_equal_numbers_goes_and_the_others_are_told():
    stage = dedupe_stage()
    first = stage(numbers(["27821234567", "27711234567", "27821234567"]), range(1, 4))
    second = stage(numbers(["27711234567", "27611234567"]), range(4, 6))
    assert (found(first), list(first.rows)) == ({3: ("Number", Reason.DUPLICATE)}, [1, 2])
    assert (found(second), list(second.rows)) == ({4: ("Number", Reason.DUPLICATE)}, [5])


def test_a_slice_that_raises_is_not_remembered() -> None:
    """It is asked for again, record by record: those before the one that raises would be their own duplicates."""

    class Raising(float):
        def __repr__(self) -> str:
            raise ValueError("not for you")

    stage = dedupe_stage()
    records = [{"Number": "27821234567"}, {"Number": "a@b"}, {"Number": Raising(1)}]
    with pytest.raises(ValueError, match="not for you"):
        stage(records, range(1, 4))

    staged = [stage([record], range(row, row + 1)) for row, record in enumerate(records[:2], 1)]

    assert [one.problems for one in staged] == [[], []]


def test_a_slice_without_duplicates_is_handed_on_as_it_is():
    records = numbers(["27821234567", "27711234567"])
    assert dedupe_stage()(records, range(1, 3)).records is records


def test_values_are_compared_exactly():
    """A leading zero tells two values apart, a type does not, and what is not there is nobody's double."""
    values = ["7", "007", 7, "07", 7, "a@b", "a@b", 1.5, 1.5, "1.5", None, None, "", "", "9" * 40, "9" * 40, True]
    assert kept(dedupe_stage(), values) == ["7", "007", "07", "a@b", 1.5, "1.5", None, None, "", "", "9" * 40, True]
    for size in (1, 2, 17):
        assert len(kept(dedupe_stage(), values, size)) == 12


@pytest.mark.parametrize("size", [1, 2, 4])
def test_digits_of_another_script_are_another_value_as_long_as_nothing_normalises_them(size):
    ascii_digits, fullwidth = "27821234567", "".join(chr(ord(digit) + 0xFEE0) for digit in "27821234567")
    assert kept(dedupe_stage(), [ascii_digits, fullwidth] * 2, size) == [ascii_digits, fullwidth]
    assert kept(dedupe_stage(), [fullwidth, fullwidth, ascii_digits], size) == [fullwidth, ascii_digits]


def test_records_without_the_field_pass():
    assert len(dedupe_stage("Email")(numbers(["1", "1"]), range(1, 3)).records) == 2


def test_no_number_is_taken_for_another():
    """Tables grow and collide: half a million numbers, dense, sparse and in steps, against a set."""
    rng = random.Random(5)
    values = [
        *range(27_600_000_000, 27_600_100_000),
        *range(4093, 4093 * 100_000, 4093),
        *(rng.randrange(1, 10**18) for _ in range(100_000)),
        *(rng.randrange(27_600_000_000, 27_600_200_000) for _ in range(200_000)),
    ]
    expected = list(dict.fromkeys(map(str, values)))
    assert expected == kept(dedupe_stage(), list(map(str, values)), 250)


@given(st.lists(st.text(alphabet="017a\n", max_size=20), max_size=30), st.integers(1, 8))
def test_duplicates_are_those_that_a_set_finds(values, size):
    expected = [v for at, v in enumerate(values) if v == "" or v not in values[:at]]
    assert expected == kept(dedupe_stage(), values, size)


# -- suppression -------------------------------------------------------------------------------------------------------


def test_opted_out_numbers_are_compared_in_one_form():
    stage = suppression_stage("Number", ["082 123 4567", "+27711234567", "opted@out"])
    values = ["27821234567", "0711234567", "0611234567", " opted@out ", None, 27821234567]
    expected = {1: "27821234567", 2: "0711234567", 4: " opted@out ", 6: 27821234567}
    staged = stage(numbers(values), range(1, 7))
    assert {row: values[row - 1] for row in expected} == {p.row: p.record["Number"] for p in staged.problems}
    assert {Reason.SUPPRESSED} == {problem.reason for problem in staged.problems}


def test_a_slice_without_opted_out_numbers_is_handed_on_as_it_is():
    records = numbers(["27821234567", "27711234567"])
    assert suppression_stage("Number", ["0611234567"])(records, range(1, 3)).records is records


def test_numbers_that_were_normalised_before_are_compared_as_they_are():
    stage = suppression_stage("Number", ["+44 7911 123456"], normalized=True)
    records = numbers(["447911123456", "447911123457"])
    assert found(stage(records, range(1, 3))) == {1: ("Number", Reason.SUPPRESSED)}
    assert stage(records[1:], range(2, 3)).records == records[1:]


@pytest.mark.parametrize("odd", [["27821234567"], {"a": 1}, 10**5000, Decimal("sNaN"), b"x"], ids=type)
@pytest.mark.parametrize("normalized", [True, False])
def test_what_is_no_number_is_on_no_list_and_ends_nothing(odd, normalized):
    stage = suppression_stage("Number", ["27821234567"], normalized=normalized)
    staged = stage(numbers([odd, "27821234567"]), range(1, 3))
    assert found(staged) == {2: ("Number", Reason.SUPPRESSED)}


def test_a_number_is_on_the_list_as_text_and_as_a_whole_number():
    for normalize in (None, phones.normalize):
        stage = suppression_stage("Number", ["27821234567"], normalize=normalize)
        assert set(found(stage(numbers([27821234567, "27821234567"]), range(1, 3)))) == {1, 2}
        assert set(found(stage(numbers([27821234567]), range(1, 2)))) == {1}


def test_numbers_that_no_text_can_be_made_of_are_compared_too():
    assert len(kept(dedupe_stage(), [10**5000, 10**5000, 10**5001])) == 2


def test_values_of_other_fields_can_be_suppressed_as_they_are():
    stage = suppression_stage("Id", ["082"], normalize=None)
    assert found(stage([{"Id": "082"}, {"Id": "82"}, {}], range(1, 4))) == {1: ("Id", Reason.SUPPRESSED)}


@pytest.mark.parametrize(
    ("content", "column"),
    [
        ("082 123 4567\n\n+27711234567\n", None),
        ("opted out\n082 123 4567\n0711234567\n", None),
        ("Number;when\n0821234567;May\n;June\n0711234567;July\n", None),
        ("cell,when\n0821234567,May\n0711234567,July\n", "cell"),
        ('{"Number": 27821234567}\n{"Number": "0711234567"}\n', None),
        ('{"cell": "27821234567"}\n{"cell": null}\n{"cell": "0711234567"}\n', "cell"),
        ("  # by mail\n\n0821234567\n \n0711234567\n", None),
    ],
)
def test_a_suppression_list_is_any_file_of_numbers(content, column, tmp_path):
    path = tmp_path / "out.txt"
    path.write_text(content)
    assert load_suppression(path, column) == {"27821234567", "27711234567"}


@pytest.mark.parametrize(
    ("content", "rows", "why"),
    [
        ("Number\n082\n", [1], Reason.TOO_SHORT),
        ("0820000001\n0820000002 Thandi\n", [2], Reason.NOT_A_NUMBER),
        ("0820000001\n082 UNKNOWN\n", [2], Reason.NOT_A_NUMBER),
        ('{"Number": "0820000001; 0820000002"}\n', [1], Reason.TOO_LONG),
        ("0820000001\n\n0820000002 # by mail\n", [2], Reason.NOT_A_NUMBER),
        ("0820000001 0820000002\n", [1], Reason.TOO_LONG),
        ("082 000 000\n0820000001\n0820\n", [1, 3], Reason.TOO_SHORT),
        ("0820\n0820000001\n", [1], Reason.TOO_SHORT),
        ("2.79E10\n0820000001\n", [1], Reason.RUINED),
        ("2.7E10\n0820000001\n", [1], Reason.RUINED),
        ("opted@out\n0820000001\n", [1], Reason.NOT_A_NUMBER),
        ('"0820000001"\n"0820000002"x\n', [2], Reason.MALFORMED),
        ("Number,when\n0820000001,May\n0820000002\n", [2], Reason.RAGGED),
        ('{"Number": "0820000001"}\n{"cell": "0820000002"}\n', [2], "missing"),
        ('{"Number": 0}\n', [1], Reason.TOO_SHORT),
    ],
)
def test_a_row_of_a_suppression_file_that_is_no_number_is_an_error_that_holds_no_number(content, rows, why, tmp_path):
    """An opt-out that is lost would be a message to somebody who asked for none."""
    path = tmp_path / "out.txt"
    path.write_text(content)
    with pytest.raises(SourceFileError) as caught:
        load_suppression(path)
    told = str(caught.value).removeprefix(str(path))
    assert (rows[0], True) == (caught.value.row, why in told)
    assert f"{len(rows)} ({', '.join(map(str, rows))};" in told
    assert [word for word in ("082", "2.7E", "2.79", "Thandi", "mail", "@") if word in told] == []
    assert caught.value.__context__ is None


def test_of_many_bad_rows_the_first_are_named_and_all_are_counted(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("Number\n" + "x\n" * 1200)
    with pytest.raises(SourceFileError, match=r"record 1: .* 1,200 \(1, 2, 3, 4, 5 and 1,195 more;"):
        load_suppression(path)


def test_a_number_of_another_country_is_on_the_list_in_the_apis_form(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("+44 7911 123456\n")
    assert load_suppression(path) == {"447911123456"}
    path.write_text("07911 123456\n")
    assert load_suppression(path, region="GB") == {"447911123456"}


def test_a_text_that_is_no_number_is_compared_exactly_where_the_list_comes_from_python():
    """Such as a number of another country that is in the API's form already."""
    stage = suppression_stage("Number", ["447911123456", " 082 "], normalized=True)
    staged = stage(numbers(["447911123456", "082", "0820"]), range(1, 4))
    assert found(staged) == {1: ("Number", Reason.SUPPRESSED), 2: ("Number", Reason.SUPPRESSED)}


@pytest.mark.parametrize(
    "value",
    [
        ("27821234567",),
        ["27821234567"],
        frozenset(["27821234567"]),
        {"Number": "27821234567"},
        b"27821234567",
        True,
        27821234567.5,
        float("inf"),
        Decimal("1.5"),
        Decimal("sNaN"),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_can_be_no_number_is_refused_by_its_place_and_not_shown(value):
    """A row of a database is like no number, so everybody in the list would be texted."""
    with pytest.raises(ConfigurationError) as caught:
        suppression_stage("Number", iter(["27711234567", None, value, object()]))
    said = "suppress is numbers, and value 3 is neither text nor a whole number: of rows, pass what is in them"
    assert (caught.value.setting, str(caught.value)) == ("suppress", said)


@pytest.mark.parametrize("empty", [None, float("nan"), "", " "], ids=repr)
def test_an_empty_cell_among_opted_out_numbers_is_passed_over(empty):
    stage = suppression_stage("Number", [empty, "27821234567"])
    staged = stage(numbers(["27821234567", "None", "nan", "27711234567"]), range(1, 5))
    assert found(staged) == {1: ("Number", Reason.SUPPRESSED)}


@Integral.register
class Int64:
    """As numpy's are: whole numbers, and not of Python's own class."""

    def __str__(self):
        return "27821234567"


@pytest.mark.parametrize(
    "whole", [27821234567, 27821234567.0, Decimal(27821234567), Decimal("2.7821234567E+10"), Int64()]
)
def test_a_whole_number_of_any_kind_may_be_on_the_list(whole):
    assert set(found(suppression_stage("Number", [whole])(numbers(["27821234567"]), range(1, 2)))) == {1}


class Table:
    """As data frames are: their names are those of columns."""

    def keys(self):
        return ["Number"]

    def __getitem__(self, name):
        return ["27821234567"]

    def __iter__(self):
        return iter(self.keys())


@pytest.mark.parametrize("given", ["27821234567", b"27821234567", {"27821234567": "May"}, Table()], ids=type)
def test_what_is_not_several_numbers_is_no_suppression_list(given):
    for refuses in (lambda: suppression_stage("Number", given), lambda: BulkOptions(suppress=given)):
        with pytest.raises(ConfigurationError, match=r"^suppress is numbers, and not ") as caught:
            refuses()
        assert "2782" not in str(caught.value)


def test_an_empty_suppression_list_suppresses_nobody(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("")
    assert load_suppression(path) == frozenset()


@pytest.mark.parametrize("first", ["opted out 2024", "a1 b2 c3 d4"])
def test_a_first_line_with_letters_and_fewer_than_five_digits_is_a_heading(first, tmp_path):
    path = tmp_path / "out.txt"
    path.write_text(f"{first}\n0821234567\n")
    assert load_suppression(path) == {"27821234567"}


@pytest.mark.parametrize("first", ["opted out 20245", "a1 b2 c3 d4 e5", "2024"])
def test_a_first_line_with_five_digits_or_no_letter_is_a_number_however_bad(first, tmp_path):
    path = tmp_path / "out.txt"
    path.write_text(f"{first}\n0821234567\n")
    with pytest.raises(SourceFileError) as caught:
        load_suppression(path)
    assert caught.value.row == 1


def test_a_column_that_the_suppression_file_has_not_is_told_with_the_files_name(tmp_path):
    """The recipients' file has columns too, and may have been asked for one in the same call."""
    path = tmp_path / "out.csv"
    path.write_text("cell,when\n0821234567,May\n")
    with pytest.raises(ConfigurationError) as caught:
        load_suppression(path, column="nope")
    assert str(caught.value).startswith(f"{path}: ")
    assert "cell, when" in str(caught.value)


def test_a_table_of_several_columns_asks_which_one(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("cell,when\n1,2\n")
    with pytest.raises(ConfigurationError, match="There are: cell, when"):
        load_suppression(path)


@pytest.mark.parametrize("content", ["0821234567,Thandi\n0711234567,Sipho\n", "Thandi,2.78E+10\nSipho,2.71E+10\n"])
def test_a_table_without_a_header_is_told_without_its_first_row(content, tmp_path):
    path = tmp_path / "out.csv"
    path.write_text(content)
    for column in (None, "cell"):
        with pytest.raises(ConfigurationError, match="no header") as caught:
            load_suppression(path, column)
        told = str(caught.value).replace(str(path), "")
        assert [word for word in ("0821234567", "2.78", "Thandi") if word in told] == []


def test_a_ruined_number_of_the_list_is_an_error(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("Number,when\n0821234567,May\n2.78E+10,June\n")
    with pytest.raises(SourceFileError) as caught:
        load_suppression(path)
    assert caught.value.row == 2


def test_the_api_form_is_told_for_a_whole_column():
    assert phones.is_api_column("27821234567\n27711234567")
    assert not phones.is_api_column("27821234567\n0711234567")
