"""A FastAPI service that texts: one client for the life of the process, and an answer for each of the four outcomes.

pip install mobiz-async fastapi uvicorn
MOBIZ_API_KEY=... MOBIZ_SUBSCRIPTION_KEY=... MOBIZ_TRIGGER_KEY=... uvicorn fastapi_service:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from mobiz_async import (
    InvalidRecordError,
    MobizClient,
    NotSentError,
    OutcomeUnknownError,
    RejectedError,
    RetryPolicy,
)

# Seconds. Nobody waits longer for a page; and a server that is told to end waits for its handlers.
PATIENCE = RetryPolicy(deadline=10.0)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with MobizClient(retry=PATIENCE) as app.state.mobiz:  # leaving it lets what is in flight end
        yield


app = FastAPI(lifespan=lifespan)


class Text(BaseModel):
    """Columns are named by letters; ``A`` is the mobile number."""

    number: str = Field(serialization_alias="A")
    name: str = Field(serialization_alias="B")


def client(request: Request) -> MobizClient:
    mobiz: MobizClient = request.app.state.mobiz
    return mobiz


@app.post("/texts", status_code=202)
async def text(message: Text, mobiz: Annotated[MobizClient, Depends(client)]) -> dict[str, Any]:
    receipt = await mobiz.trigger(os.environ["MOBIZ_TRIGGER_KEY"], message)
    return {"sent": "yes", "id": receipt.message_id}


@app.exception_handler(NotSentError)
async def not_sent(_: Request, error: NotSentError) -> JSONResponse:
    """Nothing went out: the caller may try again."""
    wait = str(int(error.retry_after or 1))
    return JSONResponse({"sent": "no", "why": str(error)}, status_code=503, headers={"Retry-After": wait})


@app.exception_handler(RejectedError)
@app.exception_handler(InvalidRecordError)
async def rejected(_: Request, error: RejectedError | InvalidRecordError) -> JSONResponse:
    """Mobiz, or a check before it, said no: the same again is pointless."""
    return JSONResponse({"sent": "no", "why": str(error)}, status_code=422)


@app.exception_handler(OutcomeUnknownError)
async def unknown(_: Request, error: OutcomeUnknownError) -> JSONResponse:
    """It may have gone out: to try again may text somebody twice."""
    return JSONResponse({"sent": "perhaps", "why": str(error)}, status_code=202)
