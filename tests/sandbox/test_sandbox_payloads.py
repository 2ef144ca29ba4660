"""Queries and JSON are read strictly, by hand."""

from __future__ import annotations

import pytest

from mobiz_async.sandbox.payloads import BadPayloadError, parse_json, parse_query


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("api_key=a%2Bb%26c&list_id=1", {"api_key": "a+b&c", "list_id": "1"}),
        ("send_time=", {"send_time": ""}),
        ("name=Sipho+Dlamini%20Z%C3%BC", {"name": "Sipho Dlamini Zü"}),
    ],
)
def test_a_query_is_percent_encoded_pairs(text, expected):
    assert parse_query(text) == expected


@pytest.mark.parametrize("text", ["a=1&a=2", "a", "a=1&", "a=%FF"])
def test_an_ambiguous_query_is_refused(text):
    with pytest.raises(BadPayloadError):
        parse_query(text)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'[{"a": 1}, {"a": "x\\"y\\u00e9"}]', [{"a": 1}, {"a": 'x"yé'}]),
        (b' {"a" : [1.5, null, true] } ', {"a": [1.5, None, True]}),
        ('["\\ud83d\\ude00", "😀"]'.encode(), ["😀", "😀"]),
    ],
)
def test_json_is_read_as_it_is(body, expected):
    assert parse_json(body) == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is not JSON"),
        (b"{'a': 1}", "the body is not JSON"),
        (b"[1] x", "the body is not JSON"),
        (b"\xef\xbb\xbf[]", "the body is not JSON"),
        (b'["\xff"]', "the body is not UTF-8 text"),
        (b'["\\ud800"]', "the body is not UTF-8 text"),
        (b'{"a": 1, "a" : 2}', "an object has the same name twice"),
        (b'[{"b": {"a": 1, "a": 1}}]', "an object has the same name twice"),
        (b"[NaN]", "NaN and Infinity are not JSON"),
        (b"[-Infinity]", "NaN and Infinity are not JSON"),
        (b"[1e999]", "a number is beyond what a float holds"),
        (b"[" * 100_000, "the body is nested too deeply"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_reason(body, reason):
    with pytest.raises(BadPayloadError) as caught:
        parse_json(body)

    assert str(caught.value) == reason
