"""Values to bytes and bytes to values: the vendor's field names live here and nowhere else.

Every ``Request`` is one POST of the vendor's reference; ``read`` turns any ``Reply`` into an ``Answer`` without
judging it. The judging is done by ``verdicts``.
"""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import attrs
import cattrs
import msgspec
from cattrs.gen import make_dict_structure_fn, override

from mobiz_async.encoding import encode
from mobiz_async.errors import ConfigurationError
from mobiz_async.legible import legible
from mobiz_async.models import Secret
from mobiz_async.reports import MessageStatus
from mobiz_async.settings import has_text

__all__ = [
    "SUBSCRIPTION_HEADER",
    "Answer",
    "AnswerKind",
    "Body",
    "Operation",
    "Reply",
    "Request",
    "SendTimeFormat",
    "append_request",
    "check_trigger_key",
    "create_list_request",
    "format_send_time",
    "read",
    "trigger_request",
    "unquoted",
]

SUBSCRIPTION_HEADER = "Ocp-Apim-Subscription-Key"
API_KEY_PARAMETER = "api_key"

Body = bytes | bytearray | memoryview
SendTimeFormat = Literal["unix", "iso8601"] | Callable[[datetime], str]


class Operation(enum.StrEnum):
    """The four operations, by the vendor's names."""

    TRIGGER = "TriggerMessage"
    SCHEDULE = "ScheduleMessage"
    APPEND = "SendBulkMessages"
    CREATE_LIST = "CreateDataList"

    @property
    def is_trigger(self) -> bool:
        """Whether the reply has the shape of a trigger's."""
        return self in (Operation.TRIGGER, Operation.SCHEDULE)


@attrs.frozen
class _Facts:
    """What the vendor's reference says of an operation: its path, and the names of the fields in its reply.

    None: a reply of it has no such field.
    """

    path: str
    code: str
    """The field that says whether the request was taken."""
    message: str
    reference: str | None = None
    messages: str | None = None
    list_id: str | None = None


_OF_TRIGGERS = _Facts(
    path="/TriggerMessage/manual/paths/invoke",
    code="Result_Code",
    message="Result_Description",
    reference="Reference",
    messages="Message_Status",
)
_FACTS: Mapping[Operation, _Facts] = {
    Operation.TRIGGER: _OF_TRIGGERS,
    Operation.SCHEDULE: _OF_TRIGGERS,
    Operation.APPEND: _Facts(path="/customers/CustomerList-append", code="status", message="message"),
    Operation.CREATE_LIST: _Facts(
        path="/customers/CustomerList-create", code="status", message="message", list_id="list_id"
    ),
}


@attrs.frozen
class Request:
    """One POST, without the credentials: the transport adds those at the last moment."""

    operation: Operation
    path: str
    query: Mapping[str, str] = attrs.field(repr=False)
    body: Body = attrs.field(repr=False)
    records: int = 1


@attrs.frozen
class Reply:
    """What came back: the status, the headers with lower-case names, and the body up to the transport's cap."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)


def trigger_request(trigger_key: Secret, body: Body, records: int = 1, send_time: str | None = None) -> Request:
    """TriggerMessage, or with ``send_time`` Schedule Message.

    ``body`` is an encoded object, or an array of them, under the columns' letters ("A" is the mobile number).
    ``check_trigger_key`` comes first: what raises over ``body`` would show it.
    """
    query = {"trigger_key": trigger_key.reveal()}
    if send_time is None:
        return _request(Operation.TRIGGER, query, body, records)
    return _request(Operation.SCHEDULE, {**query, "send_time": send_time}, body, records)


def check_trigger_key(trigger_key: Secret) -> None:
    """Raise ``ConfigurationError`` unless it is text with something in it."""
    if not has_text(trigger_key.reveal()):
        raise ConfigurationError("the trigger key is empty, or no text")


def append_request(list_id: str, body: Body, records: int) -> Request:
    """SendBulkMessages: ``body`` is an encoded array of at most 10,000 objects."""
    return _request(Operation.APPEND, {"list_id": list_id}, body, records)


def create_list_request(username: object, name: object, definition: Mapping[str, str]) -> Request:
    """Creating a Data List: a name and a format for each field.

    Raises ``ConfigurationError`` where a name is empty or no text, or where it or a field's cannot be written.
    """
    if not has_text(username):
        raise ConfigurationError("is empty, or no text", setting="username", variable="MOBIZ_USERNAME")
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError("the list's name is empty, or no text")
    try:
        body = encode({"Customer List Name": name, "Customer List Definition": dict(definition)})
    except UnicodeEncodeError:
        raise ConfigurationError(
            "the list's name, or that of a field, cannot be encoded: it has half of a surrogate pair"
        ) from None
    return _request(Operation.CREATE_LIST, {"username": username}, body, 0)


def _request(operation: Operation, query: Mapping[str, str], body: Body, records: int) -> Request:
    return Request(operation, _FACTS[operation].path, query, body, records)


def format_send_time(when: datetime | str, form: SendTimeFormat, now: float) -> str:
    """Return ``send_time`` for the query. ``now`` is seconds since the epoch; a ``str`` goes as it is.

    The vendor's reference says ``future_time_stamp`` and no more; whole Unix seconds are assumed ("unix"), rounded up,
    so that a part of a second ahead is not sent as the past. Raises ``ConfigurationError`` for a naive datetime, one
    that is not in the future, an empty text (a server might take it for "now"), or an unknown ``form``.
    """
    if isinstance(when, str):
        return _not_blank(when)
    if not isinstance(when, datetime):
        raise ConfigurationError("is a datetime with a time zone, or text", setting="send_time")
    if when.utcoffset() is None:
        raise ConfigurationError("needs a time zone: a naive datetime could mean any hour", setting="send_time")
    if when.timestamp() <= now:
        raise ConfigurationError("is not in the future", setting="send_time")
    if callable(form):
        return _not_blank(form(when))
    if form == "unix":
        return str(math.ceil(when.timestamp()))
    if form == "iso8601":
        whole = when.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=when.microsecond > 0)
        return whole.isoformat().replace("+00:00", "Z")
    raise ConfigurationError("is 'unix', 'iso8601' or a callable", setting="send_time_format")


def _not_blank(text: object) -> str:
    if not has_text(text):
        raise ConfigurationError("send_time is empty, or send_time_format returned no text")
    return text


class AnswerKind(enum.Enum):
    """What kind of answer a reply's body is."""

    EMPTY = "no body"
    UNREADABLE = "not JSON, not an object, or one that contradicts itself"
    RESULT = "a trigger's result code, or a list's status"
    OTHER = "JSON without the documented fields: the gateway's own, or somebody else's"


@attrs.frozen
class Answer:
    """A reply's body, read leniently. ``code`` is ``Result_Code`` or ``status``; ``message`` has no long numbers."""

    kind: AnswerKind
    code: int | None = None
    message: str | None = None
    reference: str | None = None
    list_id: str | None = None
    messages: tuple[MessageStatus, ...] = ()
    raw: Any = attrs.field(default=None, repr=False)


# What the API says in words may quote a record or a whole URL back; neither may reach an exception.
_QUOTED = re.compile(r"(?<!\w)(?:'[^']*'|\"[^\"]*\"|`[^`]*`|\u2018[^\u2019]*\u2019|\u201c[^\u201d]*\u201d)(?!\w)")
# Seven digits or more, whatever a server puts between them to make them readable. A list of figures has ", " there.
_LONG_NUMBER = re.compile(r"\+?\d(?:(?:[^\w,;]|_)*\d|,\d){6,}")
# Addresses and URLs are looked for a word at a time: a pattern that begins with "any number of" takes for ever.
_WORD = re.compile(r"\S+")
_OF_URLS = re.compile("://|api_key=", re.IGNORECASE).search
_UNCLOSED = re.compile(r"(?<!\w)(?:'[^']*|\"[^\"]*|`[^`]*|\u2018[^\u2019]*|\u201c[^\u201d]*)\Z")
_MESSAGE_LIMIT = 200
_LOOKED_AT = 2000
"""Characters of a text that are searched for what to hide: the time that takes may grow with their square."""
_CODE = re.compile(r"\s*-?[0-9]{1,9}\s*")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _words(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    if value.isalpha():  # "Accepted": nothing to hide in it
        return value[:_MESSAGE_LIMIT]
    text = legible(value[:_LOOKED_AT])  # which may make it longer
    hidden = _WORD.sub(_shown_word, text[:_LOOKED_AT])
    hidden = _LONG_NUMBER.sub("[number]", _QUOTED.sub("[quoted]", hidden))
    if max(len(value), len(text)) > _LOOKED_AT:
        hidden = _UNCLOSED.sub("[quoted]", hidden)  # its end may lie beyond
    return hidden[:_MESSAGE_LIMIT]


def _shown_word(found: re.Match[str]) -> str:
    if _OF_URLS(found[0]):
        return "[url]"
    return "[address]" if "@" in found[0][1:-1] else found[0]


def _reference(value: object) -> str | None:
    # It may be a long number, and is there to be quoted; a URL it can only be by a gateway's mistake. Whether it has
    # anything of what was sent, ``unquoted`` sees to.
    text = _text(value)
    if text is None:
        return None
    words = legible(text[:_LOOKED_AT])[:_LOOKED_AT]
    return _WORD.sub(lambda found: "[url]" if _OF_URLS(found[0]) else found[0], words)[:_MESSAGE_LIMIT]


_NATIONAL = 8
"""Digits by which a number is known again, with its country code or without."""


def unquoted(reference: str, body: Body) -> str | None:
    """Return ``reference`` without the phone numbers of ``body``, which a server may refer to a message by.

    An id may look like one as well, and is to be quoted to the vendor: what was sent alone tells them apart. What has
    blanks in it is no id, but words.
    """
    if " " in reference:
        return _words(reference)
    if not _LONG_NUMBER.search(reference):
        return reference
    sent = bytes(body).translate(None, b" +-.()")

    def shown(found: re.Match[str]) -> str:
        parts = ["".join(str(int(digit)) for digit in part) for part in re.findall(r"\d+", found[0])]
        ends = {digits[-_NATIONAL:] for digits in ("".join(parts), *parts) if len(digits) >= _NATIONAL}
        return "[number]" if any(end.encode() in sent for end in ends) else found[0]

    return _LONG_NUMBER.sub(shown, reference)


def _whole(value: object) -> int | None:
    if isinstance(value, str) and _CODE.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    # Ids are numbers in places; one beyond 64 bits is none, and Python refuses to write out very long ones.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value < 1 << 64 else None


# Each field has a hook of its own: cattrs' coerce silently, and a null id would become the text "None".
_converter = cattrs.Converter(detailed_validation=False)
_structure_message = make_dict_structure_fn(
    MessageStatus,
    _converter,
    message_id=override(rename="Message_Id", struct_hook=lambda value, _: _text(value)),
    status=override(rename="Status", struct_hook=lambda value, _: _text(value)),
    extra=override(omit=True),
)


_MESSAGE_FIELDS = frozenset({"Message_Id", "Status"})


def _message(value: Any) -> MessageStatus:
    if not isinstance(value, dict):
        raise TypeError("expected an object")
    made = _structure_message(value, MessageStatus)
    if value.keys() <= _MESSAGE_FIELDS:
        return made
    return attrs.evolve(made, extra={key: item for key, item in value.items() if key not in _MESSAGE_FIELDS})


def _messages(value: object) -> tuple[MessageStatus, ...]:
    try:
        return tuple(map(_message, value)) if isinstance(value, list) else ()
    except (TypeError, ValueError, KeyError):
        return ()


def read(operation: Operation, reply: Reply) -> Answer:
    """Read a reply's body. Unknown fields are kept in ``raw``; nothing a server sends makes this raise."""
    body = reply.body.removeprefix(_BYTE_ORDER_MARK)  # some .NET servers begin their JSON with one
    if not body.strip():
        return Answer(AnswerKind.EMPTY)
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Answer(AnswerKind.UNREADABLE)
    facts = _FACTS[operation]
    if not isinstance(raw, dict) or _contradicts_itself(body, facts.code):
        return Answer(AnswerKind.UNREADABLE, raw=raw)
    if (code := _whole(raw.get(facts.code))) is not None:
        return Answer(
            AnswerKind.RESULT,
            code=code,
            message=_words(raw.get(facts.message)),
            reference=_reference(raw.get(facts.reference)),
            list_id=_text(raw.get(facts.list_id)),
            messages=_messages(raw.get(facts.messages)),
            raw=raw,
        )
    return Answer(
        AnswerKind.OTHER,
        message=_words(_first(raw, ("message",), ("error", "message"))),
        reference=_reference(raw.get("activityId")),
        raw=raw,
    )


def _contradicts_itself(body: bytes, name: str) -> bool:
    """Whether an object has ``name`` twice, with two codes: a decoder would take the last, and somebody else the first.

    Which of them is meant nobody can say. Whether the name is there twice is asked of every reply, and so is quick.
    """
    if body.count(b'"%b"' % name.encode()) < 2:  # noqa: PLR2004  twice is two
        return False
    try:
        fields = json.loads(body, object_pairs_hook=list)  # an object as its names and values, in order
    except (ValueError, RecursionError):  # which msgspec took
        return True
    return len({_whole(value) for field, value in fields if field == name}) > 1


def _first(raw: dict[str, Any], *paths: Sequence[str]) -> object:
    for path in paths:
        value: Any = raw
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None
