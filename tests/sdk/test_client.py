"""The client over a real socket: sessions, subscriptions, hydration, reconnecting, and ends that leave nobody waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from websockets.asyncio.server import ServerConnection, serve

import digital_session as sdk
from digital_session._engine import address
from tests.sdk.server import COVERAGE, MEMBER_TOKEN, SESSION, WITHIN_S, Inbox, Platform, answer, problem, token


def own(**data: Any) -> dict[str, Any]:
    return {"session_id": "sess_1", **data}


# Sessions.


async def test_a_session_hears_its_own_events_and_the_members_tasks_and_coverage_each_once() -> None:
    async with Platform() as platform, platform.client() as client:
        session = await client.create_session(intent="check_coverage")
        everything, tasks = Inbox(), Inbox()
        session.on("*", everything)
        session.on("task.*", tasks)
        await platform.publish("session.created", **own())
        await platform.publish("task.assigned", **own(task_id="t1", assignee_role="SYSTEM"))
        await platform.publish("service_request.processing", session_id="sess_other", percent_complete=5)
        await platform.publish("task.assigned", session_id="sess_other", task_id="t2", assignee_role="MEMBER")
        await platform.publish("task.assigned", session_id="sess_other", task_id="t3", assignee_role="CLINICIAN")
        await platform.publish("coverage.updated", account_id="A1")
        await platform.publish("session.ended", **own())
        for _ in range(5):
            await everything.next()
        assert [event.get("task_id") or event.get("account_id") for event in everything.got] == [None, "t1", "t2", "A1", None]
        assert [task.task_id for task in tasks.got] == ["t2"]


async def test_the_first_handler_hears_a_session_from_its_beginning_however_late_it_comes() -> None:
    async with Platform() as platform, platform.client() as client:
        session = await client.create_session()
        await platform.publish("session.created", **own())
        created = Inbox()
        session.on("session.created", created)
        assert (await created.next()).session_id == "sess_1"


async def test_what_a_session_is_made_of_reaches_the_platform() -> None:
    async with (
        Platform() as platform,
        platform.client(device_id="phone 1", session=sdk.SessionDefaults(intent="browse")) as client,
    ):
        await client.create_session(sdk.SessionType.CHAT, metadata={"screen": "coverage"})
        sent = platform.rest.requests[0]
        assert sent.headers["authorization"] == f"Bearer {MEMBER_TOKEN}"
        assert sent.read() == (
            b'{"type":"CHAT","channel":"MX_WEB","intent":"browse","metadata":{"screen":"coverage"},"device_id":"phone 1"}'
        )


async def test_the_active_session_of_this_device_is_taken_up_or_made() -> None:
    async with Platform() as platform, platform.client(device_id="phone 1") as client:
        made = await client.get_active_session()
        assert made.id == "sess_1"
        platform.rest.standing["GET /v1/sessions/active?device_id=phone%201"] = answer(200, {**SESSION, "session_id": "sess_7"})
        await platform.publish("session.created", session_id="sess_7")
        found = await client.get_active_session()
        heard = Inbox()
        found.on("session.created", heard)
        assert found.id == "sess_7"
        assert (await heard.next()).session_id == "sess_7"


async def test_staff_without_a_session_are_told_so() -> None:
    async with Platform() as platform, platform.client(token=token(sub="C001", staff_id="C001")) as client:
        with pytest.raises(sdk.NoActiveSessionError):
            await client.get_active_session()


async def test_ending_a_session_says_why() -> None:
    async with Platform() as platform, platform.client() as client:
        session = await client.create_session()
        platform.rest.standing["POST /v1/sessions/sess_1/end"] = answer(200, {**SESSION, "state": "ENDED"})
        ended = await session.end(outcome=sdk.SessionOutcome.PARTIAL)
        assert ended.state == "ENDED"
        assert platform.rest.requests[-1].read() == b'{"reason":"USER_CLOSED","outcome":"PARTIAL"}'


# Subscriptions and handlers.


async def test_async_for_gives_each_event_and_acknowledges_it_when_the_next_is_asked_for() -> None:
    async with Platform() as platform, platform.client() as client:
        await platform.publish("task.assigned", task_id="t1")
        await platform.publish("task.completed", task_id="t1")
        seen = []
        async with asyncio.timeout(WITHIN_S):
            async with await client.subscribe(member_id="M1", events=["task.*"], since="beginning") as timeline:
                async for envelope in timeline:
                    seen.append((envelope.name, envelope.data.task_id, envelope.cursor))
                    if len(seen) == 2:
                        assert timeline.cursor == "c1.1"
                        break
        assert seen == [("task.assigned", "t1", "c1.1"), ("task.completed", "t1", "c1.2")]
        await platform.until(lambda: platform.gateway.acknowledged == ["c1.1"])


async def test_a_wait_for_the_next_event_that_is_given_up_loses_nothing() -> None:
    async with Platform() as platform, platform.client() as client:
        timeline = await client.subscribe(member_id="M1")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(aiter(timeline))
        await platform.publish("task.assigned", task_id="t1")
        async with asyncio.timeout(WITHIN_S):
            assert (await anext(aiter(timeline))).data.task_id == "t1"


async def test_a_handler_may_take_nothing_the_event_or_the_envelope_too_and_may_be_typed() -> None:
    async with Platform() as platform, platform.client() as client:
        timeline = await client.subscribe(member_id="M1")
        got: list[Any] = []
        done = Inbox()

        async def both(event: sdk.Record, envelope: sdk.Envelope) -> None:
            got.append((event["task_id"], envelope.timelineseq))

        def typed(event: sdk.TaskAssignedEvent) -> None:
            got.append(type(event).__name__)

        timeline.on("task.assigned", lambda: got.append("called"))
        timeline.on("task.*", both)
        timeline.on(sdk.TaskAssignedEvent, typed)
        timeline.on("task.assigned", lambda event, kept="default": got.append(kept))
        timeline.on("*", done)
        await platform.publish("task.assigned", task_id="t1")
        await done.next()
        assert got == ["called", ("t1", "00000000000000000001"), "TaskAssignedEvent", "default"]


async def test_a_handler_that_was_taken_back_is_called_no_more() -> None:
    async with Platform() as platform, platform.client() as client:
        timeline = await client.subscribe(member_id="M1")
        first, second = Inbox(), Inbox()
        remove = timeline.on("*", first)
        timeline.on("*", second)
        await platform.publish("task.assigned")
        await second.next()
        remove()
        remove()
        await platform.publish("task.assigned")
        await second.next()
        assert len(first.got) == 1


async def test_an_exception_in_a_handler_reaches_the_error_handler_and_stops_nothing() -> None:
    async with Platform() as platform, platform.client() as client:
        errors, others = Inbox(), Inbox()
        client.on("error", errors)
        timeline = await client.subscribe(member_id="M1")

        def broken(event: sdk.Record) -> None:
            raise KeyError("mine")

        timeline.on("*", broken)
        timeline.on("*", others)
        await platform.publish("task.assigned", task_id="t1")
        assert isinstance(await errors.next(), KeyError)
        assert (await others.next()).task_id == "t1"
        await platform.until(lambda: platform.gateway.acknowledged == ["c1.1"])


async def test_an_unheard_error_is_logged_by_its_type_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with Platform() as platform, platform.client() as client:
        timeline = await client.subscribe(member_id="M1")
        done = Inbox()

        def broken(event: sdk.Record) -> None:
            raise ValueError("something about a person's health")

        timeline.on("*", broken)
        timeline.on("*", done)
        await platform.publish("task.assigned")
        await done.next()
        assert "ValueError" in caplog.text
        assert "health" not in caplog.text


async def test_a_slow_handler_holds_back_its_own_subscription_alone_and_the_acknowledgement() -> None:
    async with Platform() as platform, platform.client() as client:
        gate = asyncio.Event()
        slow, quick = Inbox(), Inbox()

        async def slowly(event: sdk.Record) -> None:
            await gate.wait()
            slow(event)

        (await client.subscribe(member_id="M1")).on("*", slowly)
        (await client.subscribe(member_id="M1")).on("*", quick)
        for number in range(3):
            await platform.publish("task.assigned", task_id=f"t{number}")
            await quick.next()
        assert slow.got == []
        assert platform.gateway.acknowledged == []
        gate.set()
        assert [(await slow.next()).task_id for _ in range(3)] == ["t0", "t1", "t2"]
        await platform.until(lambda: "c1.3" in platform.gateway.acknowledged)


@pytest.mark.parametrize("selection", [{}, {"member_id": "M1", "session_id": "s"}, {"member_id": "M1", "type": "session"}])
async def test_a_subscription_is_to_exactly_one_thing(selection: dict[str, Any]) -> None:
    async with Platform() as platform, platform.client() as client:
        with pytest.raises(ValueError, match="exactly one"):
            await client.subscribe(**selection)


async def test_handlers_and_async_for_do_not_share_a_subscription() -> None:
    async with Platform() as platform, platform.client() as client:
        timeline = await client.subscribe(member_id="M1")
        timeline.on("*", lambda: None)
        with pytest.raises(RuntimeError):
            aiter(timeline)


async def test_caught_up_waits_until_the_replay_was_handled() -> None:
    async with Platform() as platform, platform.client() as client:
        for number in range(5):
            await platform.publish("task.assigned", task_id=f"t{number}")
        timeline = await client.subscribe(member_id="M1", since="beginning")
        seen = Inbox()
        timeline.on("*", seen)
        async with asyncio.timeout(WITHIN_S):
            await client.caught_up()
        assert len(seen.got) == 5
        async with asyncio.timeout(WITHIN_S):
            await client.caught_up()


async def test_after_a_cut_caught_up_waits_for_the_new_replay() -> None:
    async with Platform() as platform, platform.client() as client:
        timeline = await client.subscribe(member_id="M1")
        seen = Inbox()
        timeline.on("*", seen)
        async with asyncio.timeout(WITHIN_S):
            await client.caught_up()
        platform.gateway.hold_subscribes = True
        await platform.cut()
        await platform.publish("task.assigned", task_id="t1")
        await platform.until(lambda: any(line.held for line in platform.gateway.lines))
        waiting = asyncio.create_task(client.caught_up())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        platform.gateway.release()
        await platform.flush()
        async with asyncio.timeout(WITHIN_S):
            await waiting
        assert [event.task_id for event in seen.got] == ["t1"]


# Hydration.


async def test_a_reference_is_followed_before_the_handler_is_called_and_only_for_handled_events() -> None:
    async with Platform() as platform, platform.client() as client:
        timeline = await client.subscribe(member_id="M1")
        updated = Inbox()
        timeline.on("coverage.updated", updated)
        await platform.publish("rte.completed", coverage_ref="/v1/coverages/cov_1")
        await platform.publish("coverage.updated", account_id="A1", coverage_ref="/v1/coverages/cov_1")
        event = await updated.next()
        assert event.coverage == COVERAGE
        assert event.coverage.payer_name == "Blue Cross Blue Shield"
        assert platform.rest.asked("GET /v1/coverages/cov_1") == 1


async def test_a_fault_of_the_server_is_retried_in_order_and_what_is_gone_stays_absent() -> None:
    async with Platform() as platform, platform.client() as client:
        timeline = await client.subscribe(member_id="M1")
        seen = Inbox()
        timeline.on("*", seen)
        platform.rest.queued["GET /v1/coverages/cov_1"].extend([problem(503, "unavailable"), problem(500, "unavailable")] * 5)
        await platform.publish("coverage.updated", account_id="A1", coverage_ref="/v1/coverages/cov_1")
        await platform.publish("coverage.updated", account_id="A2", coverage_ref="/v1/coverages/cov_gone")
        first, second = await seen.next(), await seen.next()
        assert (first.account_id, first.coverage) == ("A1", COVERAGE)
        assert second.account_id == "A2"
        assert "coverage" not in second


@pytest.mark.parametrize(
    "ref",
    [
        "https://evil.example/v1/coverages/cov_1",
        "//evil.example/v1/x",
        "/v2/coverages/cov_1",
        "/v1/../admin",
        "/v1/a?b",
        "/v1/%2e",
        7,
    ],
)
async def test_nothing_but_the_platforms_own_references_is_followed(ref: object) -> None:
    async with Platform() as platform, platform.client() as client:
        timeline = await client.subscribe(member_id="M1")
        seen = Inbox()
        timeline.on("*", seen)
        await platform.publish("coverage.updated", coverage_ref=ref)
        assert "coverage" not in await seen.next()
        assert platform.rest.requests == []


async def test_unsubscribing_while_a_reference_is_fetched_ends_the_iteration() -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def slow(request: httpx2.Request) -> httpx2.Response:
        asked.set()
        await gate.wait()
        return answer(200, {"coverage": COVERAGE})

    async with Platform() as platform, platform.client(http_transport=httpx2.MockTransport(slow)) as client:
        timeline = await client.subscribe(member_id="M1")
        waiting = asyncio.create_task(_next(timeline))
        await platform.publish("coverage.updated", coverage_ref="/v1/coverages/cov_1")
        async with asyncio.timeout(WITHIN_S):
            await asked.wait()
            await timeline.unsubscribe()
            gate.set()
            with pytest.raises(StopAsyncIteration):
                await waiting


async def test_without_hydration_events_come_as_they_are() -> None:
    async with Platform() as platform, platform.client(hydrate=False) as client:
        timeline = await client.subscribe(member_id="M1")
        seen = Inbox()
        timeline.on("*", seen)
        await platform.publish("coverage.updated", coverage_ref="/v1/coverages/cov_1")
        assert "coverage" not in await seen.next()


# Connections.


async def test_after_a_cut_it_comes_back_by_itself_and_misses_nothing() -> None:
    async with Platform() as platform, platform.client() as client:
        states = Inbox()
        client.on("state", states)
        timeline = await client.subscribe(member_id="M1")
        seen = Inbox()
        timeline.on("*", seen)
        await platform.publish("task.assigned", task_id="t0")
        await seen.next()
        for number in range(1, 4):
            await platform.cut()
            await platform.publish("task.assigned", task_id=f"t{number}")
            assert (await seen.next()).task_id == f"t{number}"
        assert [event.task_id for event in seen.got] == ["t0", "t1", "t2", "t3"]
        assert states.got[:4] == ["connecting", "connected", "reconnecting", "connected"]
        assert client.state == "connected"


async def test_lost_continuity_is_a_reset() -> None:
    async with Platform() as platform, platform.client() as client:
        resets = Inbox()
        client.on("reset", resets)
        timeline = await client.subscribe(member_id="M1")
        timeline.on("*", lambda: None)
        await platform.say({"type": "reset", "subscription_ids": ["sub_1"], "cursor": "c1.0", "reason": "continuity_lost"})
        reset = await resets.next()
        assert (reset.reason, reset.subscription["member_id"]) == ("continuity_lost", "M1")


async def test_a_refused_token_is_replaced_by_the_providers_next_one() -> None:
    tokens = iter(["old", "new"])
    async with Platform() as platform, platform.client(get_token=lambda: next(tokens)) as client:
        platform.refuse.append((4401, "unauthenticated"))
        async with asyncio.timeout(WITHIN_S):
            await client.subscribe(member_id="M1")
        assert platform.tokens == ["old", "new"]


async def test_a_token_is_refreshed_in_band_while_the_connection_stays() -> None:
    tokens = iter(["old", "new"])

    async def provider() -> str:
        return next(tokens)

    async with Platform() as platform, platform.client(get_token=provider) as client:
        await client.subscribe(member_id="M1")
        await platform.say({"type": "error", "code": "token_expiring", "message": "soon", "retryable": False, "fatal": False})
        line = platform.gateway.lines[0]
        await platform.until(lambda: line.frames[-1]["type"] == "refresh")
        assert line.frames[-1]["token"] == "new"
        assert platform.connections == 1


async def test_a_provider_that_fails_is_asked_again() -> None:
    answers: list[Any] = [RuntimeError("no network"), "token"]

    def provider() -> str:
        given = answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return str(given)

    async with Platform() as platform, platform.client(get_token=provider) as client:
        async with asyncio.timeout(WITHIN_S):
            await client.subscribe(member_id="M1")
        assert platform.tokens == ["token"]


async def test_flags_and_errors_of_the_platform_are_told() -> None:
    async with Platform() as platform, platform.client() as client:
        flags, errors = Inbox(), Inbox()
        client.on("flags", flags)
        client.on("error", errors)
        await client.subscribe(member_id="M1")
        await platform.say({"type": "flags", "flags": {"enable-websocket-push": True}})
        assert await flags.next() == {"enable-websocket-push": True}
        await platform.say({"type": "error", "code": "rate_limited", "message": "slow", "retryable": True, "fatal": False})
        assert isinstance(await errors.next(), sdk.RateLimitedError)


async def test_a_name_that_a_client_never_tells_of_is_refused() -> None:
    async with Platform() as platform, platform.client() as client:
        with pytest.raises(ValueError, match="state"):
            client.on("task.assigned", lambda: None)


async def test_an_endpoint_that_is_no_gateway_fails_at_once() -> None:
    async def hold(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(hold, "127.0.0.1", 0) as server:
        host, port = next(iter(server.sockets)).getsockname()
        async with sdk.DigitalSessionClient(f"ws://{host}:{port}/v1", token=MEMBER_TOKEN) as client, asyncio.timeout(WITHIN_S):
            with pytest.raises(sdk.ProtocolError):
                await client.subscribe(member_id="M1")
        assert client.state == "closed"


async def test_a_platform_that_cannot_be_reached_is_given_up_after_the_allowed_attempts() -> None:
    async with Platform() as platform:
        nobody = platform.endpoint
    reconnect = sdk.Reconnect(max_attempts=3, jitter=lambda: 0.0)
    async with sdk.DigitalSessionClient(nobody, token=MEMBER_TOKEN, reconnect=reconnect) as client:
        with pytest.raises(sdk.UnavailableError):
            await client.create_session()
        async with asyncio.timeout(WITHIN_S):
            with pytest.raises(sdk.UnavailableError):
                await client.subscribe(member_id="M1")
        assert client.state == "failed"


# Ends: nobody is left waiting.


async def test_a_refused_subscription_raises_its_typed_error() -> None:
    async with Platform() as platform, platform.client() as client:
        errors = Inbox()
        client.on("error", errors)
        with pytest.raises(sdk.NotFoundError):
            await client.subscribe(member_id="M9")
        await client.subscribe(member_id="M1")
        assert errors.got == []


async def test_a_revoked_subject_fails_everything_with_one_error() -> None:
    async with Platform() as platform, platform.client() as client:
        errors = Inbox()
        client.on("error", errors)
        session = await client.create_session()
        request = await session.submit_service_request(service="RTE")
        timeline = await client.subscribe(member_id="M1")
        waiting = [asyncio.create_task(work) for work in (request.result(), _next(timeline))]
        await platform.until(lambda: any(len(line.live) == 2 for line in platform.gateway.lines))
        await platform.close(4403)
        async with asyncio.timeout(WITHIN_S):
            ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(end) for end in ends] == [sdk.ForbiddenError, sdk.ForbiddenError]
        assert client.state == "failed"
        assert isinstance(await errors.next(), sdk.ForbiddenError)
        assert len(errors.got) == 1
        with pytest.raises(sdk.ForbiddenError):
            await client.create_session()


async def _next(timeline: sdk.Subscription) -> sdk.Envelope:
    return await anext(aiter(timeline))


async def test_closing_ends_iterations_quietly_and_everything_else_with_an_error() -> None:
    async with Platform() as platform, platform.client() as client:
        session = await client.create_session()
        request = await session.submit_service_request(service="RTE")
        timeline = await client.subscribe(member_id="M1")

        async def read() -> list[sdk.Envelope]:
            return [envelope async for envelope in timeline]

        reading, waiting = asyncio.create_task(read()), asyncio.create_task(request.result())
        await platform.until(lambda: bool(platform.gateway.lines[0].live))
        await client.close()
        await client.close()
        async with asyncio.timeout(WITHIN_S):
            assert await reading == []
            with pytest.raises(sdk.ClientClosedError):
                await waiting
        with pytest.raises(sdk.ClientClosedError):
            await client.subscribe(member_id="M1")
        await platform.until(lambda: platform.gateway.lines == [])


async def test_closing_from_within_a_handler_ends_cleanly() -> None:
    async with Platform() as platform, platform.client() as client:
        timeline = await client.subscribe(member_id="M1")
        closed = asyncio.Event()

        async def leave(event: sdk.Record) -> None:
            await client.close()
            closed.set()

        timeline.on("*", leave)
        await platform.publish("task.assigned")
        async with asyncio.timeout(WITHIN_S):
            await closed.wait()
        assert client.state == "closed"


async def test_a_right_that_ends_reaches_the_error_handler() -> None:
    async with Platform() as platform, platform.client() as client:
        errors = Inbox()
        client.on("error", errors)
        timeline = await client.subscribe(member_id="M1")
        timeline.on("*", lambda: None)
        await platform.say({"type": "unsubscribed", "subscription_id": "sub_1", "reason": "relationship_ended"})
        assert isinstance(await errors.next(), sdk.ForbiddenError)


# Addresses.


@pytest.mark.parametrize(
    ("endpoint", "websocket", "rest"),
    [
        ("wss://h.example/v1", "wss://h.example/v1", "https://h.example"),
        ("ws://127.0.0.1:8080/v1/", "ws://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("https://h.example", "wss://h.example/v1", "https://h.example"),
        ("wss://h.example/sessions/v1", "wss://h.example/sessions/v1", "https://h.example/sessions"),
    ],
)
def test_one_endpoint_gives_both_addresses(endpoint: str, websocket: str, rest: str) -> None:
    assert address(endpoint) == (websocket, rest)


@pytest.mark.parametrize(
    "endpoint",
    ["", "h.example/v1", "ftp://h.example/v1", "wss:///v1", "wss://h.example/v2", "wss://h/v1?token=x", "wss://me:word@h/v1"],
)
def test_an_endpoint_that_cannot_work_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        address(endpoint)


@pytest.mark.parametrize("options", [{}, {"token": "a", "get_token": lambda: "b"}])
async def test_exactly_one_source_of_tokens_is_needed(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="token"):
        sdk.DigitalSessionClient("wss://h.example/v1", **options)


def test_a_token_is_read_without_being_trusted() -> None:
    assert sdk.read_claims(MEMBER_TOKEN)["member_id"] == "M1"
    for bad in ("", "a", "a.b", "a.!!.c", "a.WzFd.c"):
        assert sdk.read_claims(bad) == {}


def test_a_record_reads_like_a_dict_and_like_an_object() -> None:
    task = sdk.Record({"task_type": "RTE_CHECK"})
    assert task.task_type == task["task_type"] == "RTE_CHECK"
    assert task.get("nothing") is None
    with pytest.raises(AttributeError, match="nothing"):
        _ = task.nothing
