"""Each adapter names the line to type when its library is not installed, and importing it needs nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from mobiz_async import ConfigurationError
from mobiz_async.integrations import extras

ADAPTERS = [
    ("opentelemetry", "OpenTelemetryHook", "opentelemetry", "otel"),
    ("prometheus", "PrometheusHook", "prometheus_client", "prometheus"),
    ("structlog", "StructlogHook", "structlog", "structlog"),
]


def test_every_adapter_is_among_those_tested_here():
    there = {path.stem for path in Path(extras.__file__).parent.glob("*.py")} - {"__init__", "extras"}

    assert there == {module for module, *_ in ADAPTERS}


@pytest.mark.parametrize(("module", "hook", "library", "extra"), ADAPTERS)
def test_what_is_not_installed_is_named_with_the_line_to_type(monkeypatch, module, hook, library, extra):
    make = getattr(importlib.import_module(f"mobiz_async.integrations.{module}"), hook)
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ConfigurationError) as caught:
        make()

    assert str(caught.value) == f"{hook} needs: pip install 'mobiz-async[{extra}]'"


def test_importing_the_adapters_imports_none_of_their_libraries():
    libraries = tuple(library for _, _, library, _ in ADAPTERS)
    adapters = ", ".join(f"mobiz_async.integrations.{module}" for module, *_ in ADAPTERS)
    code = f"import sys, {adapters}; print(*[name for name in sys.modules if name.split('.')[0] in {libraries!r}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout == "\n"
