"""The SDK against the platform as it is run: a day of a member, of staff, and of the process in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import digital_session as sdk
from tests.running import Running
from tests.sdk.server import Inbox

PATIENCE_S = 120
SOON = sdk.Reconnect(base_s=0.02, cap_s=0.2)


async def test_a_member_and_staff_work_together_while_the_platform_is_killed_in_between(tmp_path: Path) -> None:
    storage = sdk.FileStorage(tmp_path / "phone.json")
    async with Running(tmp_path / "data") as platform, asyncio.timeout(PATIENCE_S):
        member = await platform.token("--member", "M123456")
        staff = await platform.token("--staff", "C001", "--role", "care_team")

        def client(token: str, **options: Any) -> sdk.DigitalSessionClient:
            return sdk.DigitalSessionClient(platform.endpoint, token=token, reconnect=SOON, **options)

        async with client(member, storage=storage) as phone, client(staff) as desk:
            session = await phone.get_active_session()
            numbers: list[int] = []
            ended = Inbox()
            session.on("*", lambda event, envelope: numbers.append(envelope.key.seq) if envelope.key else None)
            session.on("service_request.completed", ended)

            coverage = await session.submit_service_request(service="RTE")
            assert (await coverage.result()).coverage.payer_name == "Blue Cross Blue Shield"

            panel = await desk.get_active_member_session("M123456")
            assert panel.id == session.id
            feed = Inbox()
            panel.on("task.completed", feed)
            context = await panel.get_member_context()
            assert context.coverage[0].account_id == "A789012"
            assert context.tasks == ()

            claim = await session.submit_service_request(service="Claims", data={"claim_number": "C-1"})
            (task,) = await panel.get_active_tasks()
            await task.claim()
            await task.start()
            await platform.kill()
            await platform.start()
            await task.complete({"resolution": "PAID"})
            assert (await feed.next()).task_result.resolution == "PAID"
            await claim.result()
            assert [(await ended.next()).service_request_id for _ in range(2)] == [coverage.id, claim.id]
            await phone.caught_up()
        assert numbers == sorted(set(numbers))

        async with client(member, storage=storage) as phone:
            again = await phone.get_active_session()
            assert again.id == session.id
            later = Inbox()
            again.on("session.ended", later)
            heard: list[int] = []
            again.on("*", lambda event, envelope: heard.append(envelope.key.seq) if envelope.key else None)
            await again.end()
            await later.next()
        assert not set(heard) & set(numbers), "handled in one run, and not again in the next"
