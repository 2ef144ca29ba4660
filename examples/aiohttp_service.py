"""An aiohttp service that sends one-time codes: many handlers, few POSTs, each caller its own message id.

pip install mobiz-async
MOBIZ_API_KEY=... MOBIZ_SUBSCRIPTION_KEY=... MOBIZ_TRIGGER_KEY=... python aiohttp_service.py
"""

import logging
import os
import secrets
from collections.abc import AsyncIterator

from aiohttp import web

from mobiz_async import (
    Coalescer,
    InvalidRecordError,
    MobizClient,
    NotSentError,
    OutcomeUnknownError,
    RejectedError,
    RetryPolicy,
)

CODES = web.AppKey("codes", Coalescer)
# Seconds. Nobody waits longer for a page; and a server that is told to end waits for its handlers.
PATIENCE = RetryPolicy(deadline=10.0)


async def codes(app: web.Application) -> AsyncIterator[None]:
    """Open at start-up and close at shutdown; closing sends what still waits."""
    async with (
        MobizClient(retry=PATIENCE) as mobiz,
        mobiz.coalesce(os.environ["MOBIZ_TRIGGER_KEY"], max_batch=100, max_wait=0.01) as app[CODES],
    ):
        yield


async def send_code(request: web.Request) -> web.Response:
    number = (await request.json())["number"]
    code = f"{secrets.randbelow(1_000_000):06}"
    try:
        receipt = await request.app[CODES].send({"A": number, "B": code})
    except OutcomeUnknownError:
        # The code may well arrive. Whoever misses it asks for another, which is a new message.
        return web.json_response({"sent": "perhaps"}, status=202)
    except NotSentError as error:
        headers = {"Retry-After": str(int(error.retry_after or 1))}
        return web.json_response({"sent": "no"}, status=503, headers=headers)
    except (RejectedError, InvalidRecordError) as error:
        logging.getLogger(__name__).warning("no code sent: %s", error)  # no number and no key in its text
        return web.json_response({"sent": "no"}, status=422)
    return web.json_response({"sent": "yes", "id": receipt.message_id}, status=202)


def application() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(codes)
    app.router.add_post("/codes", send_code)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=8080)
