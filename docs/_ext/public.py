"""What is public: these modules and what their ``__all__`` names, modules too. The one list of them; tests use it."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["PUBLIC", "public_modules"]

PUBLIC = (
    "mobiz_async",
    "mobiz_async.errors",
    "mobiz_async.journal",
    "mobiz_async.recipients",
    "mobiz_async.sandbox",
    "mobiz_async.testing",
    "mobiz_async.testing.journal_contract",
)


def public_modules() -> list[ModuleType]:
    """Return them, and behind them the modules that they name."""
    modules = [importlib.import_module(name) for name in PUBLIC]
    held = [getattr(module, name) for module in modules for name in module.__all__]
    return [*modules, *(one for one in held if isinstance(one, ModuleType))]
