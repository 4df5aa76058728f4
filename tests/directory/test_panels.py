"""Panels: what an administrator said stands over the seed, and a seed applied once more changes nothing of it."""

from __future__ import annotations

from functools import partial

import pytest

from session_platform.directory import DEMO_SEED, apply_seed, load_seed, on_panel, put_on_panel, take_off_panel
from session_platform.errors import ForbiddenOrMissing
from session_platform.store.sqlite import SqliteStore


@pytest.fixture
async def demo(store: SqliteStore) -> SqliteStore:
    await seeded(store)
    return store


async def seeded(store: SqliteStore) -> None:
    seed = load_seed(DEMO_SEED)
    await store.run(lambda tx: apply_seed(tx, seed))


async def holds(store: SqliteStore, staff_id: str, member_id: str) -> bool:
    return await store.read(partial(on_panel, staff_id=staff_id, member_id=member_id))


async def test_one_member_leaves_a_panel_of_everybody_and_no_seed_brings_them_back(demo: SqliteStore) -> None:
    assert await demo.run(lambda tx: take_off_panel(tx, "C001", "M123456"))
    await seeded(demo)
    assert not await holds(demo, "C001", "M123456")
    assert await holds(demo, "C001", "M200001")
    assert await demo.run(lambda tx: put_on_panel(tx, "C001", "M123456"))
    assert await holds(demo, "C001", "M123456")


async def test_a_change_that_is_none_says_so_and_is_remembered_all_the_same(demo: SqliteStore) -> None:
    assert not await demo.run(lambda tx: put_on_panel(tx, "C001", "M123456"))
    assert not await demo.run(lambda tx: take_off_panel(tx, "C002", "M123456"))
    await demo.run(lambda tx: tx.execute("INSERT INTO panel (staff_id, member_id) VALUES ('C002', '*')"))
    assert not await holds(demo, "C002", "M123456")
    assert await holds(demo, "C002", "M200001")


async def test_a_member_by_pattern_is_put_on_a_panel_like_any_other(demo: SqliteStore) -> None:
    assert await demo.run(lambda tx: put_on_panel(tx, "C002", "M42"))
    assert await holds(demo, "C002", "M42")
    assert not await holds(demo, "C003", "M42")


@pytest.mark.parametrize(
    ("staff_id", "member_id"),
    [("C999", "M123456"), ("C001", "nobody"), ("C001", "*"), ("", "")],
    ids=["staff", "member", "all", "none"],
)
async def test_who_does_not_exist_is_on_no_panel(demo: SqliteStore, staff_id: str, member_id: str) -> None:
    for change in (put_on_panel, take_off_panel):
        with pytest.raises(ForbiddenOrMissing):
            await demo.run(partial(change, staff_id=staff_id, member_id=member_id))
    assert await demo.read(lambda reader: reader.all("SELECT * FROM panel_override")) == []
