"""What a client keeps for its next run: its device and how far a session was handled, of one subject, never half written."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import digital_session as sdk
from tests.sdk.server import SESSION, WITHIN_S, Inbox, Platform, answer, token


@pytest.fixture
def storage(tmp_path: Path) -> sdk.FileStorage:
    return sdk.FileStorage(tmp_path / "folder" / "kept.json")


def test_a_file_holds_what_was_saved_last_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "kept.json"
    storage = sdk.FileStorage(path)
    assert storage.load() == {}
    storage.save({"a": 1})
    storage.save({"b": [2]})
    assert storage.load() == {"b": [2]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["kept.json"]


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_file_that_is_none_of_ours_counts_as_nothing(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "kept.json").write_bytes(damaged)
    assert sdk.FileStorage(tmp_path / "kept.json").load() == {}


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    storage = sdk.FileStorage(tmp_path / "kept.json")
    storage.save({"a": 1})
    with pytest.raises(TypeError):
        storage.save({"a": object()})
    assert storage.load() == {"a": 1}


async def test_a_device_without_a_name_gets_one_and_keeps_it(storage: sdk.FileStorage) -> None:
    async with Platform() as platform:
        async with platform.client(storage=storage) as client:
            name = client.device_id
            await client.create_session()
        assert name
        async with platform.client(storage=storage, token=token(sub="M2", member_id="M2")) as client:
            assert client.device_id == name
        async with platform.client(storage=storage, device_id="phone 1") as client:
            assert client.device_id == "phone 1"
    sent = json.loads(platform.rest.requests[0].content)
    assert sent["device_id"] == name


def active(platform: Platform, storage: sdk.FileStorage) -> None:
    kept = storage.load()
    platform.rest.standing[f"GET /v1/sessions/active?device_id={kept['device_id']}"] = answer(200, SESSION)


async def test_a_session_goes_on_after_the_last_event_that_was_handled_in_the_run_before(storage: sdk.FileStorage) -> None:
    async with Platform() as platform, asyncio.timeout(WITHIN_S):
        async with platform.client(storage=storage) as client:
            session = await client.create_session()
            first = Inbox()
            session.on("task.assigned", first)
            for number in range(3):
                await platform.publish("task.assigned", task_id=f"t{number}", assignee_role="MEMBER")
                await first.next()
        await platform.publish("task.assigned", task_id="t3", assignee_role="MEMBER")
        active(platform, storage)
        async with platform.client(storage=storage) as client:
            session = await client.get_active_session()
            second = Inbox()
            session.on("task.assigned", second)
            assert (await second.next()).task_id == "t3"
            assert len(second.got) == 1


async def test_another_subject_starts_from_the_beginning(storage: sdk.FileStorage) -> None:
    async with Platform() as platform, asyncio.timeout(WITHIN_S):
        async with platform.client(storage=storage) as client:
            session = await client.create_session()
            seen = Inbox()
            session.on("*", seen)
            await platform.publish("session.created", session_id="sess_1")
            await seen.next()
        active(platform, storage)
        async with platform.client(storage=storage, token=token(sub="other", member_id="M1")) as client:
            session = await client.get_active_session()
            again = Inbox()
            session.on("*", again)
            assert (await again.next()).session_id == "sess_1"


async def test_a_kept_cursor_that_the_platform_no_longer_knows_is_lost_continuity(storage: sdk.FileStorage) -> None:
    async with Platform() as platform, asyncio.timeout(WITHIN_S):
        async with platform.client(storage=storage) as client:
            session = await client.create_session()
            seen = Inbox()
            session.on("*", seen)
            await platform.publish("session.created", session_id="sess_1")
            await seen.next()
        active(platform, storage)
        platform.gateway.refuse_cursors = True
        async with platform.client(storage=storage) as client:
            resets = Inbox()
            client.on("reset", resets)
            session = await client.get_active_session()
            session.on("*", seen)
            assert (await resets.next()).reason == "bad_cursor"


async def test_what_another_subscription_handled_is_not_kept_as_what_the_session_did(storage: sdk.FileStorage) -> None:
    async with Platform() as platform, asyncio.timeout(WITHIN_S):
        async with platform.client(storage=storage) as client:
            await client.create_session()
            seen = Inbox()
            (await client.subscribe(member_id="M1")).on("*", seen)
            await platform.publish("session.created", session_id="sess_1")
            await seen.next()
        assert storage.load()["cursors"] == {}


async def test_a_slow_handler_of_another_subscription_holds_the_kept_position_back(storage: sdk.FileStorage) -> None:
    async with Platform() as platform, asyncio.timeout(WITHIN_S):
        gate = asyncio.Event()
        async with platform.client(storage=storage) as client:
            session = await client.create_session()
            seen = Inbox()
            session.on("*", seen)
            (await client.subscribe(member_id="M1")).on("*", gate.wait)
            await platform.publish("session.created", session_id="sess_1")
            await seen.next()
        assert storage.load()["cursors"] == {}


class FullDisk:
    """A storage that cannot be written."""

    def load(self) -> Mapping[str, Any]:
        return {}

    def save(self, kept: Mapping[str, Any]) -> None:
        raise OSError(28, "No space left on device")


async def test_a_full_disk_is_told_and_stops_nothing() -> None:
    async with Platform() as platform, asyncio.timeout(WITHIN_S):
        async with platform.client(storage=FullDisk(), persist_submissions=True) as client:
            errors = Inbox()
            client.on("error", errors)
            session = await client.create_session()
            request = await session.submit_service_request(service="RTE")
            error = await errors.next()
        assert request.id == "sr_1"
        assert isinstance(error, sdk.UnavailableError)
        assert isinstance(error.cause, OSError)
