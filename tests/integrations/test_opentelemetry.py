"""OpenTelemetry: a span for each attempt, under the caller's own, and metrics; nothing but what an event holds."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv.attributes import error_attributes, http_attributes
from opentelemetry.trace import SpanKind, StatusCode

from mobiz_async import Outcome, OutcomeUnknownError
from mobiz_async.integrations.opentelemetry import OpenTelemetryHook
from mobiz_async.testing import throttled, timeout


class Watch:
    """Providers that keep what they are given, and a hook that uses them."""

    def __init__(self):
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.hook = OpenTelemetryHook(self.tracers, MeterProvider([self._reader]))

    @property
    def spans(self):
        return self._exporter.get_finished_spans()

    @property
    def counts(self):
        """(metric, verdict or outcome) to its value; of the histogram, how many."""
        found = {}
        for resource in self._reader.get_metrics_data().resource_metrics:
            for metric in resource.scope_metrics[0].metrics:
                for point in metric.data.data_points:
                    label = point.attributes.get("mobiz.verdict") or point.attributes.get("mobiz.outcome")
                    found[metric.name, label] = getattr(point, "value", None) or point.count
        return found


@pytest.fixture
def watch():
    return Watch()


async def test_each_attempt_is_a_span_below_the_span_that_called(watch, fake_client):
    tracer = watch.tracers.get_tracer("test")
    async with fake_client([throttled(2)], watch.hook) as mobiz:
        with tracer.start_as_current_span("handler") as handler:
            await mobiz.trigger("spring", {"A": "27821234567"})

    first, second, outer = watch.spans
    assert [first.name, second.name, outer.name] == ["mobiz TriggerMessage", "mobiz TriggerMessage", "handler"]
    assert {first.parent.span_id, second.parent.span_id} == {handler.get_span_context().span_id}
    assert first.kind is SpanKind.CLIENT


async def test_attributes_follow_the_semantic_conventions(watch, event):
    watch.hook(event(attempt=2))

    assert dict(watch.spans[0].attributes) == {
        "messaging.system": "mobiz",
        "messaging.operation.name": "SendBulkMessages",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": 10_000,
        http_attributes.HTTP_REQUEST_METHOD: "POST",
        http_attributes.HTTP_RESPONSE_STATUS_CODE: 200,
        http_attributes.HTTP_REQUEST_RESEND_COUNT: 1,
        "http.request.body.size": 1234,
        "mobiz.verdict": "accepted",
        "mobiz.outcome": "accepted",
        "mobiz.attempt": 2,
    }


def test_a_span_lasts_as_long_as_the_attempt_did(watch, event):
    watch.hook(event(seconds=0.25))

    assert watch.spans[0].end_time - watch.spans[0].start_time == 250_000_000


async def test_what_is_repeated_is_no_error_and_what_ends_unaccepted_is(watch, fake_client):
    async with fake_client([throttled(2), timeout()], watch.hook) as mobiz:
        with pytest.raises(OutcomeUnknownError):
            await mobiz.trigger("spring", {"A": "27821234567"})

    repeated, unknown = watch.spans
    assert (repeated.status.status_code, repeated.attributes["mobiz.verdict"]) == (StatusCode.UNSET, "throttled")
    assert repeated.attributes["mobiz.retry_in"] >= 2
    assert (unknown.status.status_code, unknown.status.description) == (StatusCode.ERROR, "no_answer")
    assert unknown.attributes[error_attributes.ERROR_TYPE] == "no_answer"


async def test_records_are_counted_once_and_attempts_each_time(watch, fake_client):
    async with fake_client([throttled(2)], watch.hook) as mobiz:
        await mobiz.append("1", ["27821234567", "27821234568"])

    assert watch.counts == {
        ("mobiz.attempts", "throttled"): 1,
        ("mobiz.attempts", "accepted"): 1,
        ("messaging.client.operation.duration", "throttled"): 1,
        ("messaging.client.operation.duration", "accepted"): 1,
        ("mobiz.records", "accepted"): 2,
    }


def test_what_never_began_has_no_span(watch, event):
    watch.hook(event(outcome=Outcome.NOT_SENT, verdict="not_started", status=None, attempt=0))

    assert watch.spans == ()
    assert watch.counts == {("mobiz.records", "not_sent"): 10_000}


def test_without_providers_the_global_ones_are_used_and_may_do_nothing(event):
    hook = OpenTelemetryHook()

    assert hook(event()) is None
