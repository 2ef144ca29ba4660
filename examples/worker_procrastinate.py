"""A queue worker (procrastinate, on PostgreSQL) that runs a job again only where nothing can have gone out.

pip install mobiz-async procrastinate 'psycopg[binary]'
export MOBIZ_API_KEY=... MOBIZ_SUBSCRIPTION_KEY=... MOBIZ_TRIGGER_KEY=... PGHOST=...
procrastinate --app worker_procrastinate.queue schema --apply && python worker_procrastinate.py

A job whose worker was killed is not run again by default, which is right here: nobody knows how far it got.
"""

import asyncio
import logging
import os
from contextlib import AsyncExitStack

from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from procrastinate.jobs import Job

from mobiz_async import MobizClient, NotSentError, OutcomeUnknownError

log = logging.getLogger(__name__)
MOST_ATTEMPTS = 10


class OnlyIfNotSent(BaseRetryStrategy):
    """Rejected stays rejected, unknown is for a human to look at, not sent is tried again."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, NotSentError) and job.attempts < MOST_ATTEMPTS:
            return RetryDecision(retry_in={"seconds": int(exception.retry_after or 60)})
        if isinstance(exception, OutcomeUnknownError):
            log.warning("job %s may have been sent (reference %s)", job.id, exception.reference)
        return None


queue = App(connector=PsycopgConnector())
clients: dict[str, MobizClient] = {}


@queue.task(name="text", queue="texts", retry=OnlyIfNotSent())
async def text(fields: dict[str, str]) -> str | None:
    receipt = await clients["mobiz"].trigger(os.environ["MOBIZ_TRIGGER_KEY"], fields)
    return receipt.message_id


async def work(app: App = queue, *, wait: bool = True) -> None:
    """Run jobs until stopped; with ``wait=False`` until there are none."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.open_async())
        clients["mobiz"] = await stack.enter_async_context(MobizClient())
        await app.run_worker_async(queues=["texts"], concurrency=20, wait=wait)


if __name__ == "__main__":
    asyncio.run(work())
