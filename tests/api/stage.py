"""The API over the real rooms and a real store; only time, the clearinghouse's answers and the network are the test's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
from prometheus_client import CollectorRegistry

from session_platform import api, directory, twin
from session_platform.access import OriginPolicy, Rights, TokenVerifier, TransportPolicy, mint_development_token
from session_platform.app import wiring_careflow
from session_platform.app.wiring_backends import backends
from session_platform.careflow import SERVICES, Careflow, Failed, Failure, Succeeded, load_catalogue
from session_platform.clock import ManualClock
from session_platform.contract import CoverageDetails, CoverageStatus
from session_platform.eligibility import FAILURES, coverage_at, coverage_of, stored
from session_platform.sessions import ActiveWork, Sessions, Touches
from session_platform.store import Reader, Tx
from session_platform.store.sqlite import SqliteStore
from session_platform.timeline import CursorCodec
from tests.api import conformance

SECRET = b"a development secret of some length"
OWN, DEPENDANT, FOREIGN = "A789012", "A789013", "A200001"
APP = {"type": "APP", "channel": "MX_WEB"}


@dataclass
class Stage:
    """``flags`` and ``troubles`` are what the platform says of itself; the test changes them."""

    platform: api.Platform
    clock: ManualClock
    store: SqliteStore
    codec: CursorCodec
    flags: dict[str, bool]
    troubles: list[str]
    app: Any = field(init=False)

    def __post_init__(self) -> None:
        self.app = api.build(self.platform)

    def token(self, *roles: str, sub: str = "", expires_in_s: int = 3600, **claims: str | Sequence[str]) -> str:
        return mint_development_token(
            SECRET, subject=sub or roles[0], roles=roles, now=self.clock.now(), expires_in_s=expires_in_s, claims=claims
        )

    def member(self, member_id: str = "M123456", *accounts: str) -> str:
        return self.token("member", sub=member_id, member_id=member_id, account_ids=accounts or (OWN, DEPENDANT))

    @asynccontextmanager
    async def http(self, token: str | None = None, **options: Any) -> AsyncIterator[httpx2.AsyncClient]:
        """A client that speaks with ``token``; ``app``, ``client`` (its address) and ``base_url`` as options."""
        transport = httpx2.ASGITransport(options.get("app", self.app), client=options.get("client", ("127.0.0.1", 5)))
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        base_url = options.get("base_url", "http://127.0.0.1")
        hooks = {"response": [_conforms]}
        async with httpx2.AsyncClient(transport=transport, base_url=base_url, headers=headers, event_hooks=hooks) as client:
            yield client

    def with_parts(self, **parts: Any) -> Stage:
        """The same over the same store, with other parts."""
        platform = replace(self.platform, registry=CollectorRegistry(), **parts)
        return Stage(platform, self.clock, self.store, self.codec, self.flags, self.troubles)

    async def audit(self) -> list[tuple[Any, ...]]:
        """(actor, action, outcome, member, reason) of every record."""
        sql = "SELECT actor, action, outcome, member_id, reason FROM audit ORDER BY id"
        return await self.store.read(lambda reader: reader.all(sql))

    async def events(self) -> list[str]:
        sql = "SELECT name FROM outbox ORDER BY id"
        return [row[0] for row in await self.store.read(lambda reader: reader.all(sql))]

    async def succeed(self, request: Mapping[str, Any]) -> str:
        """Let the check of a submitted request find an active coverage; the id under which it is kept."""
        details = CoverageDetails(
            account_id=request["subject"],
            coverage_status=CoverageStatus.ACTIVE,
            payer_name="Blue Cross",
            verified_at=self.clock.now(),
        )
        result = {"coverage_status": "ACTIVE", "payer_name": "Blue Cross", "coverage": {"account_id": request["subject"]}}
        kept: list[str] = []

        def command(tx: Tx) -> None:
            run = self.platform.careflow.claim(tx, request["tasks"][0]["task_id"], "worker")
            assert run is not None
            done = Succeeded(json.dumps(result).encode(), lambda tx: kept.append(stored.add(tx, details)), ())
            self.platform.careflow.succeed(tx, run, done)

        await self.store.run(command, request["member_id"])
        return kept[0]

    async def fail(self, request: Mapping[str, Any]) -> None:
        """Let the check of a submitted request end with a payer's rejection."""

        def command(tx: Tx) -> None:
            run = self.platform.careflow.claim(tx, request["tasks"][0]["task_id"], "worker")
            assert run is not None
            failed = Failed("payer_rejected", b'[{"code":"72"}]')
            self.platform.careflow.fail(tx, run, failed, 0.0)

        await self.store.run(command, request["member_id"])


@asynccontextmanager
async def raised(store: SqliteStore, clock: ManualClock) -> AsyncIterator[Stage]:
    """A stage with the demo members; the directory's accounts, no relations of staff."""
    seed = directory.load_seed(directory.DEMO_SEED)
    await store.run(lambda tx: directory.apply_seed(tx, seed))

    def active_work(reader: Reader, session_id: str) -> ActiveWork:
        return ActiveWork(*careflow.active_work(reader, session_id))

    def ended_work(reader: Reader, session_id: str) -> ActiveWork:
        return ActiveWork(*careflow.ended_work(reader, session_id))

    touches = Touches(store, clock, active_work)
    sessions = Sessions(active_work, ended_work, touches.pending)
    neighbours = wiring_careflow.neighbours(sessions)
    careflow = Careflow(load_catalogue(SERVICES, failures=failures()), neighbours)
    codec = CursorCodec({1: b"k" * 32})
    flags: dict[str, bool] = {"enable-digital-sessions": True}
    troubles: list[str] = []
    platform = api.Platform(
        store=store,
        clock=clock,
        verifier=TokenVerifier(development_secret=SECRET),
        rights=Rights((), accounts_of),
        origins=OriginPolicy(["https://app.example.org"], insecure=True),
        transport=TransportPolicy(insecure=True),
        codec=codec,
        sessions=sessions,
        touches=touches,
        careflow=careflow,
        coverage_of=coverage_of,
        coverage_at=coverage_at,
        twin=twin.read,
        ingest=backends(store, sessions, careflow),
        flags=lambda _: flags,
        troubles=lambda: troubles,
        notes=lambda: (),
        registry=CollectorRegistry(),
    )
    yield Stage(platform, clock, store, codec, flags, troubles)


def accounts_of(reader: Reader, member_id: str) -> tuple[str, ...] | None:
    member = directory.member(reader, member_id)
    return None if member is None else member.account_ids


def failures() -> dict[str, Failure]:
    return {
        code: Failure(message=each.message, retryable=each.retryable, answered=each.answered) for code, each in FAILURES.items()
    }


async def _conforms(response: httpx2.Response) -> None:
    """Every answer in every test is what the published document says."""
    await response.aread()
    conformance.check(response)


async def opened(http: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    """A new session."""
    answer = await http.post("/v1/sessions", json={**APP, **body})
    assert answer.status_code == 201, answer.text
    session: dict[str, Any] = answer.json()
    return session


async def submitted(http: httpx2.AsyncClient, session: Mapping[str, Any], **body: Any) -> dict[str, Any]:
    """A new coverage check in the session."""
    answer = await http.post(f"/v1/sessions/{session['session_id']}/service-requests", json={"service": "RTE", **body})
    assert answer.status_code == 202, answer.text
    request: dict[str, Any] = answer.json()
    return request


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that an answer is that RFC 9457 problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["code"] == code
    assert {"type", "title", "detail"} <= body.keys()
    assert ("errors" in body) == (code == "invalid")
    if status in {429, 503}:
        assert int(answer.headers["retry-after"]) >= 1
    return body


def pointers(answer: httpx2.Response) -> set[str]:
    """Where an answer says that the input was wrong."""
    return {each["pointer"] for each in problem(answer, 422, "invalid")["errors"]}
