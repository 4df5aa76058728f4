"""The audit of a platform as it is run: what people did is on record and sealed, and a tampered record is caught."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from urllib.parse import quote

import apsw
from fhir.resources.R4B.auditevent import AuditEvent

from session_platform.access.audit import verify
from session_platform.clock import ManualClock
from session_platform.ids import IdMint
from session_platform.store.sqlite import SqliteStore
from tests.audit.records import sealed
from tests.running import COMMAND, Running, command

ROOT = Path(__file__).parents[2]


def head_of(said: str) -> str:
    return next(line for line in said.splitlines() if line.startswith("place ")).split()[-1]


def commands_of_the_page() -> list[str]:
    """Every command of docs/audit.md, in order."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", (ROOT / "docs/audit.md").read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


async def test_every_command_of_the_page_works(tmp_path: Path, clock: ManualClock) -> None:
    store = await SqliteStore.open(tmp_path / "data", clock, IdMint())
    await sealed(store, clock, 6)
    head = await store.read(lambda reader: verify(reader).head.link)
    environment = {**os.environ, "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}", "HEAD": head.hex()}
    commands = commands_of_the_page()
    assert len(commands) == 7
    for each in commands:
        process = await asyncio.create_subprocess_shell(each, cwd=tmp_path, env=environment)
        assert await process.wait() == 0, each
    await store.close()
    assert (tmp_path / "audit.ndjson").read_text().count("AuditEvent") == 6


async def test_a_tampered_record_of_a_real_platform_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    where = ("--data", str(data))
    async with Running(data) as up:
        dana = await up.token("--staff", "C001", "--role", "care_team")
        ito = await up.token("--staff", "C002", "--role", "clinician")
        ops = await up.token("--admin")
        async with up.http(dana) as http:
            assert (await http.get("/v1/members/M123456/context")).status_code == 200
            assert (await http.get("/v1/members/M123456/coverage")).status_code == 200
        async with up.http(ito) as http:
            assert (await http.get("/v1/members/M123456/context")).status_code == 404
            glass = {"Break-Glass-Reason": quote("found unconscious")}
            assert (await http.get("/v1/members/M123456/context", headers=glass)).status_code == 200
        async with up.http(ops) as http:
            assert (await http.delete("/v1/admin/staff/C001/panel/M123456")).status_code == 204
            records = (await http.get("/v1/audit")).json()["items"]
        async with up.http(dana) as http:
            assert (await http.get("/v1/members/M123456/context")).status_code == 404
        for _ in range(30):
            status, said, _ = await command("audit", "verify", *where)
            assert status == 0, said
            if "0 not sealed yet" in said:
                break
        assert "0 not sealed yet" in said, "the sealer comes by every second"
        assert await up.stop() == 0

    status, said, _ = await command("audit", "verify", *where)
    assert (status, said.splitlines()[-1]) == (0, "whole")
    noted = head_of(said)
    status, exported, _ = await command("audit", "export", *where)
    assert status == 0
    export = tmp_path / "audit.jsonl"
    export.write_text(exported)
    assert (await command("audit", "verify", "--file", str(export), "--head", noted))[0] == 0
    status, fhir, _ = await command("audit", "export", "--format", "fhir", *where)
    resources = [AuditEvent.model_validate_json(line) for line in fhir.splitlines()]
    assert len(resources) == exported.count('"audit_id"')

    # Who broke the glass would rather have had no reason to.
    glass_record = next(each for each in records if each["action"] == "break_glass")
    assert glass_record["reason"] == "found unconscious"
    connection = apsw.Connection(str(data / "store.db"))
    connection.execute("UPDATE audit SET reason = 'on call' WHERE audit_id = ?", (glass_record["audit_id"],))
    connection.close()
    status, said, _ = await command("audit", "verify", *where)
    assert status == 1
    place = next(json.loads(line)["place"] for line in exported.splitlines() if glass_record["audit_id"] in line)
    assert f"place {place}: record {glass_record['audit_id']} was changed" in said

    tampered = tmp_path / "tampered.jsonl"
    tampered.write_text(exported.replace("found unconscious", "on call"))
    status, said, _ = await command("audit", "verify", "--file", str(tampered))
    assert status == 1
    assert glass_record["audit_id"] in said
    # The start goes on, the record of it is not mended, and the break stays visible.
    async with Running(data) as up, up.http(await up.token("--staff", "C001", "--role", "care_team")) as http:
        assert (await http.get("/v1/members/M123456/context")).status_code == 404, "the same seed brings nobody back"
        assert (await command("audit", "verify", *where))[0] == 1
