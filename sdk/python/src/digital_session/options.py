"""What a caller may choose, by name."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Required, TypedDict

import httpx2

from digital_session._backoff import Policy
from digital_session._generated import ServiceRequestPriority, SessionChannel, SessionType
from digital_session.storage import Storage

TokenProvider = Callable[[], Awaitable[str] | str]


@dataclass(frozen=True, slots=True)
class Reconnect(Policy):
    """How a lost connection is sought again: with full jitter, a random part of a bound that starts at ``base_s``.

    With the ``backoff`` ``"exponential"`` the bound doubles up to ``cap_s``, with ``"fixed"`` it stays. ``max_attempts`` counts
    since the last success; None never gives up. ``jitter`` answers numbers from 0 to 1.
    """

    jitter: Callable[[], float] = field(default=random.random)


@dataclass(frozen=True, slots=True)
class SessionDefaults:
    """What a session is when nothing else was said."""

    type: str = SessionType.APP
    channel: str = SessionChannel.MX_WEB
    intent: str | None = None


class ClientOptions(TypedDict, total=False):
    """``token`` or ``get_token`` is required; ``get_token`` may be asynchronous and is asked again before a token expires.

    ``device_id`` names this device for acknowledgements and for `get_active_session`. ``storage`` (`FileStorage`) keeps it,
    made up where none is given, and how far each session was handled, for the next run; with ``persist_submissions`` also what
    was submitted and not accepted yet, which is health data. ``in_use`` is asked at every heartbeat whether the person uses the
    application. ``hydrate=False`` leaves out what events only refer to. ``logger`` is told what nobody listens for, never
    health data. ``http_transport`` replaces the HTTP transport (a proxy, own certificates).
    """

    token: str
    get_token: TokenProvider
    device_id: str
    reconnect: Reconnect
    session: SessionDefaults
    storage: Storage
    persist_submissions: bool
    in_use: Callable[[], bool]
    hydrate: bool
    logger: logging.Logger
    http_transport: httpx2.AsyncBaseTransport


class Whose(TypedDict, total=False):
    """Whose session it is, where the token does not say."""

    member_id: str
    participants: Sequence[str]


class Selection(TypedDict, total=False):
    """What a subscription is about: exactly one of the ids; ``type`` may be left out.

    ``events`` are short names, ``*`` or ``task.*``; none means all. ``cursor`` resumes after it, ``since="beginning"`` starts
    with what is kept; without either a subscription starts now, one to service requests at the beginning. ``break_glass`` is a
    clinician's reason to look at a member without a care relationship, for this subscription alone.
    """

    type: Literal["session", "member", "service_request"]
    session_id: str
    member_id: str
    service_request_ids: Sequence[str]
    events: Sequence[str]
    cursor: str
    since: Literal["beginning"]
    break_glass: str


class ServiceRequestFields(TypedDict, total=False):
    """``service`` is a code of the catalogue; ``subject`` an account id, by default the session's."""

    service: Required[str]
    subject: str
    reason: str
    priority: ServiceRequestPriority | str
    data: Mapping[str, Any]
    target_role: str
    target_speciality: str
    current_call_id: str
