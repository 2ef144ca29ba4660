"""A Django project in one file, with an async view that texts. Served by ASGI, where all requests share a loop.

pip install mobiz-async django uvicorn
MOBIZ_API_KEY=... MOBIZ_SUBSCRIPTION_KEY=... MOBIZ_TRIGGER_KEY=... uvicorn django_view:application

Under WSGI each async view has an event loop of its own, and so needs a client of its own.
"""

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

from mobiz_async import (
    InvalidRecordError,
    MobizClient,
    NotSentError,
    OutcomeUnknownError,
    RejectedError,
    RetryPolicy,
)

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY=os.urandom(32).hex())
clients: dict[str, MobizClient] = {}
# Seconds. Nobody waits longer for a page; and a server that is told to end waits for its handlers.
PATIENCE = RetryPolicy(deadline=10.0)


@require_POST
async def text(request: HttpRequest) -> JsonResponse:
    try:
        receipt = await clients["mobiz"].trigger(os.environ["MOBIZ_TRIGGER_KEY"], json.loads(request.body))
    except OutcomeUnknownError:
        return JsonResponse({"sent": "perhaps"}, status=202)
    except NotSentError as error:
        return JsonResponse({"sent": "no"}, status=503, headers={"Retry-After": int(error.retry_after or 1)})
    except (RejectedError, InvalidRecordError) as error:
        return JsonResponse({"sent": "no", "why": str(error)}, status=422)
    return JsonResponse({"sent": "yes", "id": receipt.message_id}, status=202)


urlpatterns = [path("texts", text)]
django = get_asgi_application()


async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
    """Django leaves ASGI's lifespan to others, so it is handled here: the client lives from start-up to shutdown."""
    if scope["type"] != "lifespan":
        await django(scope, receive, send)
        return
    await receive()
    async with MobizClient(retry=PATIENCE) as clients["mobiz"]:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
