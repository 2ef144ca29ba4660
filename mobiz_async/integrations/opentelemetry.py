"""OpenTelemetry: a span for each attempt, and metrics. Only the API is needed; without an SDK it all is a no-op."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mobiz_async.integrations.extras import missing
from mobiz_async.models import Outcome
from mobiz_async.reports import AttemptEvent

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["OpenTelemetryHook"]

Attributes = dict[str, str | int | float | bool]


class OpenTelemetryHook:
    """An event hook that makes spans and metrics through ``tracer_provider`` and ``meter_provider`` (None: the global).

    A span, named ``mobiz TriggerMessage`` or as the operation is, begins and ends when the attempt did, and is a child
    of the span in which the client was called. It stands beside the span that an instrumentation of aiohttp makes of
    the same POST, and says what that one cannot: the verdict. Attributes follow the semantic conventions for HTTP and
    messaging where there is one, and begin with ``mobiz.`` where there is none. Rejected and unknown attempts have the
    status ERROR; one that will be repeated has not.

    Metrics: ``messaging.client.operation.duration`` (a histogram in seconds, one value an attempt), ``mobiz.attempts``
    (by verdict) and ``mobiz.records`` (by outcome, each record once, when its fate is settled).

    Raises ``ConfigurationError`` when opentelemetry-api is not installed.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        """Take the providers; nothing is recorded before the first attempt."""
        try:
            from opentelemetry import metrics, trace  # noqa: PLC0415  an extra
        except ImportError:
            raise missing("OpenTelemetryHook", "otel") from None
        self._trace = trace
        self._tracer = trace.get_tracer("mobiz_async", tracer_provider=tracer_provider)
        meter = metrics.get_meter("mobiz_async", meter_provider=meter_provider)
        self._seconds = meter.create_histogram(
            "messaging.client.operation.duration", unit="s", description="Duration of one POST to the Mobiz API."
        )
        self._attempts = meter.create_counter(
            "mobiz.attempts", unit="{attempt}", description="POSTs to the Mobiz API, retries included."
        )
        self._records = meter.create_counter(
            "mobiz.records", unit="{record}", description="Records settled, by outcome; each record once."
        )

    def __call__(self, event: AttemptEvent) -> None:
        """Record one attempt."""
        common: Attributes = {"messaging.system": "mobiz", "messaging.operation.name": event.operation}
        if event.retry_in is None:
            self._records.add(event.records, {**common, "mobiz.outcome": event.outcome.value})
        if event.verdict == "not_started":
            return
        verdict: Attributes = {**common, "mobiz.verdict": event.verdict}
        self._attempts.add(1, verdict)
        measured = {**verdict, "messaging.operation.type": "send"}
        if event.outcome is not Outcome.ACCEPTED:
            measured["error.type"] = event.verdict
        self._seconds.record(event.seconds, measured)
        self._span(event, measured)

    def _span(self, event: AttemptEvent, measured: Attributes) -> None:
        attributes: Attributes = {
            **measured,
            "http.request.method": "POST",
            "http.request.body.size": event.bytes,
            "messaging.batch.message_count": event.records,
            "mobiz.outcome": event.outcome.value,
            "mobiz.attempt": event.attempt,
        }
        if event.attempt > 1:
            attributes["http.request.resend_count"] = event.attempt - 1
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if event.retry_in is not None:
            attributes["mobiz.retry_in"] = event.retry_in
        ended = time.time_ns()
        span = self._tracer.start_span(
            f"mobiz {event.operation}",
            kind=self._trace.SpanKind.CLIENT,
            attributes=attributes,
            start_time=ended - int(event.seconds * 1e9),
        )
        if event.outcome is not Outcome.ACCEPTED and event.retry_in is None:
            span.set_status(self._trace.StatusCode.ERROR, event.verdict)
        span.end(ended)
