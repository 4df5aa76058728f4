"""The composition root: every part of the platform, made once and handed to those who need it. Nobody else names an adapter."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry

from session_platform import careflow as work
from session_platform import directory, eligibility, log, timeline
from session_platform.access import Identity, KeyRing, OriginPolicy, Rights, TokenVerifier, TransportPolicy, jwks_at
from session_platform.app.development import development_secret
from session_platform.app.settings import Settings
from session_platform.app.upkeep import Upkeep
from session_platform.careflow import Careflow, Failed, Succeeded, TaskRun, Worker
from session_platform.clock import Clock
from session_platform.eligibility import Checked, CheckRun, Clearinghouse, Eligibility
from session_platform.errors import StartError
from session_platform.gateway import Desk, Gate, Hub
from session_platform.ids import IdMint
from session_platform.sessions import ActiveWork, Monitor, Sessions, Touches
from session_platform.store import Reader, Store, Tx
from session_platform.store import secrets as kept_secrets
from session_platform.store.sqlite import SqliteStore

CURSOR_KEYS: Final = "cursor"
CURSOR_KEY_BYTES: Final = 32
FLAGS: Final[Mapping[str, bool]] = {
    "enable-digital-sessions": True,
    "enable-session-events": True,
    "enable-websocket-push": True,
    "fallback-to-polling": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a process runs and closes."""

    store: Store
    follower: log.Follower
    acknowledgements: timeline.Acknowledgements
    touches: Touches
    monitor: Monitor
    worker: Worker
    upkeep: Upkeep
    clearinghouse: Clearinghouse
    hub: Hub
    api: Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What everything else stands on."""

    settings: Settings
    clock: Clock
    ids: IdMint
    store: Store


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """How timelines are read in this process."""

    codec: timeline.CursorCodec
    windows: timeline.Windows
    router: timeline.Router
    follower: log.Follower
    history: timeline.History
    acknowledgements: timeline.Acknowledgements


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rooms:
    """The capabilities, introduced to each other."""

    sessions: Sessions
    touches: Touches
    careflow: Careflow
    clearinghouse: Clearinghouse
    checks: Eligibility


@dataclass(frozen=True, slots=True, kw_only=True)
class _Door:
    """Who is let in, and what they may do."""

    verifier: TokenVerifier
    rights: Rights
    origins: OriginPolicy
    transport: TransportPolicy


async def embedded(settings: Settings, clock: Clock, clearinghouse_url: str, stopping: Callable[[], bool]) -> Parts:
    """All of it in one process on SQLite. Raises `StartError`."""
    ids = IdMint()
    store = await SqliteStore.open(settings.data, clock, ids, public_codes=frozenset(settings.public_codes))
    ground = _Ground(settings=settings, clock=clock, ids=ids, store=store)
    await _settle(ground)
    reading = await _reading(store)
    rooms = _rooms(ground, clearinghouse_url)
    door = _door(ground)
    worker = Worker(
        store=store,
        careflow=rooms.careflow,
        executors={"RTE_CHECK": _rte_check(rooms.checks)},
        clock=clock,
        owner=f"worker-{secrets.token_hex(4)}",
        concurrency=settings.worker_concurrency,
    )
    # The one process that there is has just started: whoever held a lease or asked a payer is dead.
    await worker.free_leases()
    await store.run(eligibility.free_checks)
    await door.verifier.renew()

    def troubles() -> list[str]:
        stops = "The platform is stopping." if stopping() else None
        said = (store.trouble(), reading.follower.trouble(), door.verifier.trouble(), stops)
        return [sentence for sentence in said if sentence is not None]

    return Parts(
        store=store,
        follower=reading.follower,
        acknowledgements=reading.acknowledgements,
        touches=rooms.touches,
        monitor=Monitor(store, rooms.sessions, rooms.touches, clock),
        worker=worker,
        upkeep=Upkeep(store, clock, settings.retention_days),
        clearinghouse=rooms.clearinghouse,
        hub=_hub(ground, reading, rooms, door),
        api=_api(ground, reading, rooms, door, troubles),
    )


async def _settle(ground: _Ground) -> None:
    """Bring the directory in."""
    seed = directory.load_seed(ground.settings.seed or directory.DEMO_SEED)
    await ground.store.run(lambda tx: directory.apply_seed(tx, seed))


async def _reading(store: Store) -> _Reading:
    codec = timeline.CursorCodec(await _cursor_keys(store))
    windows = timeline.Windows(codec)
    router = timeline.Router(windows)
    return _Reading(
        codec=codec,
        windows=windows,
        router=router,
        follower=log.Follower(store, router.publish, router.ephemeral),
        history=timeline.History(store, windows, codec),
        acknowledgements=timeline.Acknowledgements(store),
    )


async def _cursor_keys(store: Store) -> Mapping[int, bytes]:
    fresh = secrets.token_bytes(CURSOR_KEY_BYTES)

    def keys(tx: Tx) -> Mapping[int, bytes]:
        if not kept_secrets.keys(tx, CURSOR_KEYS):
            kept_secrets.rotate(tx, CURSOR_KEYS, fresh)
        return kept_secrets.keys(tx, CURSOR_KEYS)

    return await store.run(keys)


def _rooms(ground: _Ground, clearinghouse_url: str) -> _Rooms:
    def active_work(reader: Reader, session_id: str) -> ActiveWork:
        return ActiveWork(*Careflow.active_work(reader, session_id))

    def ended_work(reader: Reader, session_id: str) -> ActiveWork:
        return ActiveWork(*Careflow.ended_work(reader, session_id))

    touches = Touches(ground.store, ground.clock, active_work)
    room = Sessions(active_work, ended_work, touches.pending)
    catalogue = work.load_catalogue(work.SERVICES, failures=_failures())
    api_key = ground.settings.clearinghouse_api_key.get_secret_value()
    clearinghouse = Clearinghouse(clearinghouse_url, api_key, ground.clock)
    return _Rooms(
        sessions=room,
        touches=touches,
        careflow=Careflow(catalogue, room.request_opened, room.request_closed),
        clearinghouse=clearinghouse,
        checks=Eligibility(ground.store, clearinghouse, directory.account, directory.holders),
    )


def _door(ground: _Ground) -> _Door:
    settings = ground.settings
    origins, transport = _policies(settings)
    return _Door(
        verifier=TokenVerifier(
            KeyRing(jwks_at(settings.jwks), ground.clock) if settings.jwks else None,
            development_secret=development_secret(settings.data) if settings.insecure else None,
            issuers=settings.issuers,
        ),
        rights=Rights((), _accounts_of),
        origins=origins,
        transport=transport,
    )


def _hub(ground: _Ground, reading: _Reading, rooms: _Rooms, door: _Door) -> Hub:
    async def touch(_: Identity, session_id: str, active: bool) -> None:
        await ground.store.read(lambda reader: rooms.sessions.require_open(reader, session_id))
        rooms.touches.touch(session_id, active)

    desk = Desk(
        store=ground.store,
        history=reading.history,
        router=reading.router,
        windows=reading.windows,
        codec=reading.codec,
        verifier=door.verifier,
        rights=door.rights,
        acknowledgements=reading.acknowledgements,
        session_owner=rooms.sessions.owner,
        request_owner=rooms.careflow.owner,
        touch=touch,
        flags=_flags,
        clock=ground.clock,
        ids=ground.ids,
    )
    return Hub(desk, Gate(door.origins, door.transport.plaintext_refused))


def _api(
    ground: _Ground, reading: _Reading, rooms: _Rooms, door: _Door, troubles: Callable[[], list[str]]
) -> Callable[..., Awaitable[None]]:
    from session_platform import api

    return api.build(
        api.Platform(
            store=ground.store,
            clock=ground.clock,
            verifier=door.verifier,
            rights=door.rights,
            origins=door.origins,
            transport=door.transport,
            codec=reading.codec,
            sessions=rooms.sessions,
            touches=rooms.touches,
            careflow=rooms.careflow,
            coverage_of=eligibility.coverage_of,
            coverage_at=eligibility.coverage_at,
            flags=_flags,
            troubles=troubles,
            registry=CollectorRegistry(),
        )
    )


def _policies(settings: Settings) -> tuple[OriginPolicy, TransportPolicy]:
    try:
        origins = OriginPolicy(settings.allowed_origins, settings.insecure)
    except ValueError as error:
        raise StartError(f"The setting SESSION_PLATFORM_ALLOWED_ORIGINS is not acceptable: {error}.") from None
    try:
        return origins, TransportPolicy(settings.insecure, settings.trusted_proxies)
    except ValueError as error:
        raise StartError(f"The setting SESSION_PLATFORM_TRUSTED_PROXIES is not acceptable: {error}.") from None


def _flags(_: Identity) -> Mapping[str, bool]:
    return FLAGS


def _accounts_of(reader: Reader, member_id: str) -> tuple[str, ...]:
    member = directory.member(reader, member_id)
    return () if member is None else member.account_ids


def _failures() -> Mapping[str, work.Failure]:
    """What a coverage check can fail with, in careflow's terms."""
    return {
        code: work.Failure(message=failure.message, retryable=failure.retryable, answered=failure.answered)
        for code, failure in eligibility.FAILURES.items()
    }


def _rte_check(checks: Eligibility) -> work.Executor:
    """Careflow's attempt becomes eligibility's, and its outcome careflow's: the two rooms are strangers."""

    async def execute(run: TaskRun) -> work.Outcome:
        outcome = await checks.check(
            CheckRun(
                task_id=run.task_id,
                attempt=run.attempt,
                try_number=run.try_number,
                service_request_id=run.service_request_id,
                session_id=run.session_id,
                member_id=run.member_id,
                account_id=run.subject or "",
            )
        )
        if isinstance(outcome, Checked):
            return Succeeded(outcome.result, outcome.apply, outcome.timelines)
        return Failed(outcome.code, outcome.payer_errors, outcome.apply, outcome.timelines, outcome.retryable)

    return execute
