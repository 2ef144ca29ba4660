"""What comes from elsewhere reaches the terminal in words: a server's message, an id, the name of a file."""

from __future__ import annotations

import attrs
import pytest
from rich.table import Table
from rich.text import Text

from mobiz_async.cli import messages
from mobiz_async.cli.screen import Screen
from mobiz_async.journal import ChunkState, SQLiteJournal
from mobiz_async.reports import MessageStatus, TriggerReceipt

EVIL = "a\x1b[31m\x9b2J\r\nb"
SHOWN = r"a\x1b[31m\x9b2J b"


def test_remarks_and_results_command_nothing(capfd) -> None:
    screen = Screen()
    grid = Table.grid()
    grid.add_row(Text("in a \x1b[31mtable\x9b"))
    screen.tell(EVIL)
    screen.show(EVIL, grid)
    written = capfd.readouterr()

    assert written.err == f"{SHOWN}\n"
    assert written.out == f"{SHOWN}\n" + r"in a \x1b[31mtable\x9b" + "\n"


def test_colours_of_our_own_are_kept(capfd) -> None:
    screen = Screen()
    screen.out._force_terminal = True
    screen.out._color_system = screen.out._color_system or 1  # type: ignore[assignment]  # standard colours
    screen.show(Text("12", style="green"))

    assert "\x1b[32m12\x1b[0m" in capfd.readouterr().out


def test_json_holds_no_raw_command_either(capfd) -> None:
    Screen(as_json=True).write_json({"error": "\x1b\x7f\x9b\udc9b"})

    assert capfd.readouterr().out == '{\n  "error": "\\u001b\\u007f\\u009b\\udc9b"\n}\n'


def test_ids_are_shown_as_words(capfd) -> None:
    messages._show_receipt(Screen(), TriggerReceipt(EVIL, 3, EVIL, (MessageStatus(EVIL),)))

    assert capfd.readouterr().out == f"accepted    {SHOWN}\nreference   {SHOWN}\nmessage id  {SHOWN}\n"


@pytest.mark.parametrize("name", ["e\x1b[31mvil.csv", "e\nvil.csv"])
def test_the_name_of_a_file_is_shown_as_words(cli, served, file, tmp_path, name: str) -> None:
    path = file(count=1, name=name)
    journal = tmp_path / "\x1b.j"
    ended = [
        cli("send", path, "--list", 1, "--journal", journal),
        cli("send", f"{path}.missing", "--list", 1),
        cli("send", path, "--dry-run"),
        cli("journal", "status", journal),
        cli("send", path, "--list", 1, "--rejects", f"{path}.folder/rejects"),
        cli("send", path, "--list", 1, "--journal", path.parent),
    ]

    assert [each.code for each in ended] == [0, 2, 0, 0, 2, 2]
    assert [each for each in ended if "\x1b" in each.out + each.err or "e\nvil" in each.out + each.err] == []


def test_a_reference_of_an_older_journal_is_shown_as_words(cli, served, file, tmp_path, monkeypatch) -> None:
    parts = SQLiteJournal.parts
    path = tmp_path / "run"
    assert cli("send", file(count=1), "--list", 1, "--journal", path).code == 0

    async def raw(journal, *states):
        async for part in parts(journal, *states):
            yield attrs.evolve(part, state=ChunkState.UNKNOWN, reference=EVIL)

    monkeypatch.setattr(SQLiteJournal, "parts", raw)

    assert SHOWN in cli("journal", "status", path).out
