"""`mobiz send`: from a file to a list, with a report that balances and a code that says how it went."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mobiz_async.sandbox import Fault, Faults, Sandbox

REPORT = """
spring.csv to list 1
  accepted  12
  skipped    0
  rejected   0
  unknown    0
  not sent   0
            --
  read      12

"""


def test_a_file_goes_to_a_list(cli, served, file) -> None:
    ended = cli("send", file(count=12), "--list", 1)

    assert (0, {f"2782{index:07}": 1 for index in range(1, 13)}) == (ended.code, served.sandbox.applied("1"))
    assert ended.out.startswith(REPORT)
    assert ended.out.splitlines()[-1].startswith("1 request in ")
    assert ended.err == "sending spring.csv to list 1\n"


def test_quiet_says_nothing_when_all_is_well(cli, served, file) -> None:
    ended = cli("send", file(count=3), "--list", 1, "--quiet")

    assert (ended.code, ended.out, ended.err) == (0, "", "")


@pytest.mark.parametrize(
    ("fault", "words", "said"),
    [
        (
            Fault.REJECTED_200,
            [],
            "3 of 3 records were rejected; the first: SendBulkMessages: rejected (HTTP 200: ",
        ),
        (
            None,
            ["--region", "ZA", "--on-invalid", "skip"],
            "1 of 3 records was held back; the first: phone number",
        ),
    ],
)
def test_quiet_tells_why_it_did_not_go_well(cli, served, file, fault, words: list[str], said: str) -> None:
    served.sandbox.faults = Faults.script([fault])
    path = file("Number", "12" if "--region" in words else "27821234566", count=2)
    ended = cli("send", path, "--list", 1, *words, "--quiet")

    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith(said)


def test_a_list_that_is_not_there_is_asked_for_once(cli, served, file) -> None:
    ended = cli("send", file(count=12), "--list", 99, "--chunk-size", 1, "--concurrency", 1)

    assert (ended.code, len(served.sandbox.requests)) == (1, 1)
    assert "(HTTP 404: List not found)" in ended.err
    assert "the address or the list id is wrong" in " ".join(ended.out.split())
    assert "Nobody got anything: the same command begins anew." in ended.err


def test_the_report_for_machines_is_one_json_value_that_balances(cli, served, file) -> None:
    ended = cli("send", file(count=12), "--list", 1, "--json", "--chunk-size", 5)
    report = ended.json

    assert report.pop("elapsed") > 0
    assert report == {
        "source": "spring.csv",
        "list_id": "1",
        "list_name": None,
        "journal": None,
        "rejects": None,
        "records_in_rejects": 0,
        "read": 12,
        "accepted": 12,
        "rejected": 0,
        "unknown": 0,
        "not_sent": 0,
        "skipped": 0,
        "skipped_by_reason": {},
        "chunks": 3,
        "requests": 3,
        "retries": 0,
        "resumed": 0,
        "stopped": None,
        "failed_chunks": 0,
        "failures": [],
        "error": None,
        "exit_code": 0,
    }


def test_a_new_list_has_the_columns_of_the_file(cli, served, file) -> None:
    """The number's field is a number, and everything else is text."""
    path = file("Cell,Name", "27821234567,Thandi")
    ended = cli("send", path, "--new-list", "Spring", "--number-field", "Cell", "--common", "Message=Hi", "--json")
    made = served.sandbox.lists[ended.json["list_id"]]

    assert (ended.code, made.name) == (0, "Spring")
    assert made.definition == {"Cell": "msisdn", "Name": "text", "Message": "text"}
    assert served.sandbox.records(made) == [{"Message": "Hi", "Cell": "27821234567", "Name": "Thandi"}]
    assert "Cell (msisdn), Name (text), Message (text)" in ended.err


def test_a_new_list_has_the_fields_it_is_given(cli, served, file) -> None:
    path = file("Number,Age", "27821234567,30")
    ended = cli("send", path, "--new-list", "Spring", "--field", "Number=msisdn", "--field", "Age=numeric", "--json")

    assert served.sandbox.lists[ended.json["list_id"]].definition == {"Number": "msisdn", "Age": "numeric"}


def test_json_lines_do_not_say_what_fields_a_new_list_has(cli, served, tmp_path) -> None:
    path = tmp_path / "spring.jsonl"
    path.write_text('{"Number": "27821234567"}\n')
    ended = cli("send", path, "--new-list", "Spring")

    assert (ended.code, len(served.sandbox.lists)) == (2, 1)
    assert ended.err == "error: JSON Lines have no header: name the new list's fields (--field Number=msisdn)\n"


def test_numbers_columns_and_duplicates_are_put_right_on_the_way(cli, served, file, tmp_path) -> None:
    path = file("name,cell", "Thandi,082 123 4567", "Sipho,+27 (0)82-123-4567", "Anna,083 123 4567", "Jo,084 123 4567")
    optouts = tmp_path / "optouts.txt"
    optouts.write_text("083 123 4567\n")
    ended = cli(
        *("send", path, "--list", 1, "--map", "Number=cell", "--map", "Message=Hi {name}"),
        *("--region", "ZA", "--mobile-only", "--dedupe", "--suppress", optouts, "--json"),
    )

    assert ended.json["skipped_by_reason"] == {"duplicate": 1, "on the suppression list": 1}
    assert (ended.code, served.sandbox.records("1")) == (
        0,
        [{"Number": "27821234567", "Message": "Hi Thandi"}, {"Number": "27841234567", "Message": "Hi Jo"}],
    )


def test_what_the_columns_are_called_can_be_said(cli, served, tmp_path) -> None:
    path = tmp_path / "spring.txt.gz"
    path.write_bytes(gzip.compress("27821234567|Zoë\n".encode("cp1252")))
    ended = cli(
        *("send", path, "--list", 1, "--header", "Number, Name", "--delimiter", "|"),
        *("--encoding", "cp1252", "--format", "csv"),
    )

    assert (ended.code, served.sandbox.records("1")) == (0, [{"Number": "27821234567", "Name": "Zoë"}])


def test_a_tab_can_be_named_where_a_shell_makes_it_hard_to_type(cli, served, tmp_path) -> None:
    path = tmp_path / "spring.txt"
    path.write_text("Number\tName\n27821234567\ta, b, c\n")
    ended = cli("send", path, "--list", 1, "--delimiter", r"\t")

    assert (ended.code, served.sandbox.records("1")) == (0, [{"Number": "27821234567", "Name": "a, b, c"}])


def test_a_file_without_records_is_a_success_without_requests(cli, served, file) -> None:
    path = file()
    path.write_text("")
    ended = cli("send", path, "--list", 1, "--json")

    assert (ended.code, ended.json["read"], len(served.sandbox.requests)) == (0, 0, 0)


# What does not go well


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "where to? --list ID, or --new-list NAME"),
        (["--list", "1", "--new-list", "Spring"], "exclude each other"),
        (["--list", ""], "'--list' is empty; is a variable of the shell not set?"),
        (["--new-list", ""], "'--new-list' is empty"),
        (["--list", "1", "--journal", ""], "'--journal' is empty"),
        (["--list", "1", "--rejects", ""], "'--rejects' is empty"),
        (["--list", "1", "--suppress", ""], "'--suppress' is empty"),
        (["--list", "1", "--header", ""], "'--header' is empty"),
        (["--list", "1", "--mobile-only"], "--mobile-only needs --region"),
        (["--list", "1", "--suppress-column", "cell"], "--suppress-column needs --suppress"),
        (["--list", "1", "--price-per-segment", "0.25"], "--price-per-segment needs --dry-run"),
        (["--list", "1", "--message-field", "Message"], "--message-field needs --dry-run"),
        (["--list", "1", "--chunk-size", "0"], "error: --chunk-size must be a whole number from 1 to 10,000"),
        (["--list", "1", "--field", "Number=phone"], "a format is one of"),
        (["--list", "1", "--map", "Number"], "FIELD=COLUMN"),
        (["--list", "1", "--map", "Number=nobody"], "there is no column 'nobody'"),
        (["--list", "1", "--deadline", "soon"], "90s, 30m, 2h"),
        (["--list", "1", "--number-field", "Cell"], "no column gives the field 'Cell'; there are: Number"),
        (["--list", "1", "--api-key=SENTINEL"], "No such option"),
    ],
)
def test_a_contradiction_is_told_before_anything_is_sent(cli, served, file, words: list[str], said: str) -> None:
    ended = cli("send", file(count=2), *words)

    assert (ended.code, ended.out, len(served.sandbox.requests)) == (2, "", 0)
    assert said in ended.err
    assert "SENTINEL" not in ended.err


def test_a_file_without_a_header_is_recognised_and_not_shown(cli, served, file) -> None:
    ended = cli("send", file("27821234567,Thandi"), "--list", 1)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "error: the first row looks like a recipient, not like a header: name the columns (--header Number,Name)\n"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        (b"Number,Number\n1,2\n", "names column 'Number' twice"),
        (b"\x1f\x8bbroken", "compressed"),
        (b"PK\x03\x04broken", "spring.csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(cli, served, tmp_path, content: bytes | None, said: str) -> None:
    path = tmp_path / "spring.csv"
    if content is not None:
        path.write_bytes(content)
    ended = cli("send", path, "--list", 1)

    assert (ended.code, ended.out, ended.err.count("\n"), len(served.sandbox.requests)) == (2, "", 1, 0)
    assert said in ended.err


def test_a_bad_record_ends_the_run_and_is_named_by_row_and_field(cli, served, file) -> None:
    ended = cli("send", file("Number", "27821234567", "12"), "--list", 1, "--region", "ZA")

    assert (ended.code, served.sandbox.applied_total) == (2, 0)
    assert "Stopped early: a record is invalid.\n" in ended.out
    assert "error: record 2, field 'Number': phone number too short\n" in ended.err
    assert "--on-invalid skip goes on without such records" in ended.err


def test_bad_records_can_be_skipped_and_are_not_a_success(cli, served, file) -> None:
    path = file("Number", "27821234567", "12")
    ended = cli("send", path, "--list", 1, "--region", "ZA", "--on-invalid", "skip")

    assert (ended.code, served.sandbox.applied_total) == (1, 1)
    assert "  skipped   1  1 phone number too short\n" in ended.out


def test_a_source_that_breaks_off_is_told_with_its_row(cli, served, tmp_path) -> None:
    path = tmp_path / "spring.csv"
    path.write_bytes(b"Number\n27821234567\n\xff\xfe\n")
    ended = cli("send", path, "--list", 1, "--json")

    assert (ended.code, ended.json["read"], ended.json["stopped"]) == (2, 1, "source")
    assert "record 2" in ended.err


@pytest.mark.parametrize("missing", ["MOBIZ_API_KEY", "MOBIZ_SUBSCRIPTION_KEY"])
def test_a_missing_key_is_named_by_its_variable(cli, served, file, monkeypatch, missing: str) -> None:
    monkeypatch.delenv(missing)
    ended = cli("send", file(count=1), "--list", 1)

    assert (ended.code, ended.out, len(served.sandbox.requests)) == (3, "", 0)
    assert ended.err == f"error: set {missing} in the environment; keys are never arguments\n"


def test_a_refused_key_costs_one_request(cli, served, file, monkeypatch) -> None:
    monkeypatch.setenv("MOBIZ_SUBSCRIPTION_KEY", "wrong")
    ended = cli("send", file(count=50), "--list", 1, "--chunk-size", 5)

    assert (ended.code, len(served.sandbox.requests)) == (3, 1)
    assert "Stopped early: the credentials were refused.\n" in ended.out


def test_what_may_have_been_sent_is_unknown_and_sent_once(cli, served, file) -> None:
    served.sandbox.faults = Faults.always(Fault.RESET_AFTER_APPLY)
    ended = cli("send", file(count=20), "--list", 1, "--chunk-size", 5)

    assert (4, 4, {1}) == (ended.code, len(served.sandbox.requests), set(served.sandbox.applied("1").values()))
    assert "  unknown   20  may or may not have been sent\n" in ended.out
    assert "20 records may or may not have been sent: ask the vendor before sending again.\n" in ended.err


def test_what_was_refused_is_told_by_its_records(cli, served, file) -> None:
    served.sandbox.faults = Faults.script([None, Fault.REJECTED_200])
    ended = cli("send", file(count=12), "--list", 1, "--chunk-size", 5, "--concurrency", 1)

    assert (ended.code, served.sandbox.applied_total) == (1, 7)
    assert "\n  rejected  records 6 to 10  SendBulkMessages: rejected" in ended.out


def test_many_failures_are_counted_not_listed(cli, served, file) -> None:
    served.sandbox.faults = Faults.always(Fault.REJECTED_200)
    ended = cli("send", file(count=9), "--list", 1, "--chunk-size", 1)

    assert (ended.code, ended.out.count("  record ")) == (1, 5)
    assert "and 4 chunks more" in ended.out


def test_a_server_that_throttles_gets_everything_in_the_end(cli, served, file) -> None:
    served.sandbox.faults = Faults.script([None, Fault.THROTTLE])
    ended = cli("send", file(count=4), "--list", 1, "--chunk-size", 2)

    assert (ended.code, served.sandbox.applied_total) == (0, 4)
    assert "3 requests (1 of them sent again) in " in ended.out


def test_rejects_are_split_on_request(cli, served, file) -> None:
    path = file("Number", "27821234567", "nobody", "27831234567")
    made = served.sandbox.add_list({"Number": "msisdn"}, id="7")
    ended = cli("send", path, "--list", made.id, "--on-rejected", "split")

    assert (1, Counter({"27821234567": 1, "27831234567": 1})) == (ended.code, served.sandbox.applied("7"))


def test_the_deadline_leaves_the_rest_unsent(cli, served, file) -> None:
    served.sandbox.faults = Faults.always(Fault.THROTTLE)
    ended = cli("send", file(count=4), "--list", 1, "--chunk-size", 1, "--deadline", "50ms", "--json")

    assert (ended.code, ended.json["stopped"], ended.json["not_sent"]) == (1, "deadline", 4)
    assert ended.err.endswith("Nothing after record 4 was read. Nobody got anything: the same command begins anew.\n")


# Rejects


def test_what_did_not_go_can_be_mended_and_sent_again(cli, served, file, tmp_path) -> None:
    path = file("name,cell", "Thandi,082 123 4567", "Sipho,12", "Anna,082 123 4567", "Jo,084 123 4567,ragged")
    rejects = tmp_path / "rejects.csv"
    command = ["send", path, "--list", 1, "--map", "Number=cell", "--map", "Name=name", "--region", "ZA", "--dedupe"]
    ended = cli(*command, "--rejects", rejects)

    assert (ended.code, served.sandbox.applied_total, rejects.stat().st_mode & 0o777) == (1, 1, 0o600)
    assert rejects.read_text().splitlines() == [
        "_row,_reason,_field,Number,Name,_raw",
        "2,phone number too short,Number,12,Sipho,",
        '4,row has more or fewer cells than the header,,084 123 4567,Jo,"Jo,084 123 4567,ragged"',
    ]
    assert f"2 records in {rejects}: mend it and send it, without --map.\n" in ended.err

    rejects.write_text("_row,_reason,_field,Number,Name\n2,phone number too short,Number,083 123 4567,Sipho\n")
    assert cli("send", rejects, "--list", 1, "--region", "ZA").code == 0
    assert served.sandbox.records("1")[-1] == {"Number": "27831234567", "Name": "Sipho"}


def test_rejects_are_to_be_sent_without_what_said_how_to_read_the_first_file(cli, served, tmp_path) -> None:
    """They are UTF-8 whatever the source was: read as cp1252 they would greet people as ZoÃ«."""
    path, rejects = tmp_path / "spring.csv", tmp_path / "rejects.csv"
    path.write_bytes("12;Zo\xeb\n".encode("cp1252"))
    how = [
        "--encoding",
        "cp1252",
        "--header",
        "cell,name",
        "--delimiter",
        ";",
        "--map",
        "Number=cell",
        "--map",
        "N=name",
    ]
    ended = cli("send", path, "--list", 1, *how, "--region", "ZA", "--rejects", rejects)
    assert "mend it and send it, without --map and --encoding and --delimiter and --header.\n" in ended.err

    rejects.write_text(rejects.read_text(encoding="utf-8").replace(",12,", ",0831234567,"), encoding="utf-8")
    assert cli("send", rejects, "--list", 1, "--region", "ZA").code == 0
    assert served.sandbox.records("1") == [{"Number": "27831234567", "N": "Zo\xeb"}]


def test_rejects_hold_what_was_refused_unknown_and_never_sent(cli, served, file, tmp_path) -> None:
    served.sandbox.faults = Faults.script([None, Fault.RESET_AFTER_APPLY, Fault.UNAUTHORIZED])
    rejects = tmp_path / "rejects.csv"
    words = ["--chunk-size", 2, "--concurrency", 1, "--rejects", rejects, "--json"]
    ended = cli("send", file(count=12), "--list", 1, *words)
    rows = list(csv.reader(rejects.read_text().splitlines()))[1:]
    report: dict[str, Any] = ended.json

    assert (ended.code, report["unknown"], report["rejected"]) == (3, 2, 2)
    assert len(rows) == report["records_in_rejects"] == report["read"] - report["accepted"]
    assert Counter(row[1].split(":")[0] for row in rows) == {
        "unknown": 2,
        "rejected (HTTP 401)": 2,
        **({"not sent": report["not_sent"]} if report["not_sent"] else {}),
    }
    assert [int(row[0]) for row in rows] == list(range(3, report["read"] + 1))
    assert "mend it and send it, without the unknown ones.\n" in ended.err


def test_rejects_that_are_all_unknown_are_not_to_be_sent(cli, served, file, tmp_path) -> None:
    served.sandbox.faults = Faults.always(Fault.RESET_AFTER_APPLY)
    ended = cli("send", file(count=2), "--list", 1, "--rejects", tmp_path / "rejects.csv")

    told = "all of them unknown: not to be sent before the vendor has been asked.\n"
    assert (told in ended.err, "mend it and send it" in ended.err) == (True, False)


def test_a_run_that_leaves_nothing_leaves_no_file_of_rejects(cli, served, file, tmp_path) -> None:
    rejects = tmp_path / "rejects.csv"
    ended = cli("send", file(count=2), "--list", 1, "--rejects", rejects, "--json")

    assert (ended.code, ended.json["rejects"], rejects.exists()) == (0, None, False)


def test_rejects_of_an_earlier_run_are_not_written_over(cli, served, file, tmp_path) -> None:
    rejects = file("Number", "1", name="rejects.csv")
    ended = cli("send", file(count=2), "--list", 1, "--rejects", rejects)

    assert (ended.code, served.sandbox.applied_total, rejects.read_text()) == (2, 0, "Number\n1\n")


# The journal


def test_the_same_command_goes_on_and_sends_nothing_twice(cli, served, file, tmp_path) -> None:
    served.sandbox.faults = Faults.script([None, None, Fault.QUOTA], where=lambda path: "append" in path)
    journal, rejects, path = tmp_path / "run journal", tmp_path / "rejects.csv", file(count=12)
    words = ["--chunk-size", 3, "--concurrency", 1, "--journal", journal, "--rejects", rejects, "--region", "ZA"]
    command = ["send", path, "--new-list", "Spring", *words]
    first = cli(*command, "--json")
    second = cli(*command, "--json")
    third = cli(*command)

    assert (first.code, first.json["accepted"], first.json["stopped"]) == (1, 6, "quota")
    assert f"  mobiz send {path} --new-list Spring" in first.err
    assert f"--journal '{journal}'" in first.err
    assert (second.code, second.json["accepted"], second.json["resumed"]) == (0, 12, 6)
    assert f"going on with list {first.json['list_id']}," in second.err
    assert list(served.sandbox.applied(first.json["list_id"]).values()) == [1] * 12
    assert (third.code, len(served.sandbox.lists)) == (0, 2)
    assert "12 records taken over from an earlier run.\n" in third.out


def test_what_an_earlier_run_was_refused_is_told_with_its_reason(cli, served, file, tmp_path) -> None:
    served.sandbox.faults = Faults.script([Fault.ERROR_400_LOGIC_APPS])
    command = ["send", file(count=2), "--list", 1, "--journal", tmp_path / "journal", "--field", "Number=msisdn"]
    cli(*command)
    as_text, as_json, in_a_line = cli(*command), cli(*command, "--json"), cli(*command, "--quiet")

    reason = "SendBulkMessages: rejected by an earlier run (HTTP 400)"
    assert (as_text.code, as_json.json["resumed"], len(served.sandbox.requests)) == (1, 2, 1)
    assert reason in " ".join(as_text.out.split())
    assert [failure["error"] for failure in as_json.json["failures"]] == [reason]
    assert reason in in_a_line.err


def test_a_list_that_the_journal_has_is_not_said_to_have_been_created(cli, served, file, tmp_path) -> None:
    command = ["send", file(count=2), "--journal", tmp_path / "journal", "--field", "Number=msisdn"]
    cli(*command, "--list", 1)
    ended = cli(*command, "--new-list", "Spring")

    assert (ended.code, len(served.sandbox.lists)) == (0, 1)
    assert ended.err.startswith("going on with list 1, the one of the run that began this journal\n")


def test_a_file_without_records_is_told(cli, served, file) -> None:
    ended = cli("send", file("Number"), "--list", 1, "--quiet")

    assert (ended.code, ended.err) == (0, "spring.csv has no records: nothing was sent.\n")


def test_an_empty_file_becomes_the_journal(cli, served, file, tmp_path) -> None:
    (tmp_path / "journal").touch()
    ended = cli("send", file(count=2), "--new-list", "Spring", "--journal", tmp_path / "journal")

    assert (ended.code, served.sandbox.applied_total, len(served.sandbox.lists)) == (0, 2, 2)


def test_a_source_that_changed_is_not_gone_on_with(cli, served, file, tmp_path) -> None:
    served.sandbox.faults = Faults.script([None, Fault.QUOTA])
    command = ["send", file(count=4), "--list", 1, "--chunk-size", 2, "--journal", tmp_path / "journal"]
    cli(*command)
    file("Number", "27829999999", "27820000002", "27820000003", "27820000004")
    ended = cli(*command)

    assert (ended.code, served.sandbox.applied_total) == (4, 2)
    assert "Stopped early: the source has changed.\n" in ended.out
    assert "ask the vendor" not in ended.err
    assert "the unknown above, the journal can say once the source is right.\n" in ended.err
    assert "error: the source has changed since the journal was written: record 1 differs\n" in ended.err


def test_a_journal_of_another_run_is_refused(cli, served, file, tmp_path) -> None:
    path = file(count=4)
    cli("send", path, "--list", 1, "--journal", tmp_path / "journal")
    ended = cli("send", path, "--list", 1, "--journal", tmp_path / "journal", "--chunk-size", 2)

    assert (ended.code, ended.out) == (2, "")
    assert "error: the journal belongs to another run: different chunk size\n" in ended.err


def test_unknown_records_of_a_journal_are_told_how_to_get(cli, served, file, tmp_path) -> None:
    served.sandbox.faults = Faults.always(Fault.RESET_AFTER_APPLY)
    journal: Path = tmp_path / "journal"
    ended = cli("send", file(count=2), "--list", 1, "--journal", journal)

    assert ended.code == 4
    assert f"Which they are:\n  mobiz journal export {journal} --state unknown\n" in ended.err


def test_what_the_same_command_will_send_is_not_among_the_rejects(cli, served, file, tmp_path) -> None:
    """Whoever went on with the journal and sent the file of rejects as well would text people twice."""
    served.sandbox.faults = Faults.script([None, Fault.REJECTED_200, Fault.QUOTA])
    rejects = tmp_path / "rejects.csv"
    words = ["--chunk-size", 2, "--concurrency", 1, "--journal", tmp_path / "journal", "--rejects", rejects, "--json"]
    ended = cli("send", file(count=12), "--list", 1, *words)

    assert (ended.json["rejected"], ended.json["records_in_rejects"]) == (2, 2)
    assert ended.json["not_sent"] >= 2
    assert [line.split(",")[:2] for line in rejects.read_text().splitlines()[1:]] == [
        ["3", "rejected (HTTP 200)"],
        ["4", "rejected (HTTP 200)"],
    ]


def test_a_connection_that_was_never_made_is_not_sent(cli, file, account) -> None:
    account(Sandbox(port=1))
    ended = cli("send", file(count=2), "--list", 1, "--deadline", "50ms", "--json")

    assert (ended.code, ended.json["not_sent"]) == (1, 2)
    assert ended.err.endswith("Nobody got anything: the same command begins anew.\n")
