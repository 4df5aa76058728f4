"""What a start says when it cannot serve, and what it survives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import socket
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import httpx2
import pytest
from joserfc.jwk import ECKey, KeySet

from session_platform.app.settings import PREFIX
from tests.running import COMMAND, Running, command


def a_jwks() -> str:
    keys: str = json.dumps(KeySet([ECKey.generate_key("P-256", {"kid": "k"})]).as_dict(private=False))
    return keys


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory."),
        ("not json", "is no JWKS"),
        ("[]", "is no JWKS"),
        ('{"keys": []}', "without a key"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "without a key"),
    ],
    ids=["missing", "not JSON", "a list", "empty", "a secret"],
)
async def test_a_jwks_file_that_cannot_be_used_ends_the_start_in_one_sentence(
    content: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(f"{PREFIX}JWKS", str(path))
    status, out, err = await command("up", "--port", "0", "--data", str(tmp_path / "data"))
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith("session-platform: SESSION_PLATFORM_JWKS names a file ")
    assert said in err
    assert not (tmp_path / "data").exists()


async def test_a_jwks_address_that_is_away_does_not_keep_it_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}JWKS", "http://127.0.0.1:1/jwks.json")
    async with Running(tmp_path / "data") as platform, httpx2.AsyncClient(base_url=platform.url) as http:
        answer = await http.get("/readyz")
        assert (await http.get("/healthz")).status_code == 200
    assert answer.status_code == 503
    assert "The JWKS that verifies tokens could not be read." in answer.text


async def test_a_jwks_file_that_is_one_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(a_jwks())
    monkeypatch.setenv(f"{PREFIX}JWKS", str(path))
    async with Running(tmp_path / "data") as platform, httpx2.AsyncClient(base_url=platform.url) as http:
        (key,) = (await http.get("/.well-known/jwks.json")).json()["keys"]
    assert key["kid"] == "k"


@pytest.mark.parametrize("lifetime", ["0", "315360001", "999999999999"])
async def test_a_token_that_nobody_would_accept_is_not_minted(lifetime: str, tmp_path: Path) -> None:
    status, out, err = await command(
        "token", "--member", "M123456", "--expires-in", lifetime, "--data", str(tmp_path), stdin=None
    )
    assert (status, out) == (2, "")
    assert "--expires-in" in err


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"], ids=["stdin", "stdout", "stderr", "all"])
async def test_it_serves_and_ends_with_standard_streams_closed(closed: str, tmp_path: Path) -> None:
    port = _free_port()
    up = f"{shlex.quote(COMMAND)} up --insecure --port {port} --data {shlex.quote(str(tmp_path / 'data'))}"
    process = await asyncio.create_subprocess_shell(
        f"exec {up} {closed}", stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env={**os.environ, f"{PREFIX}DRAIN_SECONDS": "0"}
    )
    async with asyncio.timeout(60), httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        while not await _is_ready(http):  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


async def _is_ready(http: httpx2.AsyncClient) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return (await http.get("/readyz")).status_code == 200
    return False


async def test_the_command_that_it_prints_works_as_it_is(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        (line,) = [line for line in platform.banner if "check-coverage" in line]
        process = await asyncio.create_subprocess_shell(line, stdout=PIPE, stderr=PIPE)
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "ACTIVE" in out.decode()
