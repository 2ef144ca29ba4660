"""Opt-outs that come through a pipe, which can be read only once: none may be lost."""

from __future__ import annotations

import os
import threading

import pytest

from mobiz_async.recipients import SourceFileError, load_suppression


@pytest.mark.parametrize("head", ["", "Number\n", "Phone\n"])
def test_no_opt_out_of_a_pipe_is_lost(tmp_path, head):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    numbers = [f"2782{number:07d}" for number in range(20_000)]
    writer = threading.Thread(target=path.write_text, args=(head + "\n".join(numbers) + "\n",))
    writer.start()
    found = load_suppression(path)
    writer.join()
    assert found == frozenset(numbers)


def test_what_cannot_be_read_is_a_source_file_error(tmp_path, monkeypatch):
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mobiz_async.recipients.dedupe.Path.read_bytes", refuse)
    with pytest.raises(SourceFileError, match="Permission denied"):
        load_suppression(path)
