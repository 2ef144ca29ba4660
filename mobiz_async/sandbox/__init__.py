"""A local Mobiz to develop and test against: it behaves as documented, misbehaves on demand, and knows what it applied.

    async with Sandbox(faults=Faults.every(2, Fault.RESET_AFTER_APPLY)) as sandbox:
        ...  # send to sandbox.base_url
        assert sandbox.applied("1") == {"27821234567": 1}

``SandboxProcess`` runs one in a process of its own; ``python -m mobiz_async.sandbox`` runs one in a terminal.
"""

from mobiz_async.sandbox.faults import FACTS, Fault, FaultFacts, Faults, Injection
from mobiz_async.sandbox.gateway import Elsewhere
from mobiz_async.sandbox.ledger import SeenMessage, SeenRequest
from mobiz_async.sandbox.limits import EveryNth, Quota, RateLimit
from mobiz_async.sandbox.logfile import LogEntry, read_log
from mobiz_async.sandbox.process import SandboxProcess
from mobiz_async.sandbox.server import Sandbox
from mobiz_async.sandbox.serving import main, serve

__all__ = [
    "FACTS",
    "Elsewhere",
    "EveryNth",
    "Fault",
    "FaultFacts",
    "Faults",
    "Injection",
    "LogEntry",
    "Quota",
    "RateLimit",
    "Sandbox",
    "SandboxProcess",
    "SeenMessage",
    "SeenRequest",
    "main",
    "read_log",
    "serve",
]
