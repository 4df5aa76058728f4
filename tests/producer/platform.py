"""A platform that takes events: by source and id once, a batch whole or not at all, and some it refuses."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import httpx2

Frame = dict[str, Any]
PROBLEM = {"Content-Type": "application/problem+json"}


def problem(status: int, code: str, errors: list[Frame] | None = None, **headers: str) -> httpx2.Response:
    body: Frame = {"type": "about:blank", "status": status, "code": code, "title": code, "detail": f"It is {code}."}
    return httpx2.Response(
        status,
        json=body if errors is None else {**body, "errors": errors},
        headers={**PROBLEM, **{name.replace("_", "-"): value for name, value in headers.items()}},
    )


class FakePlatform:
    """``poison``: ids it refuses by pointer; ``terse``: without one. ``body_max_bytes`` is what it takes at once."""

    def __init__(self, body_max_bytes: int = 256 * 1024) -> None:
        self.taken: dict[str, list[str]] = defaultdict(list)
        self.events: list[Frame] = []
        self.poison: set[str] = set()
        self.terse = False
        self.body_max_bytes = body_max_bytes
        self.requests: list[httpx2.Request] = []
        self.queued: list[httpx2.Response | Exception] = []
        self._known: set[tuple[str, str]] = set()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """What was queued first, then by the rules."""
        self.requests.append(request)
        if self.queued:
            queued = self.queued.pop(0)
            if isinstance(queued, Exception):
                raise queued
            return queued
        return self.take(request.headers["Content-Type"], request.content)

    def take(self, content_type: str, body: bytes) -> httpx2.Response:
        if len(body) > self.body_max_bytes:
            return problem(413, "too_large")
        batch = {"application/cloudevents-batch+json": True, "application/cloudevents+json": False}[content_type]
        events: list[Frame] = json.loads(body) if batch else [json.loads(body)]
        wrong = [index for index, event in enumerate(events) if event["id"] in self.poison]
        if wrong:
            pointers = [f"/{index}/data/task_id" if batch else "/data/task_id" for index in wrong]
            listed = [{"pointer": pointer, "detail": "is unknown"} for pointer in ([] if self.terse else pointers)]
            return problem(422, "invalid", listed)
        for event in events:
            name = (event["source"], event["id"])
            if name not in self._known:
                self._known.add(name)
                self.taken[event["data"]["member_id"]].append(event["id"])
                self.events.append(event)
        return httpx2.Response(202)


def refusing_to_connect(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("no route")


Handler = Callable[[httpx2.Request], httpx2.Response]
