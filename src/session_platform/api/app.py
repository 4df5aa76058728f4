"""The API put together: its calls, how errors become answers, and the edge around it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from session_platform.api import (
    admin,
    audit,
    catalogue,
    contracts,
    events,
    members,
    operations,
    service_requests,
    sessions,
    tasks,
)
from session_platform.api.call import Call, NothingOpen, NotYours
from session_platform.api.describe import document
from session_platform.api.edge import Edge, allow
from session_platform.api.measure import Figures
from session_platform.api.once import Running
from session_platform.api.platform import Platform
from session_platform.api.problems import problem_of
from session_platform.api.reading import field_problems
from session_platform.errors import BadRequest, Forbidden, ForbiddenOrMissing, Invalid, MethodNotAllowed, PlatformError

RESOURCES: Final = (sessions, service_requests, tasks, members, catalogue, events, audit, admin, operations, contracts)


class Api(FastAPI):
    """FastAPI with a document of our own."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = document(self, [resource.router for resource in RESOURCES])
        return self.openapi_schema


def build(platform: Platform) -> FastAPI:
    """The ASGI application over ``platform``. One application a registry: its figures may be registered only once."""
    app = _routed()
    app.state.platform = platform
    app.state.running = Running()
    app.add_exception_handler(PlatformError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameters)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_middleware(Edge, platform=platform, figures=Figures(platform.registry), methods_of=methods_of)
    return app


def published_contracts() -> dict[str, bytes]:
    """Every contract of this build by name, as it is served: ``openapi``, ``asyncapi``, and each JSON Schema."""
    openapi = msgspec.json.encode(_routed().openapi())
    return {"openapi": openapi, "asyncapi": contracts.document("asyncapi"), **contracts.schemas()}


def _routed() -> Api:
    """All calls, over nothing yet."""
    app = Api(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for resource in RESOURCES:
        app.include_router(resource.router)
    return app


def methods_of(scope: Scope) -> frozenset[str]:
    """The methods of the path that was asked for, whatever the method was."""
    found: set[str] = set()
    for route in (route for resource in RESOURCES for route in resource.router.routes if isinstance(route, APIRoute)):
        match, _ = route.matches(scope)
        if match is not Match.NONE:
            found |= route.methods or set()
    return frozenset(found)


async def _refuse(request: Request, error: Exception) -> Response:
    """A refusal of rights is on record before its answer leaves; when it cannot be recorded, nothing is said but that."""
    assert isinstance(error, PlatformError)
    call: Call | None = getattr(request.state, "call", None)
    if call is not None and isinstance(error, Forbidden | ForbiddenOrMissing | NotYours) and not isinstance(error, NothingOpen):
        try:
            await call.refused(ForbiddenOrMissing.code if isinstance(error, NotYours) else error.code)
        except PlatformError as trouble:
            return problem_of(trouble)
    return problem_of(error)


async def _refuse_parameters(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_of(Invalid(*field_problems(error.errors())))


async def _refuse_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem_of(ForbiddenOrMissing())
    if error.status_code == 405:
        return problem_of(MethodNotAllowed(), {"Allow": allow(methods_of(request.scope))})
    return problem_of(BadRequest())
