"""What operators and other machines ask: health, readiness, figures and keys."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from session_platform.api.call import answer
from session_platform.api.describe import TEXT, Content, described, record
from session_platform.api.platform import Platform
from session_platform.api.problems import KINDS, Problem, answer_with
from session_platform.errors import PROBLEM_TYPES

RETRY_AFTER_S: Final = 1
router = APIRouter()


@router.get("/healthz", **described("Whether the process lives.", schema=record(status={"const": "ok"}), public=True))
async def read_health() -> Response:
    return answer({"status": "ok"})


@router.get(
    "/readyz",
    **described(
        "Whether it can serve; `notes` say what an operator should look at all the same.",
        schema=record(status={"const": "ready"}, notes={"type": "array", "items": TEXT}),
        problems=(503,),
        public=True,
    ),
)
async def read_readiness(request: Request) -> Response:
    platform: Platform = request.app.state.platform
    troubles = tuple(platform.troubles())
    if not troubles:
        return answer({"status": "ready", "notes": tuple(platform.notes())})
    problem = Problem(
        type=PROBLEM_TYPES + "unavailable",
        title=KINDS["unavailable"].title,
        status=503,
        detail="Not every part is ready; `troubles` names those that are not.",
        code="unavailable",
        troubles=troubles,
    )
    return answer_with(problem, {"Retry-After": str(RETRY_AFTER_S)})


@router.get("/metrics", **described("Figures for Prometheus.", schema=Content("text/plain", TEXT), public=True))
async def read_metrics(request: Request) -> Response:
    platform: Platform = request.app.state.platform
    return Response(generate_latest(platform.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


@router.get(
    "/.well-known/jwks.json",
    **described(
        "The public keys that tokens are verified with.",
        schema=record(keys={"type": "array", "items": {"type": "object"}}),
        public=True,
    ),
)
async def read_keys(request: Request) -> Response:
    platform: Platform = request.app.state.platform
    return answer(platform.verifier.public_jwks())
