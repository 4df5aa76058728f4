"""Submitting without a connection: it waits its turn, resolves later, and happens once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import digital_session as sdk
from digital_session._rest import Passing
from digital_session._submissions import Submissions
from digital_session._tasks import Tasks
from digital_session._tokens import Tokens
from tests.sdk.server import MEMBER_TOKEN, REQUEST, WITHIN_S, Inbox, Platform, answer, problem, token

SUBMIT = "POST /v1/sessions/sess_1/service-requests"


class Door:
    """The way to the platform's REST half, which can be shut; ``keys`` are those of submissions that arrived."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.shut = False
        self.loses_answers = 0
        self.tried = Inbox()
        self.accepted: dict[str, Any] = {}

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if "service-requests" not in request.url.path:
            return self._platform.rest(request)
        self.tried(request.headers["idempotency-key"])
        if self.shut:
            raise httpx2.ConnectError("no way out")
        found = self._platform.rest(request)
        if found.is_success:
            self.accepted.setdefault(request.headers["idempotency-key"], json.loads(request.content))
        if self.loses_answers:
            self.loses_answers -= 1
            raise httpx2.ReadError("the answer was lost")
        return found

    def client(self, **options: Any) -> sdk.DigitalSessionClient:
        settings: dict[str, Any] = {
            "token": MEMBER_TOKEN,
            "reconnect": sdk.Reconnect(jitter=lambda: 0.0),
            "http_transport": httpx2.MockTransport(self),
        }
        if "get_token" in options:
            del settings["token"]
        return sdk.DigitalSessionClient(self._platform.endpoint, **{**settings, **options})

    @property
    def services(self) -> list[str]:
        return [body["service"] for body in self.accepted.values()]


async def test_what_is_submitted_without_a_connection_is_accepted_later_in_order_and_once() -> None:
    async with Platform() as platform:
        door = Door(platform)
        async with door.client() as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            door.shut = True
            waiting = [
                asyncio.create_task(session.submit_service_request(service=name, subject="A1")) for name in ("a", "b", "c")
            ]
            for _ in range(5):
                await door.tried.next()
            assert not any(each.done() for each in waiting)
            assert len(set(door.tried.got)) == 1, "the first holds the others back"
            door.shut = False
            requests = await asyncio.gather(*waiting)
        assert door.services == ["a", "b", "c"]
        assert [request.id for request in requests] == ["sr_1"] * 3


async def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_key() -> None:
    async with Platform() as platform:
        door = Door(platform)
        async with door.client() as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            door.loses_answers = 20
            request = await session.submit_service_request(service="RTE")
        assert request.id == "sr_1"
        assert len(door.tried.got) == 21
        assert len(door.accepted) == 1


async def test_a_fault_after_a_lost_answer_is_not_told_because_it_may_have_been_accepted() -> None:
    async with Platform() as platform:
        door = Door(platform)
        platform.rest.queued[SUBMIT].extend([answer(202, REQUEST), *[problem(500, "unavailable")] * 20])
        async with door.client() as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            door.loses_answers = 1
            await session.submit_service_request(service="RTE")
        assert len(set(door.tried.got)) == 1
        assert len(door.tried.got) == 22


async def test_a_fault_that_lasts_is_told_and_a_refusal_at_once() -> None:
    async with Platform() as platform:
        door = Door(platform)
        async with door.client() as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            platform.rest.queued[SUBMIT].extend([problem(503, "unavailable")] * 6)
            with pytest.raises(sdk.UnavailableError):
                await session.submit_service_request(service="RTE")
            platform.rest.queued[SUBMIT].append(problem(409, "conflict"))
            with pytest.raises(sdk.ConflictError):
                await session.submit_service_request(service="RTE")
            assert len(door.tried.got) == 7
            await session.submit_service_request(service="RTE")


async def test_without_a_network_nothing_is_tried_and_with_it_everything_at_once() -> None:
    async with Platform() as platform:
        door = Door(platform)
        async with door.client() as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            client.online = False
            waiting = asyncio.create_task(session.submit_service_request(service="RTE"))
            for _ in range(20):
                await asyncio.sleep(0)
            assert door.tried.got == []
            client.online = True
            await waiting
        assert door.services == ["RTE"]


async def test_who_stops_waiting_takes_it_back() -> None:
    async with Platform() as platform:
        door = Door(platform)
        async with door.client() as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            client.online = False
            given_up = asyncio.create_task(session.submit_service_request(service="given up"))
            kept = asyncio.create_task(session.submit_service_request(service="kept"))
            for _ in range(20):
                await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.wait([given_up])
            client.online = True
            await kept
        assert door.services == ["kept"]


async def test_what_one_subject_submitted_never_goes_out_under_another() -> None:
    tokens = iter([token(sub="M1", member_id="M1"), token(sub="M2", member_id="M2")])
    async with Platform() as platform:
        door = Door(platform)
        async with door.client(get_token=lambda: next(tokens)) as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            platform.rest.queued[SUBMIT].append(problem(401, "unauthenticated"))
            with pytest.raises(sdk.ForbiddenError) as caught:
                await session.submit_service_request(service="RTE")
        assert caught.value.code == "subject_changed"
        assert door.accepted == {}


async def test_more_than_can_wait_is_refused_at_once() -> None:
    async with Platform() as platform:
        door = Door(platform)
        async with door.client() as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            client.online = False
            waiting = [asyncio.create_task(session.submit_service_request(service="RTE")) for _ in range(101)]
            done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            (refused,) = done
            with pytest.raises(sdk.UnavailableError, match="Too many"):
                refused.result()
            assert len(pending) == 100
            await client.close()
            ends = await asyncio.gather(*pending, return_exceptions=True)
            assert {type(end) for end in ends} == {sdk.ClientClosedError}


async def test_what_is_no_json_is_refused_before_it_waits() -> None:
    async with Platform() as platform:
        door = Door(platform)
        async with door.client() as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            with pytest.raises(TypeError):
                await session.submit_service_request(service="RTE", data={"when": object()})
            await session.submit_service_request(service="RTE")


# Kept for the next run.


async def test_what_was_to_be_kept_goes_out_in_the_next_run_under_its_key(tmp_path: Path) -> None:
    kept: dict[str, Any] = {"storage": sdk.FileStorage(tmp_path / "kept.json"), "persist_submissions": True}
    async with Platform() as platform:
        door = Door(platform)
        async with door.client(**kept) as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            door.shut = True
            waiting = asyncio.create_task(session.submit_service_request(service="RTE"))
            key = await door.tried.next()
            await client.close()
            with pytest.raises(sdk.ClientClosedError):
                await waiting
        door.shut = False
        async with door.client(**kept) as client, asyncio.timeout(WITHIN_S):
            await client.subscribe(member_id="M1")
            while not door.accepted:
                await door.tried.next()
        assert list(door.accepted) == [key]
        async with door.client(**kept) as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            await session.submit_service_request(service="another")
        assert door.services == ["RTE", "another"]


async def test_what_was_kept_is_gone_under_another_subject(tmp_path: Path) -> None:
    kept: dict[str, Any] = {"storage": sdk.FileStorage(tmp_path / "kept.json"), "persist_submissions": True}
    async with Platform() as platform:
        door = Door(platform)
        async with door.client(**kept) as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            client.online = False
            waiting = asyncio.create_task(session.submit_service_request(service="RTE"))
            for _ in range(50):
                await asyncio.sleep(0)
            await client.close()
            await asyncio.wait([waiting])
        async with door.client(**kept, token=token(sub="M2", member_id="M2")) as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            await session.submit_service_request(service="mine")
        assert door.services == ["mine"]
        assert "RTE" not in (tmp_path / "kept.json").read_text()


async def test_without_being_asked_nothing_submitted_is_written_anywhere(tmp_path: Path) -> None:
    async with Platform() as platform:
        door = Door(platform)
        async with door.client(storage=sdk.FileStorage(tmp_path / "kept.json")) as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            client.online = False
            waiting = asyncio.create_task(session.submit_service_request(service="RTE", data={"secret": 1}))
            for _ in range(20):
                await asyncio.sleep(0)
            await client.close()
            await asyncio.wait([waiting])
        assert "secret" not in (tmp_path / "kept.json").read_text()


# Whatever happens on the way.


class Rough:
    """A way to the platform on which every try ends as the script says; ``accepted`` are services by key, in order."""

    def __init__(self, script: list[str]) -> None:
        self._script = script
        self.accepted: dict[str, str] = {}
        self.refused: list[str] = []

    async def post_once(self, path: str, body: Any, key: str, subject: str) -> Any:
        await asyncio.sleep(0)
        match self._script.pop(0) if self._script else "accepted":
            case "unreachable":
                raise Passing(sdk.UnavailableError("no way"), answered=False)
            case "lost":
                self.accepted.setdefault(key, body["service"])
                raise Passing(sdk.UnavailableError("no answer"), answered=False)
            case "busy":
                raise Passing(sdk.RateLimitedError("later"))
            case "refused" if key not in self.accepted:
                self.refused.append(body["service"])
                raise sdk.ConflictError("no")
            case _:
                self.accepted.setdefault(key, body["service"])
                return sdk.Record({"service": body["service"]})

    def while_open(self) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    def pause_s(self, step: int, after_s: float) -> float:
        return 0.0


@given(
    st.lists(st.sampled_from(["accepted", "unreachable", "lost", "busy", "busy", "busy", "refused"]), max_size=40),
    st.integers(1, 6),
)
@settings(max_examples=200, deadline=None)
def test_whatever_happens_on_the_way_each_is_accepted_once_in_order_and_its_caller_told_so(
    script: list[str], count: int
) -> None:
    rough = Rough(list(script))

    async def play() -> list[Any]:
        tokens, tasks = Tokens(MEMBER_TOKEN, None), Tasks()
        submissions = Submissions(rough, tokens, tasks, None, lambda error: None)  # type: ignore[arg-type]
        submits = [submissions.submit("sess_1", {"service": str(number)}) for number in range(count)]
        async with asyncio.timeout(WITHIN_S):
            ends = await asyncio.gather(*submits, return_exceptions=True)
        await tasks.cancel()
        return ends

    ends = asyncio.run(play())
    told = [str(number) for number, end in enumerate(ends) if not isinstance(end, BaseException)]
    assert list(rough.accepted.values()) == told
    assert all(isinstance(end, sdk.ConflictError | sdk.RateLimitedError | sdk.Record) for end in ends)
