"""A record as a FHIR R4 AuditEvent, after IHE's Basic Audit Log Patterns (BALP 1.1.3). Pure.

What succeeded claims the profile of its kind (Read, Query, Create, Update; with a member, the Patient one); those profiles are
for successes, so a refusal has their shape and outcome 4 and claims none. What is no such interaction is an ``operation``. A
break-glass is a security alert with purpose BTG, and so is the purpose of what was read through it. No network address is
recorded here: the client's stands there as unknown.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from session_platform.access.audit.chain import Entry

PROFILES: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
OBSERVER: Final = "session-platform"
MEMBERS: Final = "urn:session-platform:member"
SESSIONS: Final = "urn:session-platform:session"
SUBJECTS: Final = "urn:session-platform:subject"
BREAK_GLASS: Final = "break_glass"
SUBSCRIBE: Final = "timeline.subscribe"

_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_TERMS: Final = "http://terminology.hl7.org/CodeSystem/"
_INTERACTIONS: Final = "http://hl7.org/fhir/restful-interaction"
_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

Json = dict[str, Any]


def _coding(system: str, code: str, display: str) -> Json:
    return {"system": system, "code": code, "display": display}


_SOURCE_ROLE: Final = _coding(_DCM, "110153", "Source Role ID")
_DESTINATION_ROLE: Final = _coding(_DCM, "110152", "Destination Role ID")
_RECIPIENT: Final = _coding(_TERMS + "v3-ParticipationType", "IRCP", "information recipient")
_AUTHOR: Final = _coding(_TERMS + "v3-ParticipationType", "AUT", "author (originator)")
_BTG: Final = _coding(_TERMS + "v3-ActReason", "BTG", "break the glass")
_REST: Final = _coding(_TERMS + "audit-event-type", "rest", "RESTful Operation")


class _Interaction(NamedTuple):
    """How BALP writes a kind of access down. In a read the data flow from the server; in all others the request does."""

    profile: str | None
    type: Json
    subtype: Json
    action: str
    client: Json
    server: Json
    user: Json


def _restful(profile: str | None, code: str, action: str, user: Json) -> _Interaction:
    return _Interaction(profile, _REST, _coding(_INTERACTIONS, code, code), action, _SOURCE_ROLE, _DESTINATION_ROLE, user)


_READ: Final = _restful("Read", "read", "R", _RECIPIENT)._replace(client=_DESTINATION_ROLE, server=_SOURCE_ROLE)
_QUERY: Final = _restful("Query", "search", "E", _RECIPIENT)
_CREATE: Final = _restful("Create", "create", "C", _AUTHOR)
_UPDATE: Final = _restful("Update", "update", "U", _AUTHOR)
_OPERATION: Final = _restful(None, "operation", "E", _AUTHOR)
_ALERT: Final = _OPERATION._replace(
    type=_coding(_DCM, "110113", "Security Alert"),
    subtype=_coding(_DCM, "110127", "Emergency Override Started"),
    user=_RECIPIENT,
)
_OF_ACTION: Final[Mapping[str, _Interaction]] = MappingProxyType({"audit.read": _QUERY, BREAK_GLASS: _ALERT})
_OF_VERB: Final[Mapping[str, _Interaction]] = MappingProxyType(
    {
        "read": _READ,
        "subscribe": _QUERY,
        **dict.fromkeys(("create", "submit", "publish"), _CREATE),
        **dict.fromkeys(("end", "join", "cancel", "claim", "release", "start", "complete", "put", "delete"), _UPDATE),
    }
)


def line(entry: Entry) -> bytes:
    """The resource as one line of NDJSON."""
    return json.dumps(audit_event(entry), separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def audit_event(entry: Entry) -> Json:
    """The resource. Its id is the record's with a dash: FHIR's ids have no underscore."""
    interaction = _OF_ACTION.get(entry.action) or _OF_VERB.get(entry.action.rpartition(".")[2], _OPERATION)
    allowed = entry.outcome == "allowed"
    event: Json = {"resourceType": "AuditEvent", "id": entry.audit_id.replace("_", "-")}
    if allowed and interaction.profile is not None:
        patient = "" if entry.member_id is None else "Patient"
        event["meta"] = {"profile": [PROFILES + patient + interaction.profile]}
    event |= {
        "type": interaction.type,
        "subtype": [interaction.subtype],
        "action": interaction.action,
        "recorded": entry.at,
        "outcome": "0" if allowed else "4",
    }
    if not allowed and entry.reason is not None:
        event["outcomeDesc"] = entry.reason
    purpose = _purpose(entry)
    if purpose is not None:
        event["purposeOfEvent"] = [purpose]
    event["agent"] = _agents(entry, interaction, purpose)
    event["source"] = {
        "observer": {"display": OBSERVER},
        "type": [_coding(_TERMS + "security-source-type", "4", "Application Server")],
    }
    event["entity"] = _entities(entry, interaction)
    if allowed and purpose is None and entry.reason is not None:
        event["entity"][0]["description"] = entry.reason
    return event


def _purpose(entry: Entry) -> Json | None:
    """Why it was allowed, where that was no relationship; a subscription is given its own reason."""
    if entry.outcome != "allowed":
        return None
    if entry.action in {BREAK_GLASS, SUBSCRIBE} and entry.reason is not None:
        return {"coding": [_BTG], "text": entry.reason}
    return {"coding": [_BTG]} if entry.reason == BREAK_GLASS else None


def _agents(entry: Entry, interaction: _Interaction, purpose: Json | None) -> list[Json]:
    unknown = {"extension": [{"url": _ABSENT, "valueCode": "unknown"}]}
    client = {"type": {"coding": [interaction.client]}, "who": {"display": "client"}, "requestor": False, "network": unknown}
    server = {
        "type": {"coding": [interaction.server]},
        "who": {"display": OBSERVER},
        "requestor": False,
        "network": {"address": OBSERVER, "type": "1"},
    }
    user: Json = {
        "type": {"coding": [interaction.user]},
        "who": {"identifier": {"system": SUBJECTS, "value": entry.actor}},
        "requestor": True,
    }
    if purpose is not None:
        user["purposeOfUse"] = [{"coding": purpose["coding"]}]
    return [client, server, user]


def _entities(entry: Entry, interaction: _Interaction) -> list[Json]:
    entity: Json = {"type": _coding(_TERMS + "audit-entity-type", "2", "System Object")}
    if interaction is _QUERY:
        named = {name: value for name in ("member_id", "session_id") if (value := getattr(entry, name)) is not None}
        asked = f"{entry.action}?{urlencode(named)}"
        entity["role"] = _coding(_TERMS + "object-role", "24", "Query")
        entity["query"] = base64.b64encode(asked.encode()).decode()
    else:
        entity["role"] = _coding(_TERMS + "object-role", "4", "Domain Resource")
        entity["what"] = _thing(entry)
    if entry.member_id is None:
        return [entity]
    patient = {
        "what": {"type": "Patient", "identifier": {"system": MEMBERS, "value": entry.member_id}},
        "type": _coding(_TERMS + "audit-entity-type", "1", "Person"),
        "role": _coding(_TERMS + "object-role", "1", "Patient"),
    }
    return [entity, patient]


def _thing(entry: Entry) -> Json:
    """What was read or done: the record names the session, and else only the kind of thing."""
    kind = entry.action.partition(".")[0]
    if entry.session_id is None:
        return {"display": kind}
    return {"identifier": {"system": SESSIONS, "value": entry.session_id}, "display": kind}
