"""Every call of the API that needs a token, as data: so that a promise about all of them is tested on all of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import httpx2

from tests.api.stage import APP


class Call(NamedTuple):
    """``path`` may name a session, request, task or coverage of the member; ``body`` is an acceptable one."""

    method: str
    path: str
    body: dict[str, Any] | None = None

    async def send(self, http: httpx2.AsyncClient, ids: dict[str, str], **options: Any) -> httpx2.Response:
        if self.body is not None and not {"json", "content"} & options.keys():
            options["json"] = self.body
        return await http.request(self.method, self.path.format(**ids), **options)


CALLS = (
    Call("POST", "/v1/sessions", APP),
    Call("GET", "/v1/sessions/active"),
    Call("GET", "/v1/sessions/{session}"),
    Call("GET", "/v1/members/{member}/sessions/active"),
    Call("POST", "/v1/sessions/{session}/heartbeat", {"active": True}),
    Call("POST", "/v1/sessions/{session}/end", {}),
    Call("POST", "/v1/sessions/{session}/participants", {"staff_id": "C001"}),
    Call("POST", "/v1/sessions/{session}/service-requests", {"service": "RTE"}),
    Call("GET", "/v1/service-requests/{request}"),
    Call("GET", "/v1/service-requests/{request}/result"),
    Call("POST", "/v1/service-requests/{request}/cancel", {}),
    Call("GET", "/v1/services"),
    Call("GET", "/v1/members/{member}/tasks"),
    Call("GET", "/v1/tasks"),
    Call("GET", "/v1/tasks/{task}"),
    Call("POST", "/v1/tasks/{task}/start", {}),
    Call("POST", "/v1/tasks/{task}/complete", {"outcome": "SUCCESS", "result": {}}),
    Call("POST", "/v1/tasks/{task}/release", {}),
    Call("GET", "/v1/members/{member}/context"),
    Call("GET", "/v1/members/{member}/coverage"),
    Call("GET", "/v1/coverages/{coverage}"),
    Call("GET", "/v1/flags"),
)
OF_A_MEMBER = tuple(call for call in CALLS if "{" in call.path)
WITH_BODY = tuple(call for call in CALLS if call.body is not None)
REQUIRING_BODY = tuple(call for call in WITH_BODY if call.body)


def name_of(call: Call) -> str:
    return f"{call.method} {call.path}"
