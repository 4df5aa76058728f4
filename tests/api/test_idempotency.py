"""A creating POST with an Idempotency-Key takes effect once, and every repetition gets the first answer."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_platform.api.reading import Body, understand
from tests.api.stage import APP, Stage, opened, pointers, problem

KEY = {"Idempotency-Key": "key-1"}


class Anything(Body):
    data: Any = None


async def test_a_repeated_session_is_the_same_session_with_the_same_bytes(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        first = await http.post("/v1/sessions", json={**APP, "metadata": {"a": "1", "b": "2"}}, headers=KEY)
        stage.clock.advance(24 * 3600 - 1)
        async with stage.http(stage.member()) as later:
            reordered = b' {"metadata":{"b":"2","a":"\\u0031"}, "channel":"MX_WEB",\n"type":"APP"}'
            headers = {**KEY, "Content-Type": "application/json"}
            again = await later.post("/v1/sessions", content=reordered, headers=headers)
            assert (first.status_code, again.status_code) == (201, 201)
            assert first.content == again.content
            assert "cursor" in again.json()
            problem(await later.post("/v1/sessions", json=APP, headers=KEY), 409, "idempotency_mismatch")
            stage.clock.advance(2)
            fresh = await later.post("/v1/sessions", json=APP, headers=KEY)
            assert fresh.status_code == 201
            assert fresh.json()["session_id"] != first.json()["session_id"]
    assert await stage.events() == ["session.created"] * 2


async def test_a_repeated_request_is_the_same_request(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        path = f"/v1/sessions/{(await opened(http))['session_id']}/service-requests"
        first = await http.post(path, json={"service": "RTE"}, headers=KEY)
        await stage.succeed(first.json())
        again = await http.post(path, json={"service": "RTE"}, headers=KEY)
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.content == again.content
        problem(await http.post(path, json={"service": "RTE", "reason": "x"}, headers=KEY), 409, "idempotency_mismatch")
    assert (await stage.events()).count("service_request.submitted") == 1


async def test_a_sub_with_tokens_for_two_members_is_not_answered_with_the_others_session(stage: Stage) -> None:
    one = stage.token("member", sub="shared", member_id="M123456", account_ids=["A789012"])
    two = stage.token("member", sub="shared", member_id="M200001", account_ids=["A200001"])
    async with stage.http(one) as http, stage.http(two) as other:
        assert (await http.post("/v1/sessions", json=APP, headers=KEY)).status_code == 201
        problem(await other.post("/v1/sessions", json=APP, headers=KEY), 409, "idempotency_mismatch")


async def test_a_key_belongs_to_one_subject_method_and_path(stage: Stage) -> None:
    async with stage.http(stage.member()) as http, stage.http(stage.member("M200001", "A200001")) as other:
        one = await http.post("/v1/sessions", json=APP, headers=KEY)
        two = await other.post("/v1/sessions", json={**APP, "intent": "x"}, headers=KEY)
        three = await http.post(
            f"/v1/sessions/{one.json()['session_id']}/service-requests", json={"service": "RTE"}, headers=KEY
        )
    assert [one.status_code, two.status_code, three.status_code] == [201, 201, 202]
    assert one.json()["session_id"] != two.json()["session_id"]


async def test_a_refused_request_leaves_its_key_free(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        path = f"/v1/sessions/{session['session_id']}/service-requests"
        assert pointers(await http.post(path, json={"service": "NONE"}, headers=KEY)) == {"/service"}
        assert (await http.post(path, json={"service": "RTE"}, headers=KEY)).status_code == 202


async def test_a_foreign_session_is_missing_whatever_was_answered_to_its_owner(stage: Stage) -> None:
    shared = stage.token("member", sub="s", member_id="M123456", account_ids=("A789012",))
    other = stage.token("member", sub="s", member_id="M200001", account_ids=("A200001",))
    async with stage.http(shared) as http, stage.http(other) as stranger:
        path = f"/v1/sessions/{(await opened(http))['session_id']}/service-requests"
        assert (await http.post(path, json={"service": "RTE"}, headers=KEY)).status_code == 202
        problem(await stranger.post(path, json={"service": "RTE"}, headers=KEY), 404, "forbidden_or_missing")


async def test_while_the_first_still_runs_the_second_is_told_to_come_back(stage: Stage) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        read = stage.store.read

        async def run(self, *command: Any, **options: Any) -> Any:
            entered.set()
            await go_on.wait()
            return await stage.store.run(*command, **options)

    slow = stage.with_parts(store=Slow())
    async with slow.http(slow.member()) as http:
        first = asyncio.create_task(http.post("/v1/sessions", json=APP, headers=KEY))
        await entered.wait()
        async with asyncio.timeout(5):
            running = await http.post("/v1/sessions", json=APP, headers=KEY)
        problem(running, 409, "conflict")
        assert int(running.headers["retry-after"]) >= 1
        go_on.set()
        answered = await first
        assert (await http.post("/v1/sessions", json=APP, headers=KEY)).content == answered.content
    assert await stage.events() == ["session.created"]


async def test_many_at_once_take_effect_once(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        answers = await asyncio.gather(*(http.post("/v1/sessions", json=APP, headers=KEY) for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert await stage.events() == ["session.created"]


@pytest.mark.parametrize("key", [b"", b" ", b"a b", b"x" * 256, b"\xc3\xa9", b"a\tb"])
async def test_a_key_that_is_none_is_refused(stage: Stage, key: bytes) -> None:
    async with stage.http(stage.member()) as http:
        answer = await http.post("/v1/sessions", json=APP, headers=[(b"Idempotency-Key", key)])
        assert pointers(answer) == {"/header/Idempotency-Key"}
        twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
        assert pointers(await http.post("/v1/sessions", json=APP, headers=twice)) == {"/header/Idempotency-Key"}
        longest = await http.post("/v1/sessions", json=APP, headers={"Idempotency-Key": "x" * 255})
        assert longest.status_code == 201


SALTS = itertools.count()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def shuffled(value: Any) -> Any:
    """The same JSON with its names in another order and whole numbers spelt as fractions where that loses nothing."""
    if isinstance(value, dict):
        return {name: shuffled(each) for name, each in reversed(value.items())}
    if isinstance(value, list):
        return [shuffled(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


@given(JSON)
def test_equal_json_has_one_digest_however_it_is_spelt(value: Any) -> None:
    plain = understand(Anything, json.dumps({"data": value}).encode()).digest
    spelt = json.dumps({"data": shuffled(value)}, indent=3, ensure_ascii=False)
    assert understand(Anything, spelt.encode()).digest == plain


@given(JSON, JSON)
def test_unequal_json_has_unequal_digests(one: Any, other: Any) -> None:
    digests = [understand(Anything, json.dumps({"data": each}).encode()).digest for each in (one, other)]
    if digests[0] == digests[1]:
        assert one == other


@pytest.mark.parametrize(
    ("one", "other"), [("1", "true"), ("0", "false"), ("0", "null"), ('"1"', "1"), ("[]", "{}"), ("1", "1.5")]
)
def test_what_only_looks_alike_is_not_equal(one: str, other: str) -> None:
    digests = [understand(Anything, f'{{"data": {each}}}'.encode()).digest for each in (one, other)]
    assert digests[0] != digests[1]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    posts=st.lists(
        st.tuples(st.sampled_from(["k1", "k2"]), st.sampled_from(["a", "b", "UNACCEPTABLE"])), min_size=1, max_size=8
    )
)
async def test_any_sequence_of_posts_has_the_effects_of_the_first_acceptable_one_of_each_key(
    stage: Stage, posts: list[tuple[str, str]]
) -> None:
    before, salt = len(await stage.events()), next(SALTS)
    first: dict[str, tuple[str, bytes]] = {}
    async with stage.http(stage.member()) as http:
        for key, intent in posts:
            body = {**APP, "intent": intent} if intent != "UNACCEPTABLE" else {**APP, "type": intent}
            answer = await http.post("/v1/sessions", json=body, headers={"Idempotency-Key": f"{salt}-{key}"})
            if intent == "UNACCEPTABLE":
                assert answer.status_code == 422
            elif key not in first or first[key][0] == intent:
                assert answer.status_code == 201
                assert answer.content == first.setdefault(key, (intent, answer.content))[1]
            else:
                problem(answer, 409, "idempotency_mismatch")
    assert len(await stage.events()) - before == len(first)
