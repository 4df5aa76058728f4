"""A backend's batch, sent by curl, appears on a member's open stream: the platform as it is run, a real socket, the SDK."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from digital_session import DigitalSessionClient
from tests.ingest.published import BATCH, assigned, body, completed, created, done, processing, submitted
from tests.running import Running

MEMBER = "M123456"


async def curl(platform: Running, token: str, file: Path) -> tuple[int, Any]:
    """Post a batch as the page for backends shows it: (status, answer)."""
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", f"{platform.url}/v1/events"),
        *("--header", f"Authorization: Bearer {token}", "--header", f"Content-Type: {BATCH}", "--data-binary", f"@{file}"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    answer, _, status = out.decode().rpartition("\n")
    return int(status), json.loads(answer)


async def test_a_backends_batch_by_curl_appears_on_a_members_open_stream(tmp_path: Path) -> None:
    batch = tmp_path / "batch.json"
    batch.write_bytes(
        body(
            created(),
            submitted(session_id="s1"),
            processing(percent=50),
            assigned(service_request_id="r1", assignee_role="MEMBER"),
            done(),
            completed(result_data={"opinion": "operate"}),
        )
    )
    async with Running(tmp_path / "data") as platform:
        service = await platform.token("--service", "claims")
        member = await platform.token("--member", MEMBER)
        async with DigitalSessionClient(platform.endpoint, token=member) as client:
            stream = await client.subscribe(member_id=MEMBER)
            assert (await curl(platform, service, batch))[0] == 202
            heard = []
            async with asyncio.timeout(30):
                async for event in stream:
                    if event.key is not None:
                        heard.append(event)
                    if event.name == "service_request.completed":
                        break
        assert [event.name for event in heard] == [
            *("session.created", "service_request.submitted", "service_request.processing"),
            *("task.assigned", "task.completed", "service_request.completed"),
        ]
        assert {event.source for event in heard} == {"/claims/core"}
        assert heard[-1].data.result_data == {"opinion": "operate"}, "the SDK fetched what its reference stands for"

        await platform.kill()
        await platform.start()
        status, answer = await curl(platform, service, batch)
        assert (status, answer["accepted"]) == (202, 0)
        assert {each["outcome"] for each in answer["events"]} == {"duplicate"}
        async with platform.http(member) as http:
            context = (await http.get(f"/v1/members/{MEMBER}/context")).json()
        assert int(context["timelineseq"]) == len(heard)
