"""The clearinghouse's own word on its API: the shapes in the ``stedi`` package, as an oracle.

The package needs a newer Python than the platform, so it is neither installed nor imported: its wheel, pinned by version and
hash in ``stedi.lock``, is fetched into ``.cache`` once, and its schema module (Smithy shapes as plain calls) is read as a
syntax tree.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

LOCK = Path(__file__).with_name("stedi.lock")
CACHE = Path(__file__).parents[2] / ".cache" / "oracles"
REQUEST = "CREATE_ELIGIBILITY_CHECK_INPUT"
ANSWER = "CREATE_ELIGIBILITY_CHECK_OUTPUT"
OPERATION = "CREATE_ELIGIBILITY_CHECK"
ERRORS = (
    "ELIGIBILITY_CHECK_SERIALIZATION_EXCEPTION",
    "AUTHENTICATION_FAILED_EXCEPTION",
    "CONTENT_TOO_LARGE_EXCEPTION",
    "FORBIDDEN_EXCEPTION",
    "INTERNAL_SERVER_EXCEPTION",
    "INVALID_REQUEST_EXCEPTION",
    "TOO_MANY_REQUESTS_EXCEPTION",
)


class Shape:
    """One Smithy shape: ``kind`` (STRUCTURE, LIST, UNION, ENUM, STRING, …), ``members`` by name, ``traits`` by name."""

    def __init__(self, call: ast.Call) -> None:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        kind = given.get("shape_type")
        self.kind = kind.attr if isinstance(kind, ast.Attribute) else "STRUCTURE"
        self.traits = _traits(given.get("traits"))
        members = given.get("members")
        self.members: dict[str, Member] = {}
        if isinstance(members, ast.Dict):
            for name, value in zip(members.keys, members.values, strict=True):
                assert isinstance(name, ast.Constant)
                assert isinstance(value, ast.Dict)
                self.members[str(name.value)] = Member(value)


class Member:
    """``target`` names a shape, or one of Smithy's own such as STRING."""

    def __init__(self, given: ast.Dict) -> None:
        values = {
            key.value: value for key, value in zip(given.keys, given.values, strict=True) if isinstance(key, ast.Constant)
        }
        self.target = ast.unparse(values["target"])
        self.traits = _traits(values.get("traits"))


class Shapes:
    """Every shape of the package, by the name of its constant."""

    def __init__(self, source: str) -> None:
        self._shapes: dict[str, Shape] = {}
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
                self._shapes[ast.unparse(statement.targets[0])] = Shape(statement.value)

    def __getitem__(self, name: str) -> Shape:
        return self._shapes[name]

    def find(self, name: str) -> Shape | None:
        return self._shapes.get(name)

    def enum(self, name: str) -> set[str]:
        """The values of an enum as they go over the wire."""
        return {member.traits["enumValue"] for member in self[name].members.values()}

    def problems(self, name: str, value: object) -> list[str]:
        """What keeps ``value`` (parsed JSON) from being of the shape; unknown members count."""
        return list(self._problems(name, value, "", {}))

    def _problems(self, name: str, value: object, path: str, traits: Mapping[str, Any]) -> Iterator[str]:
        shape = self.find(name)
        kind = shape.kind if shape else name
        match kind:
            case "STRUCTURE" | "UNION":
                assert shape is not None
                yield from self._object_problems(shape, value, path)
            case "LIST":
                assert shape is not None
                if not isinstance(value, list):
                    yield f"{path}: no list"
                    return
                for place, entry in enumerate(value):
                    yield from self._problems(shape.members["member"].target, entry, f"{path}/{place}", {})
            case "ENUM":
                if value not in self.enum(name):
                    yield f"{path}: not one of the enum {name}"
            case "STRING":
                yield from _text_problems(value, path, {**(shape.traits if shape else {}), **traits})
            case "INTEGER" | "LONG":
                if not isinstance(value, int) or isinstance(value, bool):
                    yield f"{path}: no integer"
            case _:
                raise AssertionError(f"a kind of shape that this oracle does not know: {kind}")

    def _object_problems(self, shape: Shape, value: object, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{path}: no object"
            return
        for name in value.keys() - shape.members.keys():
            yield f"{path}/{name}: unknown"
        for name, member in shape.members.items():
            if name in value:
                yield from self._problems(member.target, value[name], f"{path}/{name}", member.traits)
            elif "required" in member.traits:
                yield f"{path}/{name}: missing"
        if shape.kind == "UNION" and len(value) != 1:
            yield f"{path}: a union has exactly one member"


@functools.cache
def shapes() -> Shapes:
    """The shapes of the pinned package; fails the test in one sentence when the package registry is away."""
    requirement, _, digest = LOCK.read_text().strip().partition(" --hash=sha256:")
    name, _, version = requirement.partition("==")
    wheel = CACHE / f"{name}-{version}-py3-none-any.whl"
    if not wheel.exists():
        _fetch(wheel, requirement)
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == digest, f"{wheel} is not the file that {LOCK.name} pins: remove it"
    with zipfile.ZipFile(wheel) as archive:
        return Shapes(archive.read("stedi/_private/schemas.py").decode())


def _fetch(wheel: Path, requirement: str) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
                *("--only-binary=:all:", "--python-version", "3.12", "--require-hashes", "-r", str(LOCK), "-d", folder),
            ],
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(
                f"{requirement} could not be fetched: the check of our API shapes needs the package registry.", pytrace=False
            )
        (Path(folder) / wheel.name).replace(wheel)


def _traits(given: ast.expr | None) -> dict[str, Any]:
    if not isinstance(given, ast.List):
        return {}
    found = {}
    for trait in given.elts:
        assert isinstance(trait, ast.Call)
        parts = {keyword.arg: keyword.value for keyword in trait.keywords}
        shape_id = parts["id"]
        assert isinstance(shape_id, ast.Call)
        name = str(ast.literal_eval(shape_id.args[0])).rpartition("#")[2]
        found[name] = _plain(parts["value"]) if "value" in parts else None
    return found


def _plain(node: ast.expr) -> Any:
    """A literal in which mappings are wrapped and sequences are tuples, as what JSON would hold."""
    if isinstance(node, ast.Call):
        return _plain(node.args[0])
    if isinstance(node, ast.Dict):
        return {_plain(key): _plain(value) for key, value in zip(node.keys, node.values, strict=True) if key is not None}
    if isinstance(node, ast.Tuple | ast.List):
        return [_plain(entry) for entry in node.elts]
    return ast.literal_eval(node)


def _text_problems(value: object, path: str, traits: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{path}: no text"
        return
    length = traits.get("length") or {}
    if not length.get("min", 0) <= len(value) <= length.get("max", len(value)):
        yield f"{path}: too short or too long"
    if "pattern" in traits and not re.search(traits["pattern"], value):
        yield f"{path}: not of the pattern"
