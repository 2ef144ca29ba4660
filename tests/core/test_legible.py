"""Text from elsewhere is shown in one line, and commands nobody's terminal."""

from __future__ import annotations

import pytest

from mobiz_async.legible import legible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë's café, R 1\u00a0000: 100 %", "Zoë's café, R 1\u00a0000: 100 %"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("\x9b31m \x7f \x00", r"\x9b31m \x7f \x00"),
        ("one\r\ntwo\nthree\rfour\tfive\x0b\x0c\x85\u2028\u2029six", "one two three four five     six"),
        ("invoice\u202egpj.exe\u2066", r"invoice\u202egpj.exe\u2066"),
        ("name\udc9b.csv", r"name\udc9b.csv"),
    ],
)
def test_what_is_a_command_is_written_out(text: str, shown: str) -> None:
    assert legible(text) == shown


def test_whatever_it_is_it_can_be_printed() -> None:
    """But for spaces and such of other kinds, and what is not assigned: those command nothing."""
    every = "".join(map(chr, range(0x250)))

    assert all(character.isprintable() or ord(character) in {0xA0, 0xAD} for character in legible(every))
