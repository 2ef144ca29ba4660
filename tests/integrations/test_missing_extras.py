"""Each adapter names the line to type when its library is not installed, and importing it needs nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from mobiz_async import ConfigurationError

ADAPTERS = [
    ("opentelemetry", "OpenTelemetryHook", "opentelemetry", "otel"),
    ("prometheus", "PrometheusHook", "prometheus_client", "prometheus"),
    ("structlog", "StructlogHook", "structlog", "structlog"),
]


@pytest.mark.parametrize(("module", "hook", "library", "extra"), ADAPTERS)
def test_what_is_not_installed_is_named_with_the_line_to_type(monkeypatch, module, hook, library, extra):
    make = getattr(importlib.import_module(f"mobiz_async.integrations.{module}"), hook)
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ConfigurationError) as caught:
        make()

    assert str(caught.value) == f"{hook} needs: pip install 'mobiz-async[{extra}]'"


def test_importing_the_adapters_imports_none_of_their_libraries():
    libraries = tuple(library for _, _, library, _ in ADAPTERS)
    code = (
        "import sys, mobiz_async.integrations.opentelemetry, mobiz_async.integrations.prometheus, "
        "mobiz_async.integrations.structlog; "
        f"print(*[name for name in sys.modules if name.split('.')[0] in {libraries!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout == "\n"
