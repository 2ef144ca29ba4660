"""What the sandbox shows of itself: JSON for programs, a page for people."""

from __future__ import annotations

import html.parser

import pytest

from mobiz_async.sandbox import Fault, Faults


async def test_the_summary_counts_records_distinct_and_repeated_numbers_and_requests(sandbox, peer):
    sandbox.faults = Faults.script([None, None, Fault.UNAVAILABLE])
    await peer.append([{"Number": "27820000001"}, {"Number": "27820000001"}, {"Number": "27820000002"}])
    await peer.trigger([{"A": "27820000001"}])
    await peer.append([{"Number": "27820000009"}])

    reply = await peer.get("/sandbox/summary")

    assert reply.json == sandbox.summary()
    assert reply.json == {
        "records": 4,
        "distinct": 3,
        "repeated": 1,
        "lists": {
            "1": {
                "name": "Pre-seeded",
                "number_field": "Number",
                "records": 3,
                "distinct": 2,
                "repeated": 1,
                "requests": 1,
            }
        },
        "triggers": {"records": 1, "distinct": 1, "repeated": 0, "requests": 1},
        "requests": {"total": 3, "applied": 2, "early": 0, "held": 0, "faults": {"unavailable": 1}},
    }


async def test_the_requests_are_there_as_json(sandbox, peer):
    await peer.append([{"Number": "27820000001"}])

    (seen,) = (await peer.get("/sandbox/requests")).json

    assert (seen["number"], seen["path"], seen["records"], seen["status"], seen["applied"]) == (
        1,
        "/customers/CustomerList-append",
        1,
        200,
        True,
    )
    assert seen["digest"] == sandbox.requests[0].digest


async def test_the_sandboxs_own_pages_are_no_api_requests(sandbox, peer):
    statuses = [(await peer.get(path)).status for path in ("/", "/sandbox/inbox", "/sandbox/summary", "/sandbox/other")]

    assert (statuses, sandbox.requests) == ([200, 200, 200, 404], ())


class Outline(html.parser.HTMLParser):
    """The cells of a page, its elements, and every address in it."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.tags, self.addresses, self.inside = [], set(), [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag in ("td", "b"):
            self.cells.append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "b")

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


async def test_the_inbox_shows_messages_escaped_and_needs_nothing_from_elsewhere(sandbox, peer):
    message = "<script>alert('x')</script> & \"more\""
    await peer.append([{"Number": "27820000001", "Message": message}])

    reply = await peer.get("/")
    page = Outline(reply.body.decode())

    assert f"Number: 27820000001; Message: {message}" in page.cells
    assert "script" not in page.tags
    assert page.addresses == []
    assert reply.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert "prefers-color-scheme:dark" in reply.body.decode()


async def test_the_inbox_lists_requests_newest_first_with_what_became_of_them(sandbox, peer):
    sandbox.faults = Faults.script([None, Fault.ERROR_500_UNAPPLIED])
    await peer.append([{"Number": "27820000001"}])
    await peer.append([{"Number": "27820000002"}])

    cells = Outline((await peer.get("/sandbox/inbox")).body.decode()).cells

    results = [cell for cell in cells if cell.endswith(" applied")]
    assert results == ["not applied", "1 applied"]
    assert "error_500_unapplied" in cells


async def test_an_inbox_without_anything_says_so(sandbox, peer):
    text = (await peer.get("/")).body.decode()

    assert "Nothing has arrived yet." in text
    assert "No requests yet." in text


@pytest.mark.parametrize(("length", "shown"), [(380, 380), (5_000, 386)])
async def test_a_long_message_is_shortened_on_the_page(length, shown, sandbox, peer):
    await peer.append([{"Number": "1", "M": "x" * length}])

    assert (await peer.get("/")).body.decode().count("x" * 50) >= 1
    cell = next(cell for cell in Outline((await peer.get("/")).body.decode()).cells if cell.startswith("Number"))
    assert cell.count("x") == shown
