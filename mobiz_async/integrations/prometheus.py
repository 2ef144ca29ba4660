"""Prometheus: attempts by verdict, records by outcome, and how long an attempt takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mobiz_async.integrations.extras import missing
from mobiz_async.reports import AttemptEvent

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["PrometheusHook"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class PrometheusHook:
    """An event hook that counts into ``registry`` (None: Prometheus' default one). Make one for each registry.

    - ``mobiz_attempts_total{operation, verdict}``: POSTs, retries included;
    - ``mobiz_records_total{operation, outcome}``: records whose fate is settled, each once, but for a chunk that is
      halved after a rejection: it counts as rejected, and its halves count again;
    - ``mobiz_retries_total{operation, verdict}``: attempts after which another was to follow, by what they met;
    - ``mobiz_attempt_seconds{operation}``: a histogram.

    Raises ``ConfigurationError`` when prometheus_client is not installed.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        namespace: str = "mobiz",
        buckets: Sequence[float] = _SECONDS,
    ) -> None:
        """Register the metrics under ``namespace``; ``buckets`` are upper bounds in seconds."""
        try:
            from prometheus_client import REGISTRY, Counter, Histogram  # noqa: PLC0415  an extra
        except ImportError:
            raise missing("PrometheusHook", "prometheus") from None
        into = REGISTRY if registry is None else registry
        self._attempts = Counter(
            "attempts", "POSTs to the Mobiz API.", ("operation", "verdict"), namespace=namespace, registry=into
        )
        self._records = Counter(
            "records", "Records settled, by outcome.", ("operation", "outcome"), namespace=namespace, registry=into
        )
        self._retries = Counter(
            "retries", "Attempts to be repeated.", ("operation", "verdict"), namespace=namespace, registry=into
        )
        self._seconds = Histogram(
            "attempt_seconds",
            "Duration of one POST to the Mobiz API.",
            ("operation",),
            namespace=namespace,
            registry=into,
            buckets=tuple(buckets),
        )

    def __call__(self, event: AttemptEvent) -> None:
        """Count one attempt."""
        if event.verdict != "not_started":
            self._attempts.labels(event.operation, event.verdict).inc()
            self._seconds.labels(event.operation).observe(event.seconds)
        if event.retry_in is None:
            self._records.labels(event.operation, event.outcome.value).inc(event.records)
        else:
            self._retries.labels(event.operation, event.verdict).inc()
