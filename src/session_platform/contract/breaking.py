"""What in a contract breaks somebody who relies on an earlier one, in sentences. Pure.

The promise is asymmetric. Who *reads* what is sent breaks when a field goes, may be absent or changes its type; a new field or
enum value is no break, since receivers ignore what they do not know. Who *sends* breaks when something is no longer taken or
newly required. An event's full schema is both: some read it, some publish it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Flag, auto
from typing import Any, Final

from session_platform.contract.shape import Document, Shape, shape_of

Placed = tuple[Mapping[str, Any], Document]
"""A call, and the document that its references lead into."""
METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class Way(Flag):
    """Which way a document travels, seen from the platform."""

    SENT = auto()
    TAKEN = auto()


def way_of(name: str) -> Way:
    """Which way the JSON Schema of this name travels."""
    variant = name.rpartition(".")[2]
    return {"delivered": Way.SENT, "published": Way.TAKEN}.get(variant, Way.SENT | Way.TAKEN)


def of_schema(before: Document, now: Document, way: Way) -> list[str]:
    """What breaks between two JSON Schemas."""
    return list(_shapes(shape_of(before, before), shape_of(now, now), way, "", frozenset()))


def of_openapi(before: Document, now: Document) -> list[str]:
    """What breaks between two OpenAPI documents."""
    calls = {_call(method, path): call for path, method, call in _calls(now)}
    found: list[str] = []
    for path, method, call in _calls(before):
        name = f"{method.upper()} {path}"
        other = calls.get(_call(method, path))
        if other is None:
            found.append(f"{name} is gone.")
        else:
            found += [f"{name}: {sentence}" for sentence in _of_call((call, before), (other, now))]
    return found


def of_asyncapi(before: Document, now: Document) -> list[str]:
    """What breaks between two AsyncAPI documents of this platform."""
    found: list[str] = []
    for name, channel in before["channels"].items():
        other = now["channels"].get(name)
        if other is None:
            found.append(f"Channel {name} is gone.")
            continue
        found += [f"Channel {name}: {sentence}" for sentence in _of_topic(channel, other)]
        for message in channel["messages"]:
            if message not in other["messages"]:
                found.append(f"Channel {name}: message {message} is gone.")
                continue
            way = Way.TAKEN if message.startswith("client.") else Way.SENT
            shapes = [shape_of(_payload(document, message), document) for document in (before, now)]
            found += [f"{name}, {message}: {sentence}" for sentence in _shapes(shapes[0], shapes[1], way, "", frozenset())]
    return found


def _calls(document: Document) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, calls in document["paths"].items():
        for method in METHODS:
            if method in calls:
                yield path, method, calls[method]


def _call(method: str, path: str) -> tuple[str, str]:
    """The names of what stands in a path make no difference."""
    return method, re.sub(r"{\w+}", "{}", path)


def _of_call(before: Placed, now: Placed) -> Iterator[str]:
    (old, old_document), (new, new_document) = before, now
    if new.get("security") and not old.get("security"):
        yield "it needs a token now."
    yield from _of_parameters(before, now)
    yield from _of_request(before, now)
    for status, answer in old["responses"].items():
        if not status.startswith("2"):
            continue
        other = new["responses"].get(status)
        if other is None:
            yield f"it answers no {status} any more."
            continue
        for media_type, content in answer.get("content", {}).items():
            there = other.get("content", {}).get(media_type)
            if there is None:
                yield f"its answer {status} is no {media_type} any more."
                continue
            shapes = shape_of(content["schema"], old_document), shape_of(there["schema"], new_document)
            yield from (f"answer {status}: {each}" for each in _shapes(*shapes, Way.SENT, "", frozenset()))


def _of_parameters(before: Placed, now: Placed) -> Iterator[str]:
    old, new = (
        {_parameter(each): each for each in call.get("parameters", ()) if each["in"] != "path"} for call, _ in (before, now)
    )
    for name, parameter in old.items():
        if name not in new:
            yield f"parameter {name} is gone."
            continue
        shapes = shape_of(parameter["schema"], before[1]), shape_of(new[name]["schema"], now[1])
        yield from (f"parameter {name}: {each}" for each in _shapes(*shapes, Way.TAKEN, "", frozenset()))
    for name, parameter in new.items():
        if parameter.get("required") and not old.get(name, {}).get("required"):
            yield f"parameter {name} is required now."


def _parameter(parameter: Mapping[str, Any]) -> str:
    return f"{parameter['name']} ({parameter['in']})"


def _of_request(before: Placed, now: Placed) -> Iterator[str]:
    old, new = (call.get("requestBody", {}) for call, _ in (before, now))
    if new.get("required") and not old.get("required"):
        yield "a body is required now."
    for media_type, content in old.get("content", {}).items():
        there = new.get("content", {}).get(media_type)
        if there is None:
            yield f"it takes no {media_type} any more."
            continue
        shapes = shape_of(content["schema"], before[1]), shape_of(there["schema"], now[1])
        yield from (f"body: {each}" for each in _shapes(*shapes, Way.TAKEN, "", frozenset()))


def _payload(document: Document, message: str) -> Mapping[str, Any]:
    payload: Mapping[str, Any] = document["components"]["messages"][message]["payload"]
    return payload


def _of_topic(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = (channel.get("bindings", {}).get("kafka") for channel in (before, now))
    if old is None or new is None:
        return
    if before.get("x-key") != now.get("x-key"):
        yield f"records are keyed by {now.get('x-key')} and no more by {before.get('x-key')}: their order changes."
    if old["partitions"] != new["partitions"]:
        yield f"{new['partitions']} partitions instead of {old['partitions']}: keys move, and order is lost meanwhile."
    kept, keeps = (topic["topicConfiguration"]["retention.ms"] for topic in (old, new))
    if keeps < kept:
        yield f"records are kept {keeps // 3_600_000} hours and no more {kept // 3_600_000}."


def _shapes(before: Shape, now: Shape, way: Way, at: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """``above``: the pairs that are being compared further up; a schema may contain itself."""
    pair = (before.identity, now.identity)
    if pair in above:
        return
    above |= {pair}
    where = at or "the whole"
    yield from _types(before, now, way, where)
    yield from _values(before, now, way, where)
    yield from _bounds(before, now, way, where)
    yield from _fields(before, now, way, at)
    for name, old in before.properties.items():
        if name in now.properties:
            yield from _shapes(before.resolved(old), now.resolved(now.properties[name]), way, f"{at}/{name}", above)
    if before.items is not None and now.items is not None:
        yield from _shapes(before.resolved(before.items), now.resolved(now.items), way, f"{at}/*", above)
    yield from _variants(before, now, way, (at, above))


def _types(before: Shape, now: Shape, way: Way, where: str) -> Iterator[str]:
    if before.types is None and now.types is None:
        return
    lost = before.type_names - now.type_names
    won = now.type_names - before.type_names
    if Way.TAKEN in way and lost:
        yield f"{where} may no longer be {_either(lost)}."
    elif Way.SENT in way and won:
        yield f"{where} may now be {_either(won)}, before only {_either(before.type_names)}."


def _values(before: Shape, now: Shape, way: Way, where: str) -> Iterator[str]:
    """What is sent may get new values: receivers ignore what they do not know."""
    if now.values is None:
        return
    if before.values is None:
        if Way.TAKEN in way:
            yield f"{where} may now only be {_either(now.values)}."
        return
    gone = before.values - now.values
    # A constant that is sent tells things apart: another is another thing.
    if gone and (Way.TAKEN in way or gone == before.values):
        yield f"{where} may no longer be {_either(gone)}."


def _bounds(before: Shape, now: Shape, way: Way, where: str) -> Iterator[str]:
    if Way.TAKEN not in way:
        return
    for name, bound in now.bounds.items():
        old = before.bounds.get(name)
        if isinstance(bound, str) or isinstance(old, str):
            narrower = bound != old
        else:
            narrower = old is None or (bound < old if name.startswith(("max", "exclusiveMax")) else bound > old)
        if narrower:
            yield f"{where} is bounded by {name} {bound}" + (" now." if old is None else f", before {old}.")


def _fields(before: Shape, now: Shape, way: Way, at: str) -> Iterator[str]:
    """What is taken or sent by name."""
    for name in (each for each in before.properties if each not in before.refused):
        if name not in now.properties or name in now.refused:
            yield f"{at}/{name} is gone."
        elif Way.SENT in way and name in before.required and name not in now.required:
            yield f"{at}/{name} may now be absent."
    if Way.TAKEN in way:
        yield from (f"{at}/{name} is required now." for name in sorted(now.required - before.required))


def _variants(before: Shape, now: Shape, way: Way, here: tuple[str, frozenset[tuple[int, int]]]) -> Iterator[str]:
    """Each thing that could be before must be possible now; a variant is found again by its tag, or because it fits."""
    at, above = here
    others = [now.resolved(each) for each in now.variants]
    for variant in (before.resolved(each) for each in before.variants):
        alike = [other for other in others if other.tag == variant.tag] if variant.tag else others
        found = [list(_shapes(variant, other, way, at, above)) for other in alike]
        if not found:
            yield f"{at or 'the whole'}: the variant {variant.name} is gone."
        elif all(found):
            yield from min(found, key=len)


def _either(values: Sequence[object] | frozenset[Any]) -> str:
    return " or ".join(sorted(str(each) for each in values)) or "nothing"
