"""A sandbox in a process of its own: it outlives a killed sender, and its work does not disturb the sender's loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Self

import aiohttp

__all__ = ["SandboxProcess", "environment_of_child"]

_GRACE = 5.0
_READY = 30.0


def environment_of_child() -> dict[str, str]:
    """Return the environment of a process that has to import what this one can.

    The package may be in no place that Python looks into by itself: in a zip file that is run, or a folder that the
    program has added.
    """
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


class SandboxProcess:
    """Starts ``python -m mobiz_async.sandbox`` and ends it: ``async with SandboxProcess() as sandbox``.

    ``arguments`` go to its command line, such as ``["--log", path, "--faults", "every:2:reset_after_apply"]``. It ends
    with the block, when this process dies (its standard input closes), or after ``lifetime`` seconds.
    """

    def __init__(
        self,
        arguments: Sequence[str] = (),
        *,
        api_key: str = "sandbox-api-key",
        subscription_key: str = "sandbox-subscription-key",
        lifetime: float = 900.0,
    ) -> None:
        """Take the settings; nothing starts before ``async with``. The keys go through the environment."""
        self._arguments = [*arguments, "--until-stdin-closes", "--lifetime", str(lifetime)]
        self._keys = {"MOBIZ_SANDBOX_API_KEY": api_key, "MOBIZ_SANDBOX_SUBSCRIPTION_KEY": subscription_key}
        self._process: asyncio.subprocess.Process | None = None
        self.base_url: str = ""
        """The root of the API."""

    async def __aenter__(self) -> Self:
        """Start it and wait until it is ready; RuntimeError where it ends or says nothing instead."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mobiz_async.sandbox",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment_of_child() | self._keys,
            start_new_session=True,  # a Ctrl-C on the terminal is for the sender, which ends this one
        )
        try:
            assert self._process.stdout is not None
            async with asyncio.timeout(_READY):
                line = await self._process.stdout.readline()
            self.base_url = json.loads(line)["base_url"]
        except BaseException as error:
            await self._end()
            if isinstance(error, (TimeoutError, ValueError)):
                raise RuntimeError(  # noqa: TRY004  # not a matter of types
                    "the sandbox process did not become ready; see its standard error"
                ) from None
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it: by closing its standard input, then by SIGTERM, then by SIGKILL."""
        await self._end()

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise RuntimeError("the sandbox process is not running: use it within 'async with'")
        return self._process.pid

    async def summary(self) -> dict[str, Any]:
        """Return the totals of what arrived, as ``GET /sandbox/summary`` answers them."""
        totals: dict[str, Any] = await self._get("/sandbox/summary")
        return totals

    async def requests(self) -> list[dict[str, Any]]:
        """Return the latest 1,000 requests, as ``GET /sandbox/requests`` answers them."""
        seen: list[dict[str, Any]] = await self._get("/sandbox/requests")
        return seen

    async def _get(self, path: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(self.base_url + path) as response:
            return await response.json()

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        for harder in (process.terminate, process.kill):
            try:
                await asyncio.wait_for(process.communicate(), _GRACE)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    harder()
            else:
                return
        await process.communicate()
