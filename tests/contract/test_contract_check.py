"""``session-platform contract check``: one sentence for each thing that breaks, and an exit status that a pipeline can use."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from session_platform.api import published_contracts
from session_platform.app import contract_check
from session_platform.errors import StartError
from tests.contract.published import contract


def check(*arguments: str) -> Result:
    return CliRunner().invoke(contract_check.app, ["check", *arguments])


def saved(folder: Path, documents: dict[str, Any]) -> Path:
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


@contextmanager
def serving(documents: dict[str, Any]) -> Iterator[str]:
    """The address of a server of documents by path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = documents.get(self.path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def as_served(documents: dict[str, Any]) -> dict[str, Any]:
    schemas = {name: document for name, document in documents.items() if name not in {"openapi", "asyncapi"}}
    index = {"schemas": [{"name": name, "href": f"/schemas/{name}.json", "title": name} for name in schemas]}
    return {
        "/openapi.json": documents["openapi"],
        "/asyncapi.json": documents["asyncapi"],
        "/schemas.json": index,
        **{f"/schemas/{name}.json": document for name, document in schemas.items()},
    }


def older() -> dict[str, Any]:
    """What somebody relies on who knows a field of an event, a call and a contract that this build does not have."""
    documents = {name: json.loads(text) for name, text in published_contracts().items()}
    documents["task.completed"]["$defs"]["TaskCompletedEvent"]["properties"]["colour"] = {"type": "string"}
    documents["openapi"]["paths"]["/v1/colours"] = {"get": {"responses": {}}}
    documents["task.painted"] = {"$id": "urn:session-platform:schema:task.painted", "type": "object"}
    return documents


BROKEN = ["openapi: GET /v1/colours is gone.", "task.completed: /colour is gone.", "task.painted is gone."]


def test_this_builds_own_contracts_are_whole() -> None:
    result = check()
    assert (result.exit_code, result.output) == (0, f"{len(published_contracts())} contracts, nothing is broken.\n")


def test_what_breaks_is_said_and_the_status_is_1_from_a_folder_and_from_a_server(tmp_path: Path) -> None:
    from_folder = check("--against", str(saved(tmp_path, older())))
    with serving(as_served(older())) as address:
        from_server = check("--against", address)
        one = check("--against", f"{address}/schemas/task.completed.json")
    for result in (from_folder, from_server):
        assert (result.exit_code, sorted(result.output.splitlines())) == (1, BROKEN)
    assert (one.exit_code, one.output) == (1, "task.completed: /colour is gone.\n")


def test_who_relies_on_less_than_there_is_sees_nothing_broken(tmp_path: Path) -> None:
    one = saved(tmp_path, {"task.completed": contract("task.completed")})
    for place in (str(one), str(one / "task.completed.json")):
        assert check("--against", place).exit_code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("{}", "holds no contract"),
        ("[]", "holds no contract"),
        ('{"$id": "urn:example:other"}', "holds no contract"),
        ('{"openapi": "3.1.0"}', "damaged or was not published by this platform"),
        ('{"asyncapi": "3.0.0", "channels": {"gateway": {"messages": 7}}}', "damaged or was not published by this platform"),
    ],
)
def test_what_is_no_contract_of_ours_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "file.json").write_text(text)
    error = check("--against", str(tmp_path / "file.json")).exception
    assert isinstance(error, StartError)
    assert said in str(error)


def test_a_server_that_does_not_answer_or_is_none_of_ours_is_one_sentence() -> None:
    with serving({"/schemas.json": {"schemas": []}}) as address:
        error = check("--against", address).exception
        assert isinstance(error, StartError)
        assert str(error) == f"{address}/openapi.json answers 404: is it the address of a Digital Session Platform?"
    error = check("--against", address).exception
    assert isinstance(error, StartError)
    assert "cannot be read (ConnectError)" in str(error)


def test_faults_of_our_own_would_be_found() -> None:
    broken: contract_check.Contracts = {
        "openapi": {"paths": {"/x": {"$ref": "#/components/schemas/None"}}},
        "task.completed": {"type": "nothing"},
    }
    sentences = contract_check.faults(broken)
    assert sentences[0] == "openapi: the reference #/components/schemas/None leads nowhere."
    assert sentences[1].startswith("task.completed: it is no JSON Schema")
