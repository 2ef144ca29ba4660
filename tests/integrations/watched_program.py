"""A program under everybody's eyes: Sentry, OpenTelemetry's aiohttp instrumentation, asyncio's debug mode, all logs.

It runs every way in which a request can end, one case after another, and prints a JSON object: case to what became of
the request, and to everything that was recorded of it. Run as a program of its own, since Sentry and OpenTelemetry
patch aiohttp for good.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import traceback

import aiohttp
import sentry_sdk
from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.integrations.aiohttp import AioHttpIntegration
from sentry_sdk.integrations.logging import LoggingIntegration, ignore_logger
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.transport import Transport

from mobiz_async import MobizClient, MobizError, RetryPolicy, Timeouts
from mobiz_async.integrations.opentelemetry import OpenTelemetryHook
from mobiz_async.sandbox import Fault, Faults, Injection, Sandbox

API_KEY = "sentinel-api-key"
SUBSCRIPTION_KEY = "sentinel-subscription-key"
TRIGGER_KEY = "sentinel-trigger-key"
NUMBER = "27829998877"
TEXT = "sentinel-text " * 10
BAD = {"Number": NUMBER, "A": NUMBER, "Message": TEXT, "Logo": b"sentinel-text"}
TIMEOUTS = Timeouts(connect=0.3, read=0.3, upload_stall=0.3, total=1.0)
RESULTS = {}  # no local of any frame: what was seen of one case must not be seen again with the next
NUMBERS = {Fault.SLOW_ANSWER: 0.01}


class Envelopes(Transport):
    """Keeps what Sentry would send."""

    def __init__(self):
        super().__init__()
        self.taken = []

    def capture_envelope(self, envelope):
        self.taken.append(envelope.serialize().decode())


class Watchers:
    """Everybody who looks on, and what each has seen since the last ``collect``."""

    def __init__(self):
        self._envelopes = Envelopes()
        self._spans = InMemorySpanExporter()
        self._log = io.StringIO()
        handler = logging.StreamHandler(self._log)
        handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s %(mobiz)s", defaults={"mobiz": ""}))
        logging.basicConfig(level=logging.DEBUG, handlers=[handler], force=True)
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        trace.set_tracer_provider(tracers)
        AioHttpClientInstrumentor().instrument(
            tracer_provider=tracers,
            request_hook=lambda span, params: span.set_attribute("seen", f"{params.url} {dict(params.headers)}"),
            response_hook=lambda span, params: span.set_attribute("answered", f"{params!r} {params.url}"),
        )
        ignore_logger("asyncio")  # in debug mode it warns of every step; the log above has it
        sentry_sdk.init(
            "http://key@127.0.0.1:9/1",
            transport=self._envelopes,
            traces_sample_rate=1.0,
            send_default_pii=True,
            include_local_variables=True,
            attach_stacktrace=True,
            max_value_length=10_000,
            max_request_body_size="always",
            # The default one hides what is called "api_key"; here nothing may have to be hidden.
            event_scrubber=EventScrubber(denylist=[], pii_denylist=[], recursive=False),
            default_integrations=False,
            integrations=[AioHttpIntegration(), LoggingIntegration(logging.DEBUG, logging.WARNING)],
        )

    def collect(self):
        seen = {
            "sentry": "\n".join(self._envelopes.taken),
            "spans": "\n".join(span.to_json() for span in self._spans.get_finished_spans()),
            "log": self._log.getvalue(),
        }
        self._envelopes.taken.clear()
        self._spans.clear()
        self._log.seek(0)
        self._log.truncate()
        return seen


def locals_of(error):
    """Everything in the frames of an exception and of those behind it, the program's own frames apart."""
    seen, shown = set(), []
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        shown.append("".join(traceback.format_exception_only(error)) + repr(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename != __file__:
                values = [f"{name}={value!r}" for name, value in frame.f_locals.items()]
                shown.append(f"{frame.f_code.co_filename} {frame.f_code.co_name} {values}")
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


async def trigger(mobiz):
    return await mobiz.trigger(TRIGGER_KEY, {"A": NUMBER, "B": TEXT})


async def append(mobiz):
    return await mobiz.append("1", [{"Number": NUMBER, "Message": TEXT}])


async def send_bulk(mobiz):
    (await mobiz.send_bulk("1", [{"Number": NUMBER, "Message": TEXT}] * 3, chunk_size=2)).raise_for_failures()


async def observed(name, watchers, operation, mobiz):
    """Run one operation as a web handler would; keep how it ended, and what was recorded."""
    ended = "accepted"
    frames = ""
    with sentry_sdk.start_transaction(name="handler"):
        try:
            await operation(mobiz)
        except (MobizError, TimeoutError, asyncio.CancelledError) as error:
            sentry_sdk.capture_exception(error)
            frames = locals_of(error)
            ended = type(error).__name__
    RESULTS[name] = {"ended": ended, "seen": {**watchers.collect(), "frames": frames}}


def client(base_url, api_key=API_KEY, subscription_key=SUBSCRIPTION_KEY, timeouts=TIMEOUTS):
    return MobizClient(
        api_key,
        subscription_key,
        base_url=base_url,
        retry=RetryPolicy(max_attempts=1),
        timeouts=timeouts,
        events=[OpenTelemetryHook()],
    )


async def faults(watchers, sandbox):
    for fault in Fault:
        for operation in (trigger, append, send_bulk):
            sandbox.faults = Faults.always(Injection(fault, delay=NUMBERS.get(fault, 0.0)))
            async with client(sandbox.base_url) as mobiz:
                if fault in (Fault.CLOSE_ON_REUSE, Fault.CLOSE_AFTER_ANSWER):
                    await trigger(mobiz)
                    watchers.collect()
                await observed(f"{fault.value}/{operation.__name__}", watchers, operation, mobiz)
            sandbox.release()
    sandbox.faults = None


async def refusals(watchers, sandbox):
    async with client(sandbox.base_url, api_key=API_KEY + "-wrong") as mobiz:
        await observed("wrong_api_key/trigger", watchers, trigger, mobiz)
    async with client(sandbox.base_url, subscription_key=SUBSCRIPTION_KEY + "-wrong") as mobiz:
        await observed("wrong_subscription_key/trigger", watchers, trigger, mobiz)
    async with client("https" + sandbox.base_url.removeprefix("http")) as mobiz:
        await observed("no_tls/trigger", watchers, trigger, mobiz)
    await sandbox.refuse()
    async with client(sandbox.base_url) as mobiz:
        await observed("refused/trigger", watchers, trigger, mobiz)
        await observed("refused/send_bulk", watchers, send_bulk, mobiz)
    await sandbox.accept()


async def interruptions(watchers, sandbox):
    async def with_timeout(mobiz):
        async with asyncio.timeout(0.1):
            await trigger(mobiz)

    async def cancelled(mobiz):
        task = asyncio.ensure_future(trigger(mobiz))
        await sandbox.until(lambda: sandbox.held)
        task.cancel()
        await task

    async def cancelled_run(mobiz):
        task = asyncio.ensure_future(send_bulk(mobiz))
        await sandbox.until(lambda: sandbox.held)
        task.cancel()
        await task

    async def closed(mobiz):
        task = asyncio.ensure_future(trigger(mobiz))
        await sandbox.until(lambda: sandbox.held)
        await mobiz.aclose(timeout=0)
        await task

    for operation in (with_timeout, cancelled, cancelled_run, closed):
        sandbox.faults = Faults.always(Fault.HANG_AFTER_APPLY)
        async with client(sandbox.base_url, timeouts=Timeouts()) as mobiz:
            await observed(f"interrupted/{operation.__name__}", watchers, operation, mobiz)
        sandbox.release()
        await sandbox.until(lambda: not sandbox.held)
    sandbox.faults = None
    async with client("http://127.0.0.1:1") as mobiz:
        mobiz._deliverer.transport._timeout = aiohttp.ClientTimeout(connect=1e-9)
        await observed("connect_timeout/trigger", watchers, trigger, mobiz)


async def bad_records(watchers, sandbox):
    async def bad_trigger(mobiz):
        await mobiz.trigger(TRIGGER_KEY, BAD)

    async def bad_append(mobiz):
        await mobiz.append("1", [BAD])

    async def bad_run(mobiz):
        await mobiz.send_bulk("1", [BAD], suppress=[NUMBER], common={"Message": TEXT})

    async def bad_source(mobiz):
        def source():
            yield BAD["Number"]
            raise LookupError("the source broke")

        await mobiz.send_bulk("1", source())

    for operation in (bad_trigger, bad_append, bad_run, bad_source):
        async with client(sandbox.base_url) as mobiz:
            await observed(f"bad_records/{operation.__name__}", watchers, operation, mobiz)


async def by_hand(watchers, sandbox):
    """What it looks like when nobody takes care: the watchers do see, and the test can fail."""

    async def post(_):
        async with aiohttp.ClientSession(headers={"Ocp-Apim-Subscription-Key": SUBSCRIPTION_KEY}) as session:
            url = f"{sandbox.base_url}/TriggerMessage/manual/paths/invoke?trigger_key=x&api_key={API_KEY}"
            async with session.post(url, json={"A": NUMBER}) as response:
                raise TimeoutError(repr(response))

    await observed("by_hand", watchers, post, None)


async def main():
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    watchers = Watchers()
    async with Sandbox(
        api_key=API_KEY, subscription_key=SUBSCRIPTION_KEY, trigger_keys=[TRIGGER_KEY], keep_records=10
    ) as sandbox:
        for cases in (faults, refusals, interruptions, bad_records, by_hand):
            await cases(watchers, sandbox)
    json.dump(RESULTS, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
