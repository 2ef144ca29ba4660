"""Lists made and appended to, one request each, against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fakes import Network, client_on, numbers, replied, rows

from mobiz_async import (
    AppendReceipt,
    ConfigurationError,
    DataList,
    InvalidPayloadError,
    InvalidRecordError,
    MobizClient,
    OutcomeUnknownError,
    RejectedError,
    SourceError,
)
from mobiz_async.sandbox import Sandbox

TRIGGER = "sandbox-trigger"
THANDI = {"A": "27821234567", "B": "Thandi"}
DEFINITION = {"Number": "msisdn", "Message": "text", "ContactId": "numeric", "Contact_Email": "email"}
Make = Callable[..., MobizClient]


# Creating a Data List


async def test_a_list_is_created_and_can_be_sent_to(client: MobizClient, sandbox: Sandbox) -> None:
    contacts = await client.create_list("Spring", DEFINITION)
    report = await client.send_bulk(contacts, numbers(3))

    assert (contacts.name, contacts.definition) == ("Spring", DEFINITION)
    assert sandbox.lists[contacts.id].definition == DEFINITION
    assert (report.accepted, len(sandbox.applied(contacts))) == (3, 3)
    assert sandbox.requests[0].query == {"username": "sandbox-user"}


async def test_the_username_may_be_given_with_the_call(client: MobizClient) -> None:
    with pytest.raises(InvalidPayloadError):
        await client.create_list("Spring", DEFINITION, username="somebody-else")


async def test_creating_a_list_needs_a_username(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match="MOBIZ_USERNAME"):
            await client.create_list("Spring", DEFINITION)

    assert network.count == 0


async def test_a_format_the_vendor_does_not_name_is_refused_before_anything_is_sent() -> None:
    network = Network()
    async with client_on(network, username="me") as client:
        with pytest.raises(ConfigurationError, match="numeric, text, email, msisdn"):
            await client.create_list("Spring", {"Number": "phone"})

    assert network.count == 0


async def test_a_status_other_than_1_is_a_rejection() -> None:
    network = Network(lambda request, n: replied(200, {"status": 0, "message": "name taken"}))
    async with client_on(network, username="me") as client:
        with pytest.raises(RejectedError, match="name taken") as raised:
            await client.create_list("Spring", DEFINITION)

    assert (raised.value.result_code, network.count) == (0, 1)


async def test_a_list_whose_creation_is_unknown_is_not_created_again() -> None:
    network = Network(lambda request, n: replied(200, {"status": 1, "message": "List Created"}))
    async with client_on(network, username="me") as client:
        with pytest.raises(OutcomeUnknownError):
            await client.create_list("Spring", DEFINITION)

    assert network.count == 1


@pytest.mark.parametrize(
    ("name", "definition", "wrong"),
    [
        (None, DEFINITION, "empty, or no text"),
        ("", DEFINITION, "empty, or no text"),
        (" \n", DEFINITION, "empty, or no text"),
        (7, DEFINITION, "empty, or no text"),
        ("Spring \ud83d", DEFINITION, "cannot be encoded"),
        ("Spring", {**DEFINITION, "Name \ud83d": "text"}, "cannot be encoded"),
    ],
)
async def test_a_list_whose_name_or_field_is_no_text_that_can_be_written_is_not_created(
    name: Any, definition: dict[str, str], wrong: str
) -> None:
    network = Network()
    async with client_on(network, username="me") as client:
        with pytest.raises(ConfigurationError, match=wrong):
            await client.create_list(name, definition)

    assert network.count == 0


@pytest.mark.parametrize("username", [" ", b"me", True, "me\ud83d"])
async def test_a_list_whose_owner_is_no_text_is_not_created(username: Any) -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match=r"username \(MOBIZ_USERNAME\) is empty, or no text"):
            await client.create_list("Spring", DEFINITION, username=username)

    assert network.count == 0


@pytest.mark.parametrize("definition", [None, "msisdn", [("Number", "msisdn")]])
async def test_a_definition_that_is_no_mapping_is_refused(definition: Any) -> None:
    network = Network()
    async with client_on(network, username="me") as client:
        with pytest.raises(ConfigurationError, match="mapping of fields to formats"):
            await client.create_list("Spring", definition)

    assert network.count == 0


@pytest.mark.parametrize("given", ["", " ", "1\ud83d"])
async def test_a_list_id_that_would_not_go_out_as_it_is_is_refused(given: str) -> None:
    """The half of a surrogate pair is left out of a URL: it would be another list's id."""
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match="list id is empty, or no text"):
            await client.append(given, rows(1))
        with pytest.raises(ConfigurationError, match="list id is empty, or no text"):
            await client.send_bulk(DataList(given), rows(1))

    assert network.count == 0


# SendBulkMessages, one request


async def test_an_append_is_one_request(client: MobizClient, sandbox: Sandbox) -> None:
    receipt = await client.append("1", rows(25))

    assert receipt == AppendReceipt(25, "Data Appended", {"status": 1, "message": "Data Appended"})
    assert [(seen.records, dict(seen.query)) for seen in sandbox.requests] == [(25, {"list_id": "1"})]


async def test_an_append_of_10_000_is_one_request() -> None:
    network = Network()
    async with client_on(network) as client:
        assert (await client.append(1, numbers(10_000))).count == 10_000

    assert [post.records for post in network.posts] == [10_000]


async def test_an_append_of_more_is_refused_before_anything_is_sent() -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match="at most 10,000"):
            await client.append(1, numbers(10_001))

    assert network.count == 0


async def test_an_append_of_nothing_is_no_request() -> None:
    network = Network()
    async with client_on(network) as client:
        assert await client.append(1, []) == AppendReceipt(0)

    assert network.count == 0


async def test_an_append_with_a_bad_record_sends_none_and_closes_its_source() -> None:
    closed = []

    def source() -> Any:
        try:
            yield from [*rows(3), {"Message": "no number"}, *rows(3)]
        finally:
            closed.append(True)

    network = Network()
    async with client_on(network) as client:
        with pytest.raises(InvalidRecordError) as raised:
            await client.append(1, source())

    assert (raised.value.row, raised.value.field, network.count, closed) == (4, "Number", 0, [True])


async def test_an_append_whose_source_raises_sends_nothing() -> None:
    def source() -> Any:
        yield rows(1)[0]
        raise ValueError

    network = Network()
    async with client_on(network) as client:
        with pytest.raises(SourceError) as raised:
            await client.append(1, source())

    assert (raised.value.row, network.count) == (2, 0)


async def test_an_append_takes_the_number_field_of_the_list_or_the_call() -> None:
    network = Network()
    async with client_on(network) as client:
        await client.append(DataList(5, "Spring", {"Cell": "msisdn"}), numbers(1))
        await client.append(5, numbers(1), number_field="Phone")

    assert network.bodies == [[{"Cell": "27820000000"}], [{"Phone": "27820000000"}]]


@pytest.mark.parametrize("contacts", ["", None, 1.5])
async def test_a_list_that_is_none_is_refused_before_anything_is_sent(contacts: Any) -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match="list id"):
            await client.append(contacts, rows(1))
        with pytest.raises(ConfigurationError, match="list id"):
            await client.send_bulk(contacts, rows(1))

    assert network.count == 0
