"""What applications and networks do that nobody asked them to: waits given up, providers and callbacks that fail, nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

import digital_session as sdk
from digital_session._backoff import retry_after_s
from tests.sdk.fake_gateway import WALL, Rig, cloud_event
from tests.sdk.server import COVERAGE, MEMBER_TOKEN, REQUEST, SESSION, WITHIN_S, Inbox, Platform, answer, problem

TASK = {"task_id": "task_1", "member_id": "M1", "status": "ASSIGNED", "assignee_role": "MEMBER"}
CONTEXT = {"coverage": [], "tasks": [], "service_requests": [], "sessions": [], "cursor": "c1.2", "timelineseq": "2"}


# Waits that are given up.


async def test_a_subscription_whose_caller_gave_up_waiting_is_given_back() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        other = await client.subscribe(member_id="M1")
        seen = Inbox()
        other.on("*", seen)
        platform.gateway.hold_subscribes = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.subscribe(member_id="M1", events=["task.*"])
        platform.gateway.release()
        await platform.flush()
        await platform.until(lambda: len(platform.gateway.lines[0].live) == 1)
        await platform.publish("task.assigned", task_id="t1")
        await seen.next()
        # Nobody handles what the given-up one would have been sent: it must not hold acknowledgements back.
        await platform.until(lambda: platform.gateway.acknowledged == ["c1.1"])


async def test_listening_to_a_members_session_that_was_given_up_leaves_no_subscription() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        platform.rest.standing["GET /v1/members/M1/sessions/active"] = answer(200, SESSION)
        await client.subscribe(member_id="M1")
        platform.gateway.hold_subscribes = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.get_active_member_session("M1")
        platform.gateway.release()
        await platform.flush()
        await platform.until(lambda: len(platform.gateway.lines[0].live) == 1)


async def test_caught_up_returns_after_a_reconnect_also_when_nobody_listens_to_what_is_subscribed() -> None:
    async with Platform() as platform, platform.client(reconnect=sdk.Reconnect(base_s=0.2, jitter=lambda: 1.0)) as client:
        states = Inbox()
        await client.subscribe(member_id="M1")
        client.on("state", states)
        await platform.cut()
        assert await states.next() == "reconnecting"
        async with asyncio.timeout(WITHIN_S):
            await client.caught_up()
        assert client.state is sdk.State.CONNECTED


async def test_two_loops_over_one_subscription_share_its_events_and_none_comes_twice() -> None:
    release = asyncio.Event()

    async def slow(request: httpx2.Request) -> httpx2.Response:
        await release.wait()
        return platform.rest(request)

    async with Platform() as platform, platform.client(http_transport=httpx2.MockTransport(slow)) as client:
        timeline = await client.subscribe(member_id="M1")
        got: list[int] = []

        async def loop() -> None:
            async for envelope in timeline:
                assert envelope.key is not None
                got.append(envelope.key.seq)

        loops = [asyncio.create_task(loop()) for _ in range(2)]
        await platform.publish("coverage.updated", coverage_ref="/v1/coverages/cov_1")
        await platform.publish("coverage.updated", coverage_ref="/v1/coverages/cov_1")
        await asyncio.sleep(0.05)
        release.set()
        await asyncio.sleep(0.1)
        await timeline.unsubscribe()
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*loops)
        assert sorted(got) == [1, 2]


# The end of a client.


class Stalled(httpx2.AsyncBaseTransport):
    """A platform that takes requests and answers none."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.stalls = False
        self.asked = Inbox()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.stalls:
            self.asked(request)
            await asyncio.Event().wait()
        return self._platform.rest(request)


async def test_calls_that_wait_for_an_answer_are_told_when_the_client_is_closed() -> None:
    async with Platform() as platform:
        transport = Stalled(platform)
        platform.rest.standing["GET /v1/members/M1/tasks?status=active"] = answer(
            200, {"items": [TASK], "next_page_token": None}
        )
        async with platform.client(http_transport=transport) as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            (task,) = await session.get_active_tasks()
            request = await session.submit_service_request(service="RTE")
            transport.stalls = True
            calls: list[asyncio.Task[Any]] = [
                asyncio.create_task(call)
                for call in (
                    client.create_session(),
                    client.get_active_session(),
                    client.get_active_member_session("M1"),
                    session.get_member_context(),
                    session.get_active_tasks(),
                    session.submit_service_request(service="RTE"),
                    session.end(),
                    task.start(),
                    request.cancel(),
                    request.result(),
                )
            ]
            for _ in range(len(calls) - 1):
                await transport.asked.next()
            await client.close()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [sdk.ClientClosedError] * len(calls)


async def test_what_is_asked_of_a_closed_client_is_refused_by_name() -> None:
    async with Platform() as platform:
        platform.rest.standing["GET /v1/members/M1/tasks?status=active"] = answer(
            200, {"items": [TASK], "next_page_token": None}
        )
        async with platform.client() as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            (task,) = await session.get_active_tasks()
            request = await session.submit_service_request(service="RTE")
        for call in (session.end(), task.start(), task.complete(), request.cancel(), client.caught_up()):
            with pytest.raises(sdk.ClientClosedError):
                await call


async def test_a_session_left_after_its_client_was_closed_says_so_and_nothing_else() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        with pytest.raises(sdk.ClientClosedError):
            async with await client.create_session():
                await client.close()
        with pytest.raises(sdk.ClientClosedError):
            await client.create_session()


async def test_a_handler_added_to_a_request_after_the_client_was_closed_ends_quietly() -> None:
    async with Platform() as platform:
        async with platform.client() as client, asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            request = await session.submit_service_request(service="RTE")
            await platform.publish(
                "service_request.completed", outcome="SUCCESS", result_ref="/v1/service-requests/sr_1/result"
            )
            ended = Inbox()
            request.on("completed", ended)
            await ended.next()
        before = asyncio.all_tasks()
        request.on("completed", lambda result: None)
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == before


# Callbacks and providers that fail.


@pytest.mark.parametrize("given", [None, "", "with\nbreak", "ключ"], ids=["none", "empty", "break", "letters"])
async def test_a_provider_that_gives_no_usable_token_is_told_as_an_authentication_error(given: Any) -> None:
    async with Platform() as platform, platform.client(get_token=lambda: given) as client, asyncio.timeout(WITHIN_S):
        with pytest.raises(sdk.AuthenticationError):
            await client.create_session()
        with pytest.raises(sdk.AuthenticationError):
            await client.subscribe(member_id="M1")


async def test_a_provider_that_fails_for_a_moment_costs_no_event_its_field() -> None:
    failures = Inbox()

    def provide() -> str:
        if not platform.connections:
            return MEMBER_TOKEN
        if len(failures.got) < 4:
            failures(None)
            raise OSError("offline")
        return f"{MEMBER_TOKEN}2"

    def coverage(request: httpx2.Request) -> httpx2.Response:
        accepted = request.headers["authorization"].endswith("2")
        return answer(200, {"coverage": COVERAGE}) if accepted else problem(401, "unauthenticated")

    async with Platform() as platform, platform.client(get_token=provide) as client, asyncio.timeout(WITHIN_S):
        timeline = await client.subscribe(member_id="M1")
        seen = Inbox()
        timeline.on("coverage.updated", seen)
        platform.rest.standing["GET /v1/coverages/cov_1"] = coverage
        await platform.publish("coverage.updated", coverage_ref="/v1/coverages/cov_1")
        assert (await seen.next()).coverage.coverage_status == "ACTIVE"
        assert len(failures.got) == 4


async def test_a_question_about_use_that_fails_is_told_and_ends_nothing() -> None:
    def in_use() -> bool:
        raise LookupError("no window")

    async with Platform() as platform, platform.client(in_use=in_use) as client, asyncio.timeout(WITHIN_S):
        errors = Inbox()
        client.on("error", errors)
        await client.create_session()
        assert isinstance(await errors.next(), LookupError)
        await platform.until(lambda: any(frame["type"] == "heartbeat" for frame in platform.gateway.lines[0].frames))
        await client.subscribe(member_id="M1")
        assert client.state is sdk.State.CONNECTED


async def test_a_storage_that_fails_in_its_own_way_is_told_and_ends_nothing() -> None:
    class Broken:
        def load(self) -> Mapping[str, Any]:
            return {}

        def save(self, kept: Mapping[str, Any]) -> None:
            raise ValueError("full")

    async with Platform() as platform, platform.client(storage=Broken(), persist_submissions=True) as client:
        errors = Inbox()
        client.on("error", errors)
        async with asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            await session.submit_service_request(service="RTE")
            assert isinstance(await errors.next(), sdk.UnavailableError)


async def test_a_state_handler_that_is_cancelled_holds_no_other_notice_back() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        seen = Inbox()

        def canceled(_state: str) -> None:
            raise asyncio.CancelledError

        client.on("state", canceled)
        client.on("state", seen)
        await client.subscribe(member_id="M1")
        assert [await seen.next(), await seen.next()] == ["connecting", "connected"]


# Nonsense from the network.


@pytest.mark.parametrize(
    "nonsense",
    [{"type": None}, {"type": 5}, {"data": []}, {"data": "text"}, {"timelineseq": "x"}],
    ids=["no type", "number as type", "list as data", "text as data", "no number"],
)
async def test_an_event_that_makes_no_sense_costs_a_connection_and_no_event(nonsense: dict[str, Any]) -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        timeline = await client.subscribe(member_id="M1")
        seen, errors = Inbox(), Inbox()
        client.on("error", errors)
        timeline.on("*", seen)
        event = {**cloud_event("task.assigned", 1, {}), **nonsense}
        (server_id,) = platform.gateway.lines[0].live
        await platform.say({"type": "event", "subscription_ids": [server_id], "cursor": "c1.1", "event": event})
        assert isinstance(await errors.next(), sdk.ProtocolError)
        await platform.until(lambda: platform.connections == 2)
        await platform.publish("task.assigned", task_id="t1")
        assert (await seen.next()).task_id == "t1"


@pytest.mark.parametrize("header", ["²", "１０", "-1", "soon", "1e3", ""])
def test_a_retry_after_that_is_no_number_of_seconds_says_nothing(header: str) -> None:
    assert retry_after_s(header, WALL) is None


@pytest.mark.parametrize(
    "fault",
    [httpx2.DecodingError("garbled"), httpx2.TooManyRedirects("round"), OSError("pulled")],
    ids=["coding", "round", "os"],
)
async def test_a_submission_whose_answer_is_garbled_is_asked_for_again(fault: Exception) -> None:
    faults = iter([fault])

    def transport(request: httpx2.Request) -> httpx2.Response:
        if "service-requests" in request.url.path and (now := next(faults, None)) is not None:
            raise now
        return platform.rest(request)

    async with Platform() as platform, platform.client(http_transport=httpx2.MockTransport(transport)) as client:
        async with asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            assert (await session.submit_service_request(service="RTE")).id == "sr_1"


async def test_an_answer_without_what_it_must_have_is_a_protocol_error() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        bodies: list[object] = [{}, [], None, {"session_id": 5}]
        for body in bodies:
            platform.rest.standing["POST /v1/sessions"] = answer(200, body)
            with pytest.raises(sdk.ProtocolError):
                await client.create_session()


@pytest.mark.parametrize("body", [b'{"a": "\xa2"}', b"[" * 100_000, b"<html>"], ids=["letters", "depth", "page"])
@pytest.mark.parametrize("status", [200, 422])
async def test_a_body_that_nobody_can_read_is_a_typed_error(body: bytes, status: int) -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.create_session()
        for call in ("POST /v1/sessions/sess_1/service-requests", "GET /v1/members/M1/context"):
            platform.rest.standing[call] = httpx2.Response(status, content=body)
        with pytest.raises(sdk.ProtocolError if status == 200 else sdk.ValidationError):
            await session.get_member_context()
        with pytest.raises(sdk.ProtocolError if status == 200 else sdk.ValidationError):
            await session.submit_service_request(service="RTE")


async def test_a_transport_that_fails_in_its_own_way_leaves_no_submission_waiting() -> None:
    def transport(request: httpx2.Request) -> httpx2.Response:
        if "service-requests" in request.url.path:
            raise LookupError("a fault of its own")
        return platform.rest(request)

    async with Platform() as platform, platform.client(http_transport=httpx2.MockTransport(transport)) as client:
        async with asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            await client.subscribe(member_id="M1")
            with pytest.raises(sdk.DigitalSessionError) as raised:
                await session.submit_service_request(service="RTE")
            assert isinstance(raised.value.cause, LookupError)


async def test_no_redirect_takes_the_token_elsewhere() -> None:
    came: list[str] = []

    async def elsewhere(socket: ServerConnection) -> None:
        async for message in socket:
            came.append(str(message))

    async with serve(elsewhere, "127.0.0.1", 0, subprotocols=["digital-session.v1"]) as there:  # type: ignore[list-item]
        port = next(iter(there.sockets)).getsockname()[1]

        def send_on(socket: ServerConnection, _request: Request) -> Response:
            response = socket.respond(302, "")
            response.headers["Location"] = f"ws://127.0.0.1:{port}/v1"
            return response

        async with serve(elsewhere, "127.0.0.1", 0, process_request=send_on) as here:
            port_here = next(iter(here.sockets)).getsockname()[1]
            async with (
                sdk.DigitalSessionClient(f"ws://127.0.0.1:{port_here}/v1", token=MEMBER_TOKEN) as client,
                asyncio.timeout(WITHIN_S),
            ):
                with pytest.raises(sdk.ProtocolError, match="302"):
                    await client.subscribe(member_id="M1")
    assert not came


@pytest.mark.parametrize(
    "endpoint", ["ws://127.0.0.1:99999/v1", "ws://host:port/v1", "ws://a b/v1", "ws://[::1/v1", "ws://:80/v1"]
)
def test_an_endpoint_that_cannot_be_one_is_refused_at_once(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"wss://HOST/v1"):
        sdk.DigitalSessionClient(endpoint, token=MEMBER_TOKEN)


# What is shown.


def test_who_is_suspended_tries_slowly_whatever_the_back_off() -> None:
    rig = Rig(backoff="fixed")
    rig.subscribe()
    for _ in range(200):
        rig.cut(jitter=1.0)
        rig.now += rig.dials[-1].delay_s
        rig.carry_out(rig.core.tick(rig.now))
    assert rig.core.state == "suspended"
    assert rig.dials[-1].delay_s == 60.0


async def test_a_session_left_and_heard_again_still_shows_nothing_older_than_the_context() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        platform.rest.standing["GET /v1/members/M1/context"] = answer(200, CONTEXT)
        session = await client.create_session()
        block, seen = asyncio.Event(), Inbox()

        async def slow(_event: sdk.Record) -> None:
            await block.wait()

        session.on("task.*", slow)
        for number in (1, 2):
            await platform.publish("task.assigned", task_id=f"t{number}", assignee_role="MEMBER")
        await session.get_member_context()
        await session.leave()
        session.on("task.*", seen)
        await platform.publish("task.assigned", task_id="t3", assignee_role="MEMBER")
        assert (await seen.next()).task_id == "t3"
        assert len(seen.got) == 1


async def test_of_two_contexts_the_newer_decides_whichever_answer_comes_last() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.create_session()
        platform.gateway.hold_subscribes = True
        seen = Inbox()
        session.on("task.*", seen)
        for number in (2, 1):
            older = {**CONTEXT, "cursor": f"c1.{number}", "timelineseq": str(number)}
            platform.rest.queued["GET /v1/members/M1/context"].append(answer(200, older))
            await session.get_member_context()
        for number in (1, 2, 3):
            await platform.publish("task.assigned", task_id=f"t{number}", assignee_role="MEMBER")
        platform.gateway.release()
        await platform.flush()
        assert (await seen.next()).task_id == "t3"


async def test_progress_that_was_read_after_a_loss_never_falls_behind_what_was_heard_meanwhile() -> None:
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def transport(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            reading.set()
            await go_on.wait()
        return platform.rest(request)

    async with Platform() as platform, platform.client(http_transport=httpx2.MockTransport(transport)) as client:
        async with asyncio.timeout(WITHIN_S):
            session = await client.create_session()
            request = await session.submit_service_request(service="RTE")
            seen = Inbox()
            request.on("progress", seen)
            state = {**REQUEST, "status": "PROCESSING", "percent_complete": 40, "outcome": None, "tasks": []}
            platform.rest.standing["GET /v1/service-requests/sr_1"] = answer(200, state)
            await platform.until(lambda: bool(platform.gateway.lines and platform.gateway.lines[0].live))
            platform.gateway.lines[0].send_reset()
            await platform.flush()
            await reading.wait()
            await platform.publish("service_request.processing", percent_complete=60, stage="EXECUTING")
            assert (await seen.next()).percent_complete == 60
            go_on.set()
            await platform.publish("service_request.processing", percent_complete=80, stage="EXECUTING")
            assert (await seen.next()).percent_complete == 80
            assert [now.percent_complete for now in seen.got] == [60, 80]
