"""One effect a key, and its answer again for whoever repeats the request."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.clock import ManualClock
from session_platform.errors import Conflict, IdempotencyMismatch, StillRunning
from session_platform.store import Store, Tx, idempotency
from session_platform.store.idempotency import KEPT_FOR, Kept
from tests.store.adapters import Adapter
from tests.store.samples import effect, effects, make_effects

SCOPE = "M1 POST /v1/sessions"
A_DAY_S = KEPT_FOR.total_seconds()


def digest(body: str) -> bytes:
    return hashlib.sha256(body.encode()).digest()


def request(key: str, body: str, *, refused: bool = False) -> Callable[[Tx], Kept]:
    """What an endpoint does: answer again, or take effect and keep the answer."""

    def command(tx: Tx) -> Kept:
        kept = idempotency.recall(tx, SCOPE, key, digest(body))
        if kept is not None:
            return kept
        (number,) = effect(f"{key} {body}", "M1")(tx)
        if refused:
            raise Conflict
        answer = Kept(201, f"session {number}".encode())
        idempotency.keep(tx, SCOPE, key, digest(body), *answer)
        return answer

    return command


async def ask(store: Store, key: str, body: str, *, refused: bool = False) -> Kept:
    return await store.run(request(key, body, refused=refused), "M1")


async def test_a_repeated_request_gets_the_first_answer_and_takes_no_effect(store: Store) -> None:
    await store.run(make_effects)
    first = await ask(store, "key", "body")
    assert await ask(store, "key", "body") == first == Kept(201, b"session 1")
    assert await store.read(effects) == {"key body": 1}


async def test_another_body_under_the_same_key_is_refused(store: Store) -> None:
    await store.run(make_effects)
    await ask(store, "key", "body")
    with pytest.raises(IdempotencyMismatch):
        await ask(store, "key", "another body")
    assert await store.read(effects) == {"key body": 1}


async def test_keys_are_apart_by_scope(store: Store) -> None:
    await store.run(lambda tx: idempotency.keep(tx, "one", "key", b"digest", 200, b"{}"))
    assert await store.run(lambda tx: idempotency.recall(tx, "another", "key", b"digest")) is None


async def test_a_request_that_failed_keeps_nothing(store: Store) -> None:
    await store.run(make_effects)
    with pytest.raises(Conflict):
        await ask(store, "key", "body", refused=True)
    assert await ask(store, "key", "body") == Kept(201, b"session 1")
    assert await store.read(effects) == {"key body": 1}


async def test_an_answer_is_kept_for_a_day_and_then_the_key_is_new(store: Store, clock: ManualClock) -> None:
    await store.run(make_effects)
    await ask(store, "key", "body")
    clock.advance(A_DAY_S - 1)
    assert await ask(store, "key", "body") == Kept(201, b"session 1")
    clock.advance(1)
    assert await ask(store, "key", "another body") == Kept(201, b"session 2")
    assert await ask(store, "key", "another body") == Kept(201, b"session 2")
    with pytest.raises(IdempotencyMismatch):
        await ask(store, "key", "body")


async def test_a_key_that_was_kept_meanwhile_is_not_overwritten(store: Store) -> None:
    await store.run(lambda tx: idempotency.keep(tx, SCOPE, "key", b"digest", 201, b"first"))
    with pytest.raises(StillRunning):
        await store.run(lambda tx: idempotency.keep(tx, SCOPE, "key", b"digest", 201, b"second"))
    assert await store.run(lambda tx: idempotency.recall(tx, SCOPE, "key", b"digest")) == Kept(201, b"first")


async def test_old_answers_are_forgotten_oldest_first_and_a_few_at_a_time(store: Store, clock: ManualClock) -> None:
    for key in ("c", "a", "b"):
        await store.run(lambda tx, key=key: idempotency.keep(tx, SCOPE, key, b"digest", 200, b"{}"))  # type: ignore[misc]
        clock.advance(60)
    before = clock.now() - timedelta(seconds=60)
    assert await store.run(lambda tx: idempotency.forget(tx, before, limit=1)) == 1
    assert await store.read(lambda reader: reader.all("SELECT key FROM idempotency ORDER BY key")) == [("a",), ("b",)]
    assert await store.run(lambda tx: idempotency.forget(tx, before)) == 1
    assert await store.run(lambda tx: idempotency.forget(tx, before)) == 0
    assert await store.read(lambda reader: reader.all("SELECT key FROM idempotency")) == [("b",)]


requests = st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y"]), st.booleans())


@settings(max_examples=25, deadline=None)
@given(asked=st.lists(requests, max_size=30))
def test_however_often_and_at_once_a_key_comes_it_takes_effect_once(
    adapter: Adapter, asked: list[tuple[str, str, bool]]
) -> None:
    async def scenario() -> None:
        async with adapter.home(ManualClock()) as reopen:
            store = await reopen()
            await store.run(make_effects)
            answers = await asyncio.gather(
                *(ask(store, key, body, refused=refused) for key, body, refused in asked), return_exceptions=True
            )
            taken = await store.read(effects)
            for key in "abc":
                of_key = [
                    (body, answer) for (asked_key, body, _), answer in zip(asked, answers, strict=True) if asked_key == key
                ]
                told = {(body, answer) for body, answer in of_key if isinstance(answer, Kept)}
                assert len(told) <= 1, "one answer a key"
                assert sum(count for name, count in taken.items() if name.startswith(key)) == len(told)
                for body, answer in of_key:
                    assert isinstance(answer, Kept | Conflict | IdempotencyMismatch)
                    if isinstance(answer, IdempotencyMismatch):
                        assert body != next(iter(told))[0]

    asyncio.run(scenario())
