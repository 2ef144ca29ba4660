"""The four documented operations: what becomes of a request, decided apart from how it is answered on the wire.

``Operations.decide`` looks at a request without changing anything. An ``Acceptance`` is applied later, or never: that
is what lets a fault come before or after the moment of application.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from mobiz_async.models import FIELD_FORMATS, MAX_RECORDS_PER_APPEND, DataList, ResultCode
from mobiz_async.sandbox import answers
from mobiz_async.sandbox.answers import Answer
from mobiz_async.sandbox.ledger import Ledger
from mobiz_async.sandbox.lists import BadRecord, check_records, identity_text, number_field
from mobiz_async.sandbox.logfile import AppliedLog
from mobiz_async.sandbox.payloads import BadPayloadError, parse_json

__all__ = ["APPEND", "CREATE", "PATHS", "TRIGGER", "Acceptance", "Operations", "Refusal"]

TRIGGER = "/TriggerMessage/manual/paths/invoke"
APPEND = "/customers/CustomerList-append"
CREATE = "/customers/CustomerList-create"
PATHS = (TRIGGER, APPEND, CREATE)

_UNIX_SECONDS = re.compile(
    r"[0-9]{1,11}"
)  # 13 digits are milliseconds: a slip that would schedule into the year 50,000
_TRIGGER_PHONE = "A"
"""Vendor's reference: ``{"A": "MobileNumber", ...}``, columns named by letters."""


@attrs.frozen
class Refusal:
    """The API says no; nothing is applied."""

    answer: Answer
    posted: int = 0


@attrs.frozen
class Acceptance:
    """The API would take it: ``apply(request number, digest)`` does, and returns the answer and how many records."""

    posted: int
    apply: Callable[[int, str], tuple[Answer, int]]


@attrs.define
class Operations:
    """The API's state and its rules; see ``Sandbox`` for what the settings mean."""

    api_key: str = attrs.field(repr=False)
    username: str
    trigger_keys: set[str] = attrs.field(repr=False)
    ledger: Ledger
    wall: Callable[[], float]
    log: AppliedLog | None = None
    identity: str | None = None
    atomic: bool = True
    empty_202: bool = False
    rejection_status: int | None = None
    lists: dict[str, DataList] = attrs.field(factory=dict)
    _next_list_id: int = 142_874

    def add_list(self, definition: Mapping[str, str] | None, list_id: str | None = None, name: str = "") -> DataList:
        """Create a list and return it; a fresh numeric id where none is given."""
        while list_id is None:
            fresh = str(self._next_list_id)
            self._next_list_id += 1
            list_id = None if fresh in self.lists else fresh
        self.lists[list_id] = DataList(list_id, name, definition)
        return self.lists[list_id]

    def decide(self, path: str, query: Mapping[str, str], body: bytes) -> Refusal | Acceptance:
        """Return what the operation at ``path`` (one of ``PATHS``) does with a request."""
        if path == TRIGGER:
            return self._trigger(query, body)
        if query.get("api_key") != self.api_key:
            return self._no(401, "API access key failed to authenticate")
        return {APPEND: self._append, CREATE: self._create}[path](query, body)

    def _no(self, http: int, message: str, posted: int = 0) -> Refusal:
        return Refusal(answers.list_answer(0, message, http).under(self.rejection_status), posted)

    # SendBulkMessages

    def _append(self, query: Mapping[str, str], body: bytes) -> Refusal | Acceptance:
        data_list = self.lists.get(query.get("list_id", ""))
        if data_list is None:
            return self._no(404, "List not found")
        try:
            records = parse_json(body)
        except BadPayloadError as error:
            return self._no(400, f"Data not in valid JSON format: {error}")
        if not isinstance(records, list) or not records:
            return self._no(400, "The body is not an array of records")
        if len(records) > MAX_RECORDS_PER_APPEND:
            return self._no(400, f"More than {MAX_RECORDS_PER_APPEND} records", len(records))
        bad = check_records(data_list, records)
        if bad and (self.atomic or len(bad) == len(records)):
            return self._no(400, _complaint(bad), len(records))
        field = self.identity or number_field(data_list)

        def apply(request: int, digest: str) -> tuple[Answer, int]:
            kept, good = _without(records, bad)
            texts = [identity_text(record.get(field)) for record in kept]
            if self.log is not None:
                self.log.write(self.wall(), "SendBulkMessages", data_list.id, digest, texts)
            self.ledger.apply(("list", data_list.id), request, texts, kept, body=body, good=good)
            self.ledger.count(digest)
            answer = answers.list_answer(1, "Data Appended")
            return (self._no(400, _complaint(bad)).answer if bad else answer), len(kept)

        return Acceptance(len(records), apply)

    # TriggerMessage and Schedule Message

    def _result(self, code: ResultCode, posted: int = 0) -> Refusal:
        answer = answers.trigger_answer(code, f"ref-{self.ledger.arrived:08d}", [])
        return Refusal(answer.under(self.rejection_status), posted)

    def _trigger(self, query: Mapping[str, str], body: bytes) -> Refusal | Acceptance:
        if query.get("api_key") != self.api_key:
            return self._result(ResultCode.AUTH_FAILED)
        trigger_key = query.get("trigger_key", "")
        if not trigger_key:
            return self._result(ResultCode.MISSING_VARS)
        if trigger_key not in self.trigger_keys:
            return self._result(ResultCode.ENGAGEMENT_NOT_FOUND)
        send_time = query.get("send_time")
        if send_time is not None and not _in_the_future(send_time, self.wall()):
            return self._result(ResultCode.MISSING_VARS)
        objects, code = _objects(body)
        if code is not ResultCode.ACCEPTED:
            return self._result(code, len(objects))
        field = self.identity or _TRIGGER_PHONE

        def apply(request: int, digest: str) -> tuple[Answer, int]:
            texts = [identity_text(item.get(field)) for item in objects]
            if self.log is not None:
                operation = "TriggerMessage" if send_time is None else "Schedule Message"
                self.log.write(self.wall(), operation, None, digest, texts, send_time)
            key = ("trigger", trigger_key)
            numbers = self.ledger.apply(key, request, texts, objects, body=body, send_time=send_time)
            self.ledger.count(digest)
            if self.empty_202:
                return Answer(202), len(objects)
            return answers.trigger_answer(
                ResultCode.ACCEPTED, f"ref-{request:08d}", list(map(message_id, numbers))
            ), len(objects)

        return Acceptance(len(objects), apply)

    # Creating a Data List

    def _create(self, query: Mapping[str, str], body: bytes) -> Refusal | Acceptance:
        if query.get("username") != self.username:
            return self._no(400, "Unknown username")
        try:
            value = parse_json(body)
        except BadPayloadError as error:
            return self._no(400, f"Data not in valid JSON format: {error}")
        if not isinstance(value, dict):
            return self._no(400, "The body is not an object")
        name, definition = value.get("Customer List Name"), value.get("Customer List Definition")
        if not isinstance(name, str) or not name.strip():
            return self._no(400, "Customer List Name is missing")
        if not isinstance(definition, dict) or not definition or not all(definition):
            return self._no(400, "Customer List Definition is missing")
        if not all(kind in FIELD_FORMATS for kind in definition.values()):
            return self._no(400, f"A format is one of {', '.join(FIELD_FORMATS)}")

        def apply(request: int, digest: str) -> tuple[Answer, int]:
            del request
            created = self.add_list(definition, name=name)
            if self.log is not None:
                self.log.write(self.wall(), "Creating a Data List", created.id, digest, [])
            self.ledger.count(digest)
            return answers.created(created.id), 0

        return Acceptance(0, apply)


def message_id(number: int) -> str:
    """Return the id of the message with this number."""
    return f"msg-{number:010d}"


def _complaint(bad: Sequence[BadRecord]) -> str:
    more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"Record {bad[0].position}: {bad[0].reason}{more}"


def _without(
    records: list[dict[str, Any]], bad: Sequence[BadRecord]
) -> tuple[list[dict[str, Any]], tuple[int, ...] | None]:
    if not bad:
        return records, None
    refused = {record.position - 1 for record in bad}
    good = tuple(position for position in range(len(records)) if position not in refused)
    return [records[position] for position in good], good


def _objects(body: bytes) -> tuple[list[dict[str, Any]], ResultCode]:
    """Return the posted objects, one or many, and the result code that they deserve."""
    try:
        value = parse_json(body)
    except BadPayloadError:
        return [], ResultCode.INVALID_CUSTOMER
    objects = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in objects):
        return objects, ResultCode.INVALID_CUSTOMER
    complete = objects and all(map(_has_phone, objects))
    return objects, ResultCode.ACCEPTED if complete else ResultCode.MISSING_VARS


def _has_phone(item: Mapping[str, Any]) -> bool:
    value = item.get(_TRIGGER_PHONE)
    return type(value) in (str, int) and bool(str(value).strip())


def _in_the_future(text: str, now: float) -> bool:
    """Whether ``text`` is a moment after ``now``: whole Unix seconds, or ISO 8601 with an offset."""
    if _UNIX_SECONDS.fullmatch(text):
        return int(text) > now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment.astimezone(UTC).timestamp() > now
