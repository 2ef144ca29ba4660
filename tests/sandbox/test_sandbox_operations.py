"""The four documented operations, as the vendor's reference has them."""

from __future__ import annotations

import json

import pytest

from mobiz_async.models import DataList
from mobiz_async.recipients import definition_stage
from mobiz_async.sandbox import Sandbox
from mobiz_async.sandbox.ledger import Ledger
from mobiz_async.sandbox.operations import Operations

DEFINITION = {"Number": "msisdn", "Phone": "text", "Message": "text", "ContactId": "numeric", "Contact_Email": "email"}
EXAMPLE = {
    "Message": "Hello World",
    "ContactId": "1234",
    "Contact_Email": "email@mobiz",
    "Number": "27710000000",
}
SUCCESS = {"status": 1, "message": "Data Appended"}


def result(reply):
    return reply.status, reply.json["Result_Code"], reply.json["Result_Description"]


def test_a_path_without_an_operation_is_taken_for_no_other():
    operations = Operations("key", "user", trigger_keys=set(), ledger=Ledger(None, None), wall=lambda: 0.0)

    with pytest.raises(KeyError, match="CustomerList-delete"):
        operations.decide("/customers/CustomerList-delete", {"api_key": "key"}, b"{}")


# Creating a Data List


async def test_a_list_is_created_with_a_fresh_numeric_id_as_text(sandbox, peer):
    replies = [await peer.create("Bulk_Format", DEFINITION) for _ in range(2)]

    assert [(reply.status, reply.json) for reply in replies] == [
        (200, {"status": 1, "message": "List Created", "list_id": "142874"}),
        (200, {"status": 1, "message": "List Created", "list_id": "142875"}),
    ]
    assert DataList("142874", "Bulk_Format", DEFINITION) == sandbox.lists["142874"]
    assert sandbox.requests[0].applied


async def test_a_fresh_id_is_none_that_is_taken(sandbox, peer):
    sandbox.add_list(DEFINITION, id=142_874)

    assert (await peer.create("Bulk_Format", DEFINITION)).json["list_id"] == "142875"


@pytest.mark.parametrize(
    ("name", "definition", "message"),
    [
        ("", DEFINITION, "Customer List Name is missing"),
        (7, DEFINITION, "Customer List Name is missing"),
        ("Name", {}, "Customer List Definition is missing"),
        ("Name", [], "Customer List Definition is missing"),
        ("Name", {"": "text"}, "Customer List Definition is missing"),
        ("Name", {"Number": "phone"}, "A format is one of numeric, text, email, msisdn"),
        ("Name", {"Number": ["msisdn"]}, "A format is one of numeric, text, email, msisdn"),
    ],
)
async def test_a_list_without_name_or_with_an_unknown_format_is_refused(name, definition, message, sandbox, peer):
    reply = await peer.create(name, definition)

    assert (400, {"status": 0, "message": message}) == (reply.status, reply.json)
    assert list(sandbox.lists) == ["1"]


@pytest.mark.parametrize(
    ("username", "body", "message"),
    [
        ("someone", b"{}", "Unknown username"),
        ("sandbox-user", b"[]", "The body is not an object"),
        ("sandbox-user", b"{", "Data not in valid JSON format: the body is not JSON"),
    ],
)
async def test_a_list_is_created_for_the_known_user_from_an_object(username, body, message, peer):
    reply = await peer.post(f"/customers/CustomerList-create?api_key=sandbox-api-key&username={username}", body)

    assert (400, {"status": 0, "message": message}) == (reply.status, reply.json)


# SendBulkMessages


async def test_an_append_is_applied_and_its_numbers_are_known(sandbox, peer):
    reply = await peer.append([{"Number": "27821234567"}, {"Number": "27821234567"}, {"Number": 27827654321}])

    assert (reply.status, reply.json) == (200, SUCCESS)
    assert sandbox.applied("1") == {"27821234567": 2, "27827654321": 1}
    assert (
        sandbox.requests[0].records,
        sandbox.requests[0].applied_records,
        sandbox.requests[0].applied,
    ) == (3, 3, True)
    assert sandbox.applied_by(sandbox.requests[0]) == ("27821234567", "27821234567", "27827654321")


async def test_the_references_own_example_goes_into_the_references_own_list(sandbox, peer):
    created = await peer.create("Bulk_Format", DEFINITION)

    reply = await peer.append([EXAMPLE], created.json["list_id"])

    assert reply.json == SUCCESS
    assert sandbox.records(created.json["list_id"]) == [EXAMPLE]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("Number", None, "field 'Number' is missing"),
        ("Number", "", "field 'Number' is not a phone number"),
        ("Number", True, "field 'Number' is not a phone number"),
        ("Number", "082 123 4567", "field 'Number' is not msisdn"),
        ("Number", "0821234567", "field 'Number' is not msisdn"),
        ("Number", "271", "field 'Number' is not msisdn"),
        ("Number", "2771000", "field 'Number' is not msisdn"),
        ("Number", "2771000000012345", "field 'Number' is not msisdn"),
        ("Number", 2771000, "field 'Number' is not msisdn"),
        ("Number", 271, "field 'Number' is not msisdn"),
        ("Number", "２７７１０００００００", "field 'Number' is not msisdn"),  # noqa: RUF001  # digits, but not ASCII's
        ("Message", 7, "field 'Message' is not text"),
        ("ContactId", "twelve", "field 'ContactId' is not numeric"),
        ("ContactId", True, "field 'ContactId' is not numeric"),
        ("Contact_Email", "email", "field 'Contact_Email' is not email"),
        ("Contact_Email", f"{'a' * 65}@b", "field 'Contact_Email' is not email"),
        ("Contact_Email", f"a@{'b' * 253}", "field 'Contact_Email' is not email"),
        ("Contact_Email", ["a@b"], "field 'Contact_Email' is not email"),
        ("Extra", "x", "a field that is not in the list's definition"),
    ],
)
async def test_one_record_against_the_definition_refuses_the_whole_append(field, value, reason, sandbox, peer):
    contacts = sandbox.add_list(DEFINITION)

    reply = await peer.append([EXAMPLE, {**EXAMPLE, field: value}, EXAMPLE], contacts.id)

    assert (400, {"status": 0, "message": f"Record 2: {reason}"}) == (reply.status, reply.json)
    assert (sandbox.applied_total, sandbox.requests[0].records, sandbox.requests[0].applied) == (0, 3, False)


@pytest.mark.parametrize(
    "record",
    [
        {"Number": "27710000000"},
        {"Number": 27710000000},
        {"Number": "27710000000", "ContactId": 12.5, "Contact_Email": None},
        {"Number": "27710000000", "ContactId": "-12.5", "Contact_Email": "", "Message": ""},
        {"Number": "27710000000", "ContactId": 7},
    ],
)
async def test_all_but_the_phone_may_be_left_out_or_empty_and_numbers_may_be_numbers(record, sandbox, peer):
    contacts = sandbox.add_list(DEFINITION)

    assert (await peer.append([record, EXAMPLE], contacts.id)).json == SUCCESS


@pytest.mark.parametrize("records", [[{"Number": "27710000000", "ContactId": "+1.5"}], [{"Number": "27710000000"}]])
async def test_an_append_of_like_records_is_accepted(records, sandbox, peer):
    contacts = sandbox.add_list(DEFINITION)

    assert (await peer.append(records * 3, contacts.id)).json == SUCCESS


FIELDS = {
    "Number": ["", " ", "2771000", "27710000", "1" * 15, "1" * 16, "0821234567", "+27821234567", "27821234567\n"],
    "ContactId": ["", "1", "-12.50", "+1", "1.", ".5", "1e5", " 1", "1\n", "x", 1, 1.5, True],
    "Contact_Email": ["", "a@b", "a@@b", "a b@c", "a@", "@b", "a@b\n", f"{'a' * 64}@b", f"{'a' * 65}@b"]
    + [f"a@{'b' * length}" for length in (252, 253)],
    "Message": ["", 1, True, "x" * 10_000],
    "Extra": ["x"],
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in FIELDS.items() for value in values])
async def test_a_list_takes_of_texts_what_the_clients_own_check_lets_through(field, value, count, sandbox, peer):
    """Otherwise a run against the sandbox would prove what the client then refuses, or the other way round."""
    contacts = sandbox.add_list(DEFINITION)
    records = [{**EXAMPLE, field: value}] * count
    let_through = not definition_stage(DEFINITION)(records, range(1, count + 1)).problems

    reply = await peer.append(records, contacts.id)

    assert let_through == (reply.json == SUCCESS)


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ({"Text": "text", "Mobile": "msisdn"}, "Mobile"),
        ({"Name": "text", "Number": "text"}, "Number"),
        ({"Phone": "text", "Name": "text"}, "Phone"),
    ],
)
async def test_the_phone_field_is_the_msisdn_or_else_number_or_else_the_first(definition, field, sandbox, peer):
    contacts = sandbox.add_list(definition)

    good = await peer.append([{field: "27710000000"}], contacts.id)
    bad = await peer.append([{name: "x" for name in definition if name != field}], contacts.id)

    assert [good.json["status"], bad.json["status"]] == [1, 0]
    assert sandbox.applied(contacts) == {"27710000000": 1}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[", "Data not in valid JSON format: the body is not JSON"),
        (b"{}", "The body is not an array of records"),
        (b"[]", "The body is not an array of records"),
        (b'["27710000000"]', "Record 1: not an object"),
        (b'[{"Message": "x"}]', "Record 1: field 'Number' is missing"),
        (b'[{"Number": " "}]', "Record 1: field 'Number' is not a phone number"),
        (b'[{"Number": ""}, {"Number": ""}, {}]', "Record 1: field 'Number' is not a phone number, and 2 more"),
    ],
)
async def test_an_append_without_a_definition_needs_an_array_of_objects_with_a_number(body, message, peer):
    reply = await peer.append(body)

    assert (400, {"status": 0, "message": message}) == (reply.status, reply.json)


async def test_ten_thousand_records_go_and_one_more_does_not(sandbox, peer):
    rows = [{"Number": f"2782{n:07}"} for n in range(10_001)]

    at_limit, above = await peer.append(rows[:-1]), await peer.append(rows)

    assert [at_limit.status, above.status] == [200, 400]
    assert above.json == {"status": 0, "message": "More than 10000 records"}
    assert sandbox.applied_total == 10_000


async def test_an_unknown_list_is_refused(peer):
    reply = await peer.append([{"Number": "27710000000"}], "999")

    assert (reply.status, reply.json) == (404, {"status": 0, "message": "List not found"})


@pytest.mark.parametrize(
    "target", ["CustomerList-append?list_id=1", "CustomerList-create?username=sandbox-user&api_key=x"]
)
async def test_a_list_operation_with_a_wrong_api_key_is_refused(target, peer):
    reply = await peer.post(f"/customers/{target}", [])

    assert (reply.status, reply.json) == (401, {"status": 0, "message": "API access key failed to authenticate"})


async def test_without_atomicity_a_refused_append_is_applied_for_its_good_records(peer_of):
    async with Sandbox(atomic=False) as sandbox:
        peer = peer_of(sandbox)
        part = await peer.append([{"Number": "27710000001"}, {}, {"Number": "27710000003"}])
        nothing = await peer.append([{}])

    assert [(reply.status, reply.json["status"]) for reply in (part, nothing)] == [(400, 0), (400, 0)]
    assert sandbox.applied("1") == {"27710000001": 1, "27710000003": 1}
    assert sandbox.records("1") == [{"Number": "27710000001"}, {"Number": "27710000003"}]
    assert [(seen.records, seen.applied_records, seen.applied) for seen in sandbox.requests] == [
        (3, 2, True),
        (1, 0, False),
    ]


async def test_rejections_can_all_come_under_one_status(peer_of):
    async with Sandbox(rejection_status=200) as sandbox:
        peer = peer_of(sandbox)
        replies = [await peer.append([{}]), await peer.append([{}], "999"), await peer.trigger({})]

    assert [reply.status for reply in replies] == [200, 200, 200]


# TriggerMessage and Schedule Message


async def test_a_single_trigger_has_one_message_with_an_id(sandbox, peer):
    reply = await peer.trigger({"A": "27821234567", "B": "Thandi"})

    assert reply.json == {
        "Message_Status": [{"Message_Id": "msg-0000000001", "Status": "SUBMITTED"}],
        "Reference": "ref-00000001",
        "Result_Code": 3,
        "Result_Description": "Accepted",
    }
    message = sandbox.messages[0]
    assert (
        message.message_id,
        message.number,
        message.trigger_key,
        message.send_time,
        message.request,
    ) == ("msg-0000000001", "27821234567", "sandbox-trigger", None, 1)


async def test_a_batch_has_one_entry_for_each_object_in_order_with_ids_of_its_own(sandbox, peer):
    first = await peer.trigger([{"A": "27820000001"}, {"A": "27820000002"}])
    second = await peer.trigger([{"A": "27820000003"}])

    ids = [entry["Message_Id"] for reply in (first, second) for entry in reply.json["Message_Status"]]
    assert ids == [message.message_id for message in sandbox.messages]
    assert len(set(ids)) == 3
    assert [message.number for message in sandbox.messages] == ["27820000001", "27820000002", "27820000003"]
    assert sandbox.triggered() == {"27820000001": 1, "27820000002": 1, "27820000003": 1}


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        ("trigger_key=unknown", b'{"A": "1"}', (404, 1, "Engagement not found for the trigger key")),
        ("", b'{"A": "1"}', (400, 4, "Missing some of the required parameters")),
        ("trigger_key=sandbox-trigger", b"{", (400, 2, "Customer Data not in valid JSON format")),
        ("trigger_key=sandbox-trigger", b'"A"', (400, 2, "Customer Data not in valid JSON format")),
        ("trigger_key=sandbox-trigger", b'[{"A": "1"}, 2]', (400, 2, "Customer Data not in valid JSON format")),
        ("trigger_key=sandbox-trigger", b"[]", (400, 4, "Missing some of the required parameters")),
        (
            "trigger_key=sandbox-trigger",
            b'[{"A": "1"}, {"B": "x"}]',
            (400, 4, "Missing some of the required parameters"),
        ),
        ("trigger_key=sandbox-trigger", b'{"A": ""}', (400, 4, "Missing some of the required parameters")),
    ],
)
async def test_each_result_code_has_its_cause(query, body, expected, sandbox, peer):
    reply = await peer.post(f"/TriggerMessage/manual/paths/invoke?api_key=sandbox-api-key&{query}".rstrip("&"), body)

    assert expected == result(reply)
    assert (sandbox.applied_total, sandbox.messages) == (0, ())


async def test_a_wrong_api_key_is_result_code_0(peer):
    reply = await peer.post("/TriggerMessage/manual/paths/invoke?api_key=wrong&trigger_key=sandbox-trigger", {"A": "1"})

    assert result(reply) == (401, 0, "API access key failed to authenticate")


@pytest.mark.parametrize("send_time", ["1800000001", "2027-01-15T08:00:01Z", "2027-01-15T10:00:01%2B02:00"])
async def test_a_send_time_in_the_future_is_kept_as_it_came(send_time, clock, peer_of):
    async with Sandbox(clock=clock) as sandbox:
        reply = await peer_of(sandbox).trigger(
            {"A": "27821234567"}, f"trigger_key=sandbox-trigger&send_time={send_time}"
        )

    assert reply.json["Result_Code"] == 3
    assert [send_time.replace("%2B", "+")] == [message.send_time for message in sandbox.messages]
    assert {"send_time": send_time.replace("%2B", "+")} == sandbox.requests[0].query


@pytest.mark.parametrize(
    "send_time",
    [
        "",
        "1800000000",
        "1800000001000",
        "tomorrow",
        "2027-01-15T08:00:00Z",
        "2030-01-01T00:00:00",
        "2027-01-15T10:00:01+02:00",
    ],
)
async def test_a_send_time_that_is_past_ambiguous_or_unreadable_is_result_code_4(send_time, clock, peer_of):
    async with Sandbox(clock=clock) as sandbox:
        reply = await peer_of(sandbox).trigger(
            {"A": "27821234567"}, f"trigger_key=sandbox-trigger&send_time={send_time}"
        )

    assert (reply.json["Result_Code"], sandbox.messages) == (4, ())


async def test_triggers_can_answer_202_with_an_empty_body(peer_of):
    async with Sandbox(empty_202=True) as sandbox:
        reply = await peer_of(sandbox).trigger([{"A": "27821234567"}])

    assert (reply.status, reply.body) == (202, b"")
    assert len(sandbox.messages) == 1


async def test_trigger_keys_are_those_that_were_given(peer_of):
    async with Sandbox(trigger_keys={"one", "two"}) as sandbox:
        peer = peer_of(sandbox)
        codes = [
            (await peer.trigger({"A": "1"}, f"trigger_key={key}")).json["Result_Code"]
            for key in ("two", "sandbox-trigger", "one")
        ]

    assert codes == [3, 1, 3]
    assert [message.trigger_key for message in sandbox.messages] == ["two", "one"]


async def test_a_chosen_identity_tells_records_apart_in_place_of_the_number(peer_of):
    async with Sandbox(identity="Id") as sandbox:
        peer = peer_of(sandbox)
        await peer.append([{"Number": "27821234567", "Id": 7}, {"Number": "27821234567", "Id": "b"}, {"Number": "1"}])
        await peer.trigger({"A": "27821234567", "Id": "t"})

    assert sandbox.applied(1) == {"7": 1, "b": 1, "": 1}
    assert sandbox.triggered() == {"t": 1}


async def test_the_same_body_twice_is_counted_twice(sandbox, peer):
    body = json.dumps([{"Number": "27821234567"}]).encode()

    await peer.append(body)
    await peer.append(body)

    assert sandbox.times_applied(body) == 2
    assert sandbox.applied("1") == {"27821234567": 2}
