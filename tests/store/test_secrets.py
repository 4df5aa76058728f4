"""Keys that outlive the process and each other."""

from __future__ import annotations

from session_platform.store import secrets
from tests.store.adapters import Reopen


async def test_the_newest_key_is_current_and_the_old_ones_stay(reopen: Reopen) -> None:
    store = await reopen()
    assert await store.read(lambda reader: secrets.keys(reader, "cursor")) == {}
    assert await store.run(lambda tx: secrets.rotate(tx, "cursor", b"old")) == 1
    assert await store.run(lambda tx: secrets.rotate(tx, "token", b"other")) == 1
    assert await store.run(lambda tx: secrets.rotate(tx, "cursor", b"new")) == 2
    await store.close()
    again = await reopen()
    keys = await again.read(lambda reader: secrets.keys(reader, "cursor"))
    assert keys == {1: b"old", 2: b"new"}
    assert keys[max(keys)] == b"new"
