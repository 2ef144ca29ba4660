"""A notebook in its text form: ``# %%`` begins a cell. Jupyter awaits at the top level; no loop has to be started."""

# %%
from mobiz_async import MobizClient, OnInvalid
from mobiz_async.sandbox import Sandbox

sandbox = await Sandbox().__aenter__()  # a local Mobiz to try things on; the real one needs only your keys
mobiz = MobizClient("sandbox-api-key", "sandbox-subscription-key", base_url=sandbox.base_url)

# %%
people = [
    {"Number": "27821234567", "Message": "Hello Thandi"},
    {"Number": "27821234568", "Message": "Hello Sipho"},
    {"Number": "", "Message": "Hello nobody"},
]
report = await mobiz.send_bulk("1", people, on_invalid=OnInvalid.SKIP)
report.raise_for_failures()

# %%
print(f"accepted {report.accepted}, skipped {report.skipped}: {dict(report.skipped_by_reason)}")
print(f"they arrived: {dict(sandbox.applied('1'))}")

# %%
await mobiz.aclose()
await sandbox.__aexit__(None, None, None)
