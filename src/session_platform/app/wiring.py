"""The composition root: every part of the platform, made once and handed to those who need it. Nobody else names an adapter."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from session_platform import directory, eligibility, log, timeline, twin
from session_platform.access import (
    Identity,
    KeyRing,
    OriginPolicy,
    Rights,
    RightsWatch,
    TokenVerifier,
    TransportPolicy,
    audit,
    forget_past,
    jwks_at,
)
from session_platform.app import wiring_careflow
from session_platform.app.development import development_secret
from session_platform.app.settings import Settings
from session_platform.app.upkeep import Upkeep
from session_platform.app.wiring_backends import backends, forget_published
from session_platform.app.wiring_telemetry import (
    Tally,
    Telemetry,
    census,
    counting_resumes,
    measured,
    telemetry,
    watched_executors,
    watched_way,
)
from session_platform.careflow import Careflow, Worker, assigned
from session_platform.clock import Clock
from session_platform.eligibility import Clearinghouse, Eligibility
from session_platform.enrollment import Enrollment, EnrollmentSystem
from session_platform.errors import StartError
from session_platform.gateway import Desk, Gate, Hub
from session_platform.ids import IdMint
from session_platform.sessions import ActiveWork, Monitor, Sessions, Touches, participates
from session_platform.store import Reader, Store, StoredEvent, Tx
from session_platform.store import secrets as kept_secrets
from session_platform.store.sqlite import SqliteStore
from session_platform.telemetry import Tracing, Way

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
    watch: RightsWatch
    follower: log.Follower
    groups: log.Groups
    acknowledgements: timeline.Acknowledgements
    touches: Touches
    monitor: Monitor
    worker: Worker
    sealer: audit.Sealer
    upkeep: Upkeep
    clearinghouse: Clearinghouse
    enrollment: EnrollmentSystem
    tally: Tally
    tracing: Tracing
    hub: Hub
    api: Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What everything else stands on."""

    settings: Settings
    clock: Clock
    ids: IdMint
    store: Store
    watch: RightsWatch
    figures: Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """How timelines are read in this process."""

    codec: timeline.CursorCodec
    windows: timeline.Windows
    router: timeline.Router
    way: Way[StoredEvent]
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
    enrollment: EnrollmentSystem
    doers: wiring_careflow.Doers


class _Said(NamedTuple):
    """What the platform says of itself, in sentences."""

    troubles: Callable[[], list[str]]
    notes: Callable[[], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Door:
    """Who is let in, and what they may do."""

    verifier: TokenVerifier
    rights: Rights
    origins: OriginPolicy
    transport: TransportPolicy


async def embedded(settings: Settings, clock: Clock, simulators_url: str, stopping: Callable[[], bool]) -> Parts:
    """All of it in one process on SQLite; what has no address in the settings is simulated at ``simulators_url``. Raises
    `StartError`."""
    ids = IdMint()
    figures = telemetry(settings)
    opened = await SqliteStore.open(settings.data, clock, ids, public_codes=frozenset(settings.public_codes))
    store = measured(opened, figures)
    ground = _Ground(settings=settings, clock=clock, ids=ids, store=store, watch=RightsWatch(store, clock), figures=figures)
    await _settle(ground)
    await ground.watch.look()
    reading = await _reading(ground)
    rooms = _rooms(ground, simulators_url)
    door = _door(ground)
    groups = log.Groups(log.Group(store, twin.GROUP, twin.handle, replayable=True))
    worker = Worker(
        store=store,
        careflow=rooms.careflow,
        executors=watched_executors(wiring_careflow.executors(rooms.careflow.catalogue, rooms.doers), figures),
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
        said = (
            store.trouble(),
            reading.follower.trouble(),
            groups.trouble(),
            door.verifier.trouble(),
            ground.watch.trouble(),
            stops,
        )
        return [sentence for sentence in said if sentence is not None]

    hub, tally = _hub(ground, reading, rooms, door), Tally(store)
    census(figures, hub, tally, groups.holding)
    return Parts(
        store=store,
        tally=tally,
        tracing=figures.tracing,
        watch=ground.watch,
        follower=reading.follower,
        groups=groups,
        acknowledgements=reading.acknowledgements,
        touches=rooms.touches,
        monitor=Monitor(store, rooms.sessions, rooms.touches, clock),
        worker=worker,
        sealer=audit.Sealer(store, clock, f"sealer-{secrets.token_hex(4)}"),
        upkeep=Upkeep(store, clock, settings.retention_days, groups.names, (forget_past, forget_published)),
        clearinghouse=rooms.clearinghouse,
        enrollment=rooms.enrollment,
        hub=hub,
        api=_api(ground, reading, rooms, door, _Said(troubles, lambda: [*groups.notes(), *worker.notes()])),
    )


async def _settle(ground: _Ground) -> None:
    """Bring the directory in."""
    seed = directory.load_seed(ground.settings.seed or directory.DEMO_SEED)
    await ground.store.run(lambda tx: directory.apply_seed(tx, seed))


async def _reading(ground: _Ground) -> _Reading:
    store = ground.store
    codec = timeline.CursorCodec(await _cursor_keys(store))
    windows = timeline.Windows(codec)
    router = timeline.Router(windows)
    way = watched_way(router.publish, store, ground.figures)
    return _Reading(
        codec=codec,
        windows=windows,
        router=router,
        way=way,
        follower=log.Follower(store, way.publish, router.ephemeral, ahead=ground.watch),
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


def _rooms(ground: _Ground, simulators_url: str) -> _Rooms:
    def active_work(reader: Reader, session_id: str) -> ActiveWork:
        return ActiveWork(*Careflow.active_work(reader, session_id))

    def ended_work(reader: Reader, session_id: str) -> ActiveWork:
        return ActiveWork(*Careflow.ended_work(reader, session_id))

    touches = Touches(ground.store, ground.clock, active_work)
    room = Sessions(active_work, ended_work, touches.pending)
    settings = ground.settings
    clearinghouse = Clearinghouse(
        settings.clearinghouse_url or simulators_url,
        settings.clearinghouse_api_key.get_secret_value(),
        ground.clock,
        provider_name=ground.settings.clearinghouse_provider_name,
        provider_npi=ground.settings.clearinghouse_provider_npi,
    )
    system = EnrollmentSystem(
        settings.enrollment_url or f"{simulators_url}/enrollment", settings.enrollment_api_key.get_secret_value()
    )
    return _Rooms(
        sessions=room,
        touches=touches,
        careflow=wiring_careflow.introduced(wiring_careflow.catalogue(settings), room),
        clearinghouse=clearinghouse,
        enrollment=system,
        doers=wiring_careflow.Doers(
            checks=Eligibility(ground.store, clearinghouse, directory.account, directory.holders),
            enrollment=Enrollment(system),
        ),
    )


def _door(ground: _Ground) -> _Door:
    settings = ground.settings
    origins, transport = _policies(settings)
    return _Door(
        verifier=TokenVerifier(
            KeyRing(jwks_at(settings.jwks), ground.clock) if settings.jwks else None,
            development_secret=development_secret(settings.data) if settings.insecure else None,
            issuers=settings.issuers,
            watch=ground.watch,
        ),
        rights=Rights((participates, assigned, directory.on_panel), _accounts_of),
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
        watch=ground.watch,
        acknowledgements=reading.acknowledgements,
        session_owner=rooms.sessions.owner,
        request_owner=rooms.careflow.owner,
        touch=touch,
        flags=_flags,
        clock=ground.clock,
        ids=ground.ids,
        located=counting_resumes(ground.figures.registry),
    )
    return Hub(desk, Gate(door.origins, door.transport.plaintext_refused), turns=reading.way)


def _api(ground: _Ground, reading: _Reading, rooms: _Rooms, door: _Door, said: _Said) -> Callable[..., Awaitable[None]]:
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
            twin=twin.read,
            ingest=backends(ground.store, rooms.sessions, rooms.careflow),
            flags=_flags,
            troubles=said.troubles,
            notes=said.notes,
            registry=ground.figures.registry,
            tracing=ground.figures.tracing,
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


def _accounts_of(reader: Reader, member_id: str) -> tuple[str, ...] | None:
    member = directory.member(reader, member_id)
    return None if member is None else member.account_ids
