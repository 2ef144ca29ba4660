"""Adapters of event hooks to what programs watch themselves with; each is one file and is imported by its own name.

::

    from mobiz_async.integrations.opentelemetry import OpenTelemetryHook

    MobizClient(events=[OpenTelemetryHook()])

None of them sees more than an ``AttemptEvent`` holds: no key, number, message or URL.
"""
