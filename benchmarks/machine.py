"""What it was measured on."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

from benchmarks.snapshot import revision

_LIBRARIES = ("aiohttp", "attrs", "cattrs", "msgspec", "tenacity", "elasticsearch", "httpx", "orjson", "requests")


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "unknown")


def facts() -> dict[str, str]:
    """Return the machine, the versions and how busy it was, as what a reader is shown."""
    memory = _field("/proc/meminfo", "MemTotal").split()[0]
    shown = f"{int(memory) / 2**20:.0f} GiB" if memory.isdecimal() else memory
    versions = []
    for library in _LIBRARIES:
        try:
            versions.append(f"{library} {importlib.metadata.version(library)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "mobiz_async": f"revision {revision() or 'unknown'}",
        "processor": f"{_field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores, {shown}",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}"
        f"{' without the GIL' if not getattr(sys, '_is_gil_enabled', lambda: True)() else ''}",
        "libraries": ", ".join(versions),
        "load": f"{os.getloadavg()[0]:.2f} (one-minute average before the first run)",
    }
