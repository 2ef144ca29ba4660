"""Rejects that no file can hold as they are end no run, and no number of theirs is shown."""

from __future__ import annotations


def test_what_cannot_be_written_is_among_the_rejects_and_the_rest_goes(cli, served, tmp_path) -> None:
    path = tmp_path / "spring.jsonl"
    good = [f'{{"Number": "2783{place:07}", "Message": "x"}}' for place in range(300)]
    path.write_text("\n".join(['{"Number": "27821234567", "Message": "secret \\ud83d", "ref": 1e400}', *good]))

    for name in ("rejects.csv", "rejects.jsonl"):
        ended = cli("send", path, "--list", 1, "--rejects", tmp_path / name, "--json")

        assert (ended.code, ended.json["accepted"], ended.json["records_in_rejects"]) == (1, 300, 1)
        assert "27821234567" in (tmp_path / name).read_text()
        assert "27821234567" not in ended.err + ended.out


def test_a_file_that_is_there_is_to_be_moved_away(cli, served, file, tmp_path) -> None:
    (tmp_path / "rejects.csv").write_text("earlier")

    ended = cli("send", file(count=2), "--list", 1, "--rejects", tmp_path / "rejects.csv")

    assert (ended.code, "move it away, or name another file" in " ".join(ended.err.split())) == (2, True)
