"""What is logged of an attempt, at which level, by ``logging`` and by structlog; and what ``MOBIZ_LOG`` switches on."""

from __future__ import annotations

import io
import logging
import sys

import pytest
import structlog

from mobiz_async import ConfigurationError, MobizClient, Outcome, OutcomeUnknownError
from mobiz_async.integrations.structlog import StructlogHook
from mobiz_async.logs import LineFormatter, from_environment, level_of
from mobiz_async.testing import FakeTransport, server_error, throttled


@pytest.fixture
def logger(monkeypatch):
    """The package's logger, without handlers before and after."""
    logger = logging.getLogger("mobiz_async")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    yield logger
    logging.Logger.manager._clear_cache()


@pytest.mark.parametrize(
    ("outcome", "retry_in", "level"),
    [
        (Outcome.ACCEPTED, None, logging.DEBUG),
        (Outcome.NOT_SENT, 2.0, logging.INFO),
        (Outcome.NOT_SENT, None, logging.INFO),
        (Outcome.REJECTED, None, logging.WARNING),
        (Outcome.UNKNOWN, None, logging.WARNING),
        (Outcome.UNKNOWN, 0.1, logging.INFO),
    ],
)
def test_the_level_says_whether_somebody_should_look(event, outcome, retry_in, level):
    assert level_of(event(outcome=outcome, retry_in=retry_in)) == level


async def test_each_attempt_is_a_log_record_with_its_fields_beside_the_text(caplog, fake_client):
    caplog.set_level(logging.DEBUG, "mobiz_async")
    async with fake_client([throttled(2)]) as mobiz:
        await mobiz.trigger("spring", {"A": "27821234567"})

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "TriggerMessage: throttled"),
        ("DEBUG", "TriggerMessage: accepted"),
    ]
    assert caplog.records[0].mobiz["status"] == 429
    assert caplog.records[1].mobiz["attempt"] == 2


async def test_a_warning_comes_without_any_setting(caplog, fake_client):
    async with fake_client([server_error()]) as mobiz:
        with pytest.raises(OutcomeUnknownError):
            await mobiz.trigger("spring", {"A": "27821234567"})

    assert [record.getMessage() for record in caplog.records] == ["TriggerMessage: server_error"]


def test_a_line_is_short_and_names_what_is_known(event):
    record = logging.LogRecord("mobiz_async", logging.INFO, "", 0, "%s: %s", ("SendBulkMessages", "accepted"), None)
    record.mobiz = {"operation": "SendBulkMessages", "verdict": "accepted", "status": 200, "seconds": 0.25, "x": None}

    line = LineFormatter().format(record)

    assert line[12:] == " I mobiz SendBulkMessages: accepted status=200 seconds=0.250"


def test_a_line_of_a_record_without_fields_is_its_message():
    record = logging.LogRecord("mobiz_async", logging.WARNING, "", 0, "the journal could not be compacted", (), None)

    assert LineFormatter().format(record)[12:] == " W mobiz the journal could not be compacted"


@pytest.mark.parametrize(("value", "level"), [("debug", logging.DEBUG), (" INFO ", logging.INFO)])
def test_mobiz_log_attaches_one_handler_however_often_it_is_asked(logger, value, level):
    from_environment({"MOBIZ_LOG": value})
    from_environment({"MOBIZ_LOG": value})

    assert len(logger.handlers) == 1
    assert logger.level == level


@pytest.mark.parametrize("attached", [False, True])
def test_mobiz_log_is_heard_also_where_a_program_has_configured_its_logging_before(logger, attached, monkeypatch):
    """``dictConfig`` disables all loggers that are there and that it does not name, unless it is told not to."""
    ours, others = ("mobiz_async", "mobiz_async.coalescing"), ("mobiz_async_example", "example")
    for name in (*ours, *others):
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
    if attached:
        from_environment({"MOBIZ_LOG": "debug"})
    for name in (*ours, *others):
        logging.getLogger(name).disabled = True

    from_environment({"MOBIZ_LOG": "debug"})

    assert [logging.getLogger(name).disabled for name in (*ours, *others)] == [False, False, True, True]


@pytest.mark.parametrize("environment", [{}, {"MOBIZ_LOG": ""}])
def test_without_mobiz_log_nothing_is_attached_or_enabled(logger, environment, monkeypatch):
    monkeypatch.setattr(logger, "disabled", True)  # as the program wants it

    from_environment(environment)

    assert (logger.handlers, logger.disabled) == ([], True)


def test_a_level_that_is_none_is_refused(logger):
    with pytest.raises(ConfigurationError, match="debug or info"):
        from_environment({"MOBIZ_LOG": "loud"})


async def test_a_client_asks_the_environment_and_its_lines_hold_no_recipient(logger, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("MOBIZ_LOG", "debug")
    async with MobizClient(transport=FakeTransport()) as mobiz:
        await mobiz.trigger("sentinel-trigger-key", {"A": "27821234567", "B": "sentinel-text"})

    line = shown.getvalue()
    assert "D mobiz TriggerMessage: accepted outcome=accepted status=200 records=1 seconds=" in line
    assert not any(text in line for text in ("27821234567", "sentinel"))


def test_structlog_gets_the_fields_at_the_level(event):
    with structlog.testing.capture_logs() as entries:
        StructlogHook()(event(outcome=Outcome.UNKNOWN, verdict="no_answer", status=None))

    assert entries == [
        {
            "event": "mobiz_attempt",
            "log_level": "warning",
            "operation": "SendBulkMessages",
            "outcome": Outcome.UNKNOWN,
            "verdict": "no_answer",
            "status": None,
            "records": 10_000,
            "seconds": 0.25,
            "attempt": 1,
            "bytes": 1234,
            "retry_in": None,
        }
    ]


def test_structlog_hook_uses_a_logger_that_is_handed_in(event):
    class Kept:
        def log(self, level, name, **fields):
            self.got = (level, name, fields["verdict"])

    logger = Kept()
    StructlogHook(logger)(event())

    assert logger.got == (logging.DEBUG, "mobiz_attempt", "accepted")
