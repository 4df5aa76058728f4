"""What handlers are given: JSON under its wire names, the envelope around it, and progress in Python's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from digital_session._generated import CATALOGUE

_PREFIX = "com.includedhealth.sessions."
_NAME_OF_TYPE = {spec.type: name for name, spec in CATALOGUE.items()}


class Record(dict[str, Any]):
    """A JSON object whose fields can also be read as attributes: ``task["task_type"]`` is ``task.task_type``.

    A field that is absent is an AttributeError or KeyError; ``get`` answers None for it.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"This record has no field {name!r}.") from None


def record(value: Any) -> Any:
    """``value`` with every JSON object in it, at any depth, as a `Record`."""
    if isinstance(value, Mapping):
        return Record({key: record(inner) for key, inner in value.items()})
    if isinstance(value, list):
        return [record(inner) for inner in value]
    return value


class Key(NamedTuple):
    """A place in one member's timeline that can be compared, as cursors cannot.

    The epoch comes first: after a restored backup numbers that were given out before are given out again for other events.
    """

    epoch: int
    seq: int


class Envelope(Record):
    """The CloudEvent as it came, with ``cursor`` beside its attributes: the position to resume from once it was handled."""

    @property
    def name(self) -> str:
        """The short name, such as ``task.assigned``."""
        return short_name(self["type"])

    @property
    def key(self) -> Key | None:
        """Its place in the timeline; None for an ephemeral event, which has none."""
        number = self.get("timelineseq")
        return None if number is None else Key(int(self.get("timelineepoch", 1)), int(number))

    @property
    def event(self) -> Record:
        """The CloudEvent alone, without ``cursor``."""
        return Record({name: value for name, value in self.items() if name != "cursor"})


def envelope(event: Mapping[str, Any], cursor: str) -> Envelope:
    """An `Envelope` of an event frame's fields. Raises TypeError for what is no CloudEvent of this platform."""
    arrived = Envelope({**record(event), "cursor": cursor})
    if not isinstance(arrived.get("type"), str) or not isinstance(arrived.get("data", {}), dict):
        raise TypeError("An event has a type, and its data is an object.")
    return arrived


def short_name(event_type: str) -> str:
    """The short name of a CloudEvents type; of one that this version does not know, its suffix."""
    known = _NAME_OF_TYPE.get(event_type)
    return known or event_type.removeprefix(_PREFIX).replace("-", "_")


def matches(pattern: str, name: str) -> bool:
    """Whether ``pattern`` (a short name, ``*`` or ``task.*``) covers the short ``name``."""
    if pattern == "*":
        return True
    return name.startswith(pattern[:-1]) if pattern.endswith(".*") else name == pattern


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a service request is.

    ``stage`` is QUEUED, SCHEDULED, EXECUTING or FINALIZING; ``estimated_seconds`` is None when nobody knows;
    ``percent_complete`` (0 to 100) never falls; ``tasks`` have ``task_id``, ``task_type`` and ``status``.
    """

    stage: str | None
    estimated_seconds: int | None
    percent_complete: int
    tasks: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Reset:
    """Continuity was lost: events may be missing before what comes next, so read state again.

    ``subscription`` says whose: what `Subscription.selection` says.
    """

    reason: str
    subscription: Mapping[str, Any]
