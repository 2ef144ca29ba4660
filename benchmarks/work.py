"""What every contender is given to send: invented customers with the four fields of the vendor's own example."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

CHUNK = 10_000
"""Records in a request: the vendor's maximum."""
IN_FLIGHT = 8
"""Requests at a time, for everybody."""
LIST_ID = "142874"
DEFINITION = {"Number": "msisdn", "Message": "text", "ContactId": "numeric", "Contact_Email": "email"}
MESSAGE = "Hello, your order is on its way"


@attrs.define
class Customer:
    """A record as an attrs instance."""

    Number: str
    Message: str
    ContactId: str
    Contact_Email: str


def mappings(count: int) -> Iterator[dict[str, str]]:
    for row in range(count):
        yield {
            "Number": f"2771{row % 10_000_000:07d}",
            "Message": MESSAGE,
            "ContactId": str(row),
            "Contact_Email": f"customer{row}@example.com",
        }


def instances(count: int) -> Iterator[Customer]:
    for row in range(count):
        yield Customer(f"2771{row % 10_000_000:07d}", MESSAGE, str(row), f"customer{row}@example.com")


def numbers(count: int) -> Iterator[str]:
    for row in range(count):
        yield f"2771{row % 10_000_000:07d}"


def batches(items: Iterable[Any], size: int = CHUNK) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
