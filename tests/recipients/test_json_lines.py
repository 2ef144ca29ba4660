"""JSON Lines: what a line is depends on that line alone, and what is wrong with one is said of it alone."""

import json

import pytest
from source_files import read, stream

from mobiz_async.errors import Reason
from mobiz_async.recipients.sources import SourceFileError, open_recipients
from mobiz_async.recipients.stages import BadRecord

MALFORMED = BadRecord(None, Reason.MALFORMED)


def bad(source, **options):
    """Return (field, reason, cells) of each bad record."""
    return [(one.field, one.reason, one.cells) for one in read(source, **options) if isinstance(one, BadRecord)]


LINES = [
    ('{"Number": "1"}', {"Number": "1"}),
    ('{"Number": "1"} {"Number": "2"}', MALFORMED),
    ('{"Number": "1"}{"Number": "2"}', MALFORMED),
    ('{"Number": "1"},', MALFORMED),
    ('{"batch": [', MALFORMED),
    ('{"Number": "3", "Message": "a draft"}', {"Number": "3", "Message": "a draft"}),
    ("]}", MALFORMED),
    ('{"c":', MALFORMED),
    ("3}", MALFORMED),
    ('\t {"Number": "4"} ', {"Number": "4"}),
    ("oops", MALFORMED),
]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("until", range(2, len(LINES) + 1))
def test_a_line_is_the_same_whatever_comes_after_it(until, end):
    text = end.join(line for line, _ in LINES[:until])
    assert read(stream(text)) == [record for _, record in LINES[:until]]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_a_line_is_the_same_alone_and_among_good_ones(line, expected):
    good = '{"Number": "9"}'
    assert read(stream(f"{good}\n{line}\n{good}\n"))[1:-1] == [expected]


def test_three_objects_on_three_lines_may_be_no_lines_at_all():
    assert read(stream('{"a": 1} {"b": 2}\n{"c":\n3}\n')) == [MALFORMED] * 3


@pytest.mark.parametrize("blank", ["", "\n\n", "\n" * 70_000])
@pytest.mark.parametrize("count", [1, 3_000])
def test_objects_that_go_on_over_many_lines_are_told_before_anything_is_read(blank, count):
    text = blank + (json.dumps({"Number": "1", "Message": "a"}, indent=1) + "\n") * count
    with pytest.raises(SourceFileError, match="one on each line"):
        open_recipients(stream(text))


def test_an_array_of_objects_is_told_whatever_its_name():
    with pytest.raises(SourceFileError, match="JSON array"):
        open_recipients(stream('\n[{"Number": "1"},\n {"Number": "2"}]'))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_json_lines_are_known_in_encodings_with_a_mark(encoding):
    assert read(stream('{"Number": "1"}\n', encoding)) == [{"Number": "1"}]


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ('{"Number": "1", "Message": "a\\ud83d"}', "Message", Reason.NOT_ENCODABLE),
        ('{"Number": "1", "Message": ["\\ud83d"]}', "Message", Reason.NOT_ENCODABLE),
        ('{"Number": "1", "\\ud83d": "a"}', None, Reason.NOT_ENCODABLE),
        ('{"Number": "1", "Message": "a\\ud83d", "n": [1e400]}', None, Reason.NOT_FINITE),
        ('{"Number": "1", "Message": "a\\ud83d", "n": 1e400}', "n", Reason.NOT_FINITE),
    ],
)
def test_half_a_character_is_told_apart_from_a_number_that_is_too_large(line, field, reason):
    assert bad(stream(line)) == [(field, reason, {"_raw": line})]


def test_half_a_character_in_a_column_is_told_of_the_field_it_goes_to():
    line = '{"cell": "1", "name": "\\ud83d"}'
    mapping = {"Number": "cell", "Message": "Hi {name}"}
    assert bad(stream(line), mapping=mapping) == [("Message", Reason.NOT_ENCODABLE, {"_raw": line})]


def test_a_broken_first_line_of_rejects_does_not_make_fields_of_what_is_said_of_them():
    text = '{"_row": 1,\n{"_row": 2, "_reason": "x", "_field": null, "Number": "1", "_raw": ""}\n'
    assert read(stream(text)) == [MALFORMED, {"Number": "1"}]


def test_what_stands_in_raw_holds_a_row_of_rejects_back_whatever_it_is():
    text = '{"_row": 2, "_reason": "missing", "_field": null, "Number": "1", "_raw": {"a": 1}}\n'
    assert bad(stream(text)) == [(None, Reason.MISSING, {"Number": "1", "_raw": "{'a': 1}"})]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"a"', "a"),
        ("null", ""),
        ("12", "12"),
        ("true", "TRUE"),
        ("false", "FALSE"),
        ("1234.0", "1234"),
        ("-0.0", "0"),
        ("0.5", "0.5"),
        ("1e-7", "0.0000001"),
        ("1.5e22", "15000000000000000000000"),
    ],
)
def test_a_template_shows_a_value_as_a_spreadsheet_writes_it(written, text):
    line = f'{{"cell": "1", "x": {written}}}'
    assert read(stream(line), mapping={"Message": "<{x}>"}) == [{"Message": f"<{text}>"}]


@pytest.mark.parametrize("written", ["[1, 2]", '{"a": 1}', "[]"])
def test_a_list_or_an_object_is_no_part_of_a_text(written):
    line = f'{{"cell": "1", "x": {written}}}'
    good = '{"cell": "2", "x": "y"}'
    found = read(stream(f"{good}\n{line}\n{good}\n"), mapping={"Number": "cell", "Message": "Hi {x}"})
    assert [found[0], found[2]] == [{"Number": "2", "Message": "Hi y"}] * 2
    assert found[1] == BadRecord("Message", Reason.NOT_TEXT)
    assert found[1].cells == {"Number": "1", "_raw": line}


def test_a_list_is_a_field_of_its_own_where_it_is_mapped_as_such():
    assert read(stream('{"x": [1, 2]}'), mapping={"tags": "x"}) == [{"tags": [1, 2]}]
