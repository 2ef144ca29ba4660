"""What `mobiz send` is asked for reaches the run: an option is not parsed and then forgotten."""

from __future__ import annotations

from typing import Any

import click
import pytest

from mobiz_async.cli.orders import Order
from mobiz_async.cli.send import _order, send


class Asked(dict[str, Any]):
    """The options of a command, which notes those that somebody looks at."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.looked_at: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.looked_at.add(name)
        return super().__getitem__(name)


def ordered(*words: str) -> tuple[Order, Asked]:
    context = send.make_context("send", ["spring.csv", "--list", "1", *words])
    context.meta["mobiz.argv"] = ()
    asked = Asked(context.params)
    return _order(context, asked), asked


NOT_OF_THE_ORDER = {"dry_run", "price_per_segment", "as_json", "quiet"}
"""Of which the command itself sees to it."""


def test_every_option_of_send_becomes_part_of_what_is_ordered(tmp_path) -> None:
    """A limit that is parsed and then forgotten would be worse than none."""
    optouts = tmp_path / "optouts.csv"
    optouts.write_text("Number\n0821234567\n")
    _, asked = ordered("--suppress", str(optouts))

    assert asked.keys() - asked.looked_at == NOT_OF_THE_ORDER


def test_an_option_by_the_name_of_a_runs_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is declared tomorrow."""
    later = click.Option(["--max-split-requests"], type=int)
    monkeypatch.setattr(send, "params", [*send.params, later])
    order, _ = ordered("--max-split-requests", "7", "--deadline", "90s", "--number-field", "Cell")

    assert (order.settings["max_split_requests"], order.settings["deadline"]) == (7, 90.0)
    assert (order.number_field, order.list_id, order.grace) == ("Cell", "1", 30.0)
