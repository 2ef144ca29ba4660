"""Prometheus counts attempts by verdict, and each record once, when its fate is settled."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from mobiz_async import Outcome, OutcomeUnknownError
from mobiz_async.integrations.prometheus import PrometheusHook
from mobiz_async.testing import no_connection, server_error, throttled


def samples(registry):
    """Every sample that is not 0, without times of creation and buckets."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.value and not sample.name.endswith(("_created", "_bucket", "_sum"))
    }


async def test_retries_count_as_attempts_and_records_count_once(fake_client):
    registry = CollectorRegistry()
    async with fake_client([no_connection(), throttled(2)], PrometheusHook(registry)) as mobiz:
        await mobiz.append("1", ["27821234567", "27821234568"])

    assert samples(registry) == {
        ("mobiz_attempts_total", "SendBulkMessages", "connect_failed"): 1,
        ("mobiz_attempts_total", "SendBulkMessages", "throttled"): 1,
        ("mobiz_attempts_total", "SendBulkMessages", "accepted"): 1,
        ("mobiz_retries_total", "SendBulkMessages", "connect_failed"): 1,
        ("mobiz_retries_total", "SendBulkMessages", "throttled"): 1,
        ("mobiz_records_total", "SendBulkMessages", "accepted"): 2,
        ("mobiz_attempt_seconds_count", "SendBulkMessages"): 3,
    }


async def test_an_unknown_outcome_is_counted_as_such(fake_client):
    registry = CollectorRegistry()
    async with fake_client([server_error()], PrometheusHook(registry)) as mobiz:
        with pytest.raises(OutcomeUnknownError):
            await mobiz.trigger("spring", {"A": "27821234567"})

    assert samples(registry)["mobiz_records_total", "TriggerMessage", "unknown"] == 1


def test_what_never_began_is_no_attempt_but_its_records_are_settled(event):
    registry = CollectorRegistry()
    PrometheusHook(registry)(event(outcome=Outcome.NOT_SENT, verdict="not_started", status=None, attempt=0))

    assert samples(registry) == {("mobiz_records_total", "SendBulkMessages", "not_sent"): 10_000}


def test_durations_fall_into_buckets_of_seconds(event):
    registry = CollectorRegistry()
    PrometheusHook(registry, namespace="texts", buckets=(0.1, 1.0))(event(seconds=0.25))

    labels = {"operation": "SendBulkMessages"}
    assert registry.get_sample_value("texts_attempt_seconds_bucket", {**labels, "le": "0.1"}) == 0
    assert registry.get_sample_value("texts_attempt_seconds_bucket", {**labels, "le": "1.0"}) == 1
    assert registry.get_sample_value("texts_attempt_seconds_sum", labels) == 0.25


def test_without_a_registry_the_default_one_is_used(monkeypatch, event):
    mine = CollectorRegistry()
    monkeypatch.setattr("prometheus_client.REGISTRY", mine)
    PrometheusHook()(event())

    assert samples(mine)["mobiz_records_total", "SendBulkMessages", "accepted"] == 10_000
