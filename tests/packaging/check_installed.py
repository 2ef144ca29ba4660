"""What an installation can do, run by its own Python in an empty folder: ``python -I check_installed.py EXTRA``.

Without an argument, that it works with the required dependencies alone and says which extra brings what is missing.
"""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path

from mobiz_async import MobizClient
from mobiz_async.sandbox import Sandbox

MODULES = ("mobiz_async", "mobiz_async.recipients", "mobiz_async.sandbox", "mobiz_async.testing")

NEEDS = {
    "cli": "mobiz_async.cli.app",
    "phones": "phonenumbers",
    "parquet": "pyarrow.parquet",
    "excel": "python_calamine",
    "zstd": "zstandard",
    "otel": "mobiz_async.integrations.opentelemetry",
    "prometheus": "mobiz_async.integrations.prometheus",
    "structlog": "mobiz_async.integrations.structlog",
    "pydantic": "pydantic",
}
"""What each extra makes importable."""


async def send() -> None:
    async with Sandbox() as sandbox:
        address = sandbox.base_url
        async with MobizClient("sandbox-api-key", "sandbox-subscription-key", base_url=address) as mobiz:
            report = await mobiz.send_bulk("1", ["082 123 4567", "0831234567"], region="ZA")
    assert (report.accepted, report.ok) == (2, True), report


def main() -> None:
    extras = sys.argv[1:]
    for module in MODULES:
        assert "site-packages" in str(importlib.import_module(module).__file__)
    asyncio.run(send())
    for extra in NEEDS if extras == ["all"] else extras:
        importlib.import_module(NEEDS[extra])
    command = Path(sys.executable).with_name("mobiz")
    ran = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    if {"cli", "all"}.isdisjoint(extras):
        assert (ran.returncode, ran.stderr) == (2, "the mobiz command needs: pip install 'mobiz-async[cli]'\n"), ran
    else:
        assert (ran.returncode, ran.stdout.split()[0]) == (0, "mobiz"), ran
    sys.stdout.write(f"{sys.version.split()[0]} {' '.join(extras) or 'no extra'}: works\n")


if __name__ == "__main__":
    main()
