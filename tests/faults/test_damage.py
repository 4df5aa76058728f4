"""A damaged database is reported and left as it is; an older copy of it is another history, and clients are told."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection

from digital_session import Envelope, Reset
from session_platform.store.sqlite.database import DATABASE_FILE
from tests.faults.clients import Member, sdk, whole_timeline
from tests.faults.promises import assert_sound, number
from tests.running import Running, command, receive_until, send

PAGE_BYTES = 4096
MEMBER = "M123456"


def cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def overwritten(whole: bytes) -> bytes:
    return whole[:PAGE_BYTES] + b"\xff" * PAGE_BYTES + whole[2 * PAGE_BYTES :]


def beheaded(whole: bytes) -> bytes:
    return b"\0" * PAGE_BYTES + whole[PAGE_BYTES:]


def empty(_: bytes) -> bytes:
    return b""


async def check(http: httpx2.AsyncClient, session: dict[str, Any], socket: ClientConnection) -> tuple[str, str]:
    """One check from submission to end: its id, and the cursor behind it."""
    submitted = await http.post(f"/v1/sessions/{session['session_id']}/service-requests", json={"service": "RTE"})
    heard = await receive_until(socket, "service-request.completed")
    return submitted.json()["service_request_id"], heard[-1]["cursor"]


async def subscribed(socket: ClientConnection, member: Member, cursor: str) -> dict[str, Any]:
    await send(socket, {"type": "subscribe", "cursor": cursor, "subscription": member.subscription})
    return (await receive_until(socket, "subscribed"))[-1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a platform that ran a check and was stopped."""

    async def run() -> Path:
        directory = tmp_path_factory.mktemp("whole") / "data"
        async with Running(directory) as platform:
            token = await platform.token("--member", MEMBER)
            async with platform.http(token) as http, platform.socket(token) as socket:
                session = (await http.post("/v1/sessions", json={"type": "APP", "channel": "MX_WEB"})).json()
                await subscribed(socket, Member(MEMBER, token), session["cursor"])
                await check(http, session, socket)
            assert await platform.stop() == 0
        return directory

    return asyncio.run(run())


@pytest.mark.parametrize("damage", [cut, overwritten, beheaded, empty])
async def test_a_damaged_database_is_a_sentence_and_stays_as_it_is(tmp_path: Path, whole: Path, damage: Any) -> None:
    directory = tmp_path / "data"
    shutil.copytree(whole, directory)
    database = directory / DATABASE_FILE
    damaged = damage(database.read_bytes())
    database.write_bytes(damaged)
    names = sorted(path.name for path in directory.iterdir())
    status, out, err = await command("up", "--insecure", "--port", "0", "--data", str(directory))
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert str(database) in err
    assert database.read_bytes() == damaged
    assert sorted(path.name for path in directory.iterdir()) == names


async def test_an_older_copy_put_back_is_another_history_and_every_client_is_told(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    async with Running(data) as platform:
        member = Member(MEMBER, await platform.token("--member", MEMBER))
        async with platform.http(member.token) as http, platform.socket(member.token) as socket:
            session = (await http.post("/v1/sessions", json={"type": "APP", "channel": "MX_WEB"})).json()
            await subscribed(socket, member, session["cursor"])
            kept, kept_cursor = await check(http, session, socket)
        await platform.stop()
        shutil.copytree(data, copy)
        await platform.start()
        async with sdk(platform, member) as client, platform.http(member.token) as http:
            heard: list[Envelope] = []
            resets: asyncio.Queue[Reset] = asyncio.Queue()
            client.on("reset", resets.put_nowait)
            (await client.subscribe(member_id=MEMBER, since="beginning")).on("*", lambda _, envelope: heard.append(envelope))
            async with platform.socket(member.token) as socket:
                await subscribed(socket, member, kept_cursor)
                lost, lost_cursor = await check(http, session, socket)
            await platform.stop()
            shutil.rmtree(data)
            copy.rename(data)
            await platform.start()
            old = await whole_timeline(platform, member)
            async with platform.socket(member.token) as socket, platform.socket(member.token) as other:
                answer = await subscribed(socket, member, lost_cursor)
                assert answer["recovered"] is False
                assert (await subscribed(other, member, kept_cursor))["recovered"] is True
                async with asyncio.timeout(60):
                    await resets.get()
                assert (await http.get(f"/v1/service-requests/{kept}")).json()["status"] == "COMPLETED"
                assert (await http.get(f"/v1/service-requests/{lost}")).status_code == 404
                context = (await http.get(f"/v1/members/{MEMBER}/context")).json()
                assert (int(context["timelineseq"]), context["cursor"]) == (len(old), answer["cursor"])
                new, _ = await check(http, session, socket)
                live = await receive_until(other, "service-request.completed")
            timeline = await whole_timeline(platform, member)
    assert_sound(timeline)
    assert timeline[: len(old)] == old
    assert [int(event["timelineepoch"]) for event in timeline] == [1] * len(old) + [2] * (len(timeline) - len(old))
    told = [frame["event"] for frame in live if frame["type"] == "event" and "timelineseq" in frame["event"]]
    assert told == timeline[-len(told) :]
    assert number(told[0]) == len(old) + 1
    assert {event["data"].get("service_request_id") for event in told} <= {new, None}
    keys = [envelope.key for envelope in heard if envelope.key is not None]
    assert keys == sorted(set(keys)), "no two histories in one journal"
