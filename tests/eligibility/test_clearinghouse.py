"""The client against servers that do everything a server can do wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from session_platform.clock import ManualClock
from session_platform.eligibility import FAILURES, Answered, Clearinghouse, Unanswered
from session_platform.eligibility.clearinghouse import ANSWER_MAX_BYTES
from tests.eligibility.answers import ACTIVE, NOT_FOUND, UNAVAILABLE, answer
from tests.eligibility.insured import Person
from tests.eligibility.server import Received, ask, saying, serving

TINY_S = 0.05


async def test_the_question_carries_the_key_and_the_idempotency_key_and_asks_about_the_insured() -> None:
    received = Received()
    async with serving(saying(200, ACTIVE), received) as url:
        assert await ask(url, key="task_7-2") == Answered(ACTIVE)
    head = received.heads[0].lower()
    assert head.startswith("post /2026-06-01/eligibility-check http/1.1\r\n")
    assert "authorization: key secret-key\r\n" in head
    assert "idempotency-key: task_7-2\r\n" in head
    sent = json.loads(received.bodies[0])
    assert sent["payerId"] == "BCBS1"
    assert sent["subscriber"]["memberId"] == "W789012"
    assert sent["encounter"] == {"services": [{"value": "30", "system": "STC"}]}


async def test_the_payer_is_told_who_asks() -> None:
    received = Received()
    async with serving(saying(200, ACTIVE), received) as url:
        client = Clearinghouse(url, "key", ManualClock(), provider_name="Elm Street Clinic", provider_npi="1234567893")
        await client.check(Person(), "task_1-1")
        await client.aclose()
    assert json.loads(received.bodies[0])["provider"] == {"name": {"organization": "Elm Street Clinic"}, "npi": "1234567893"}


@pytest.mark.parametrize("body", [NOT_FOUND, UNAVAILABLE])
async def test_a_payers_rejection_is_an_answer_kept_as_it_came(body: bytes) -> None:
    async with serving(saying(200, body)) as url:
        assert await ask(url) == Answered(body)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "clearinghouse_refused"),
        (401, "clearinghouse_refused"),
        (403, "clearinghouse_refused"),
        (404, "clearinghouse_refused"),
        (413, "clearinghouse_refused"),
        (408, "clearinghouse_unavailable"),
        (429, "clearinghouse_unavailable"),
        (500, "clearinghouse_unavailable"),
        (502, "clearinghouse_unavailable"),
        (503, "clearinghouse_unavailable"),
        (504, "clearinghouse_unavailable"),
        (202, "clearinghouse_refused"),
    ],
)
async def test_every_other_status_is_a_failure_with_a_class(status: int, code: str) -> None:
    async with serving(saying(status, b'{"message":"no"}')) as url:
        assert await ask(url) == Unanswered(code)


async def test_a_redirect_is_not_followed() -> None:
    elsewhere = Received()
    async with serving(saying(200, ACTIVE), elsewhere) as other, serving(saying(307, b"", f"location: {other}/x")) as url:
        assert await ask(url) == Unanswered("clearinghouse_refused")
    assert elsewhere.heads == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null", ACTIVE[:-1], answer(), gzip.compress(ACTIVE)])
async def test_an_answer_that_is_none_is_unreadable(body: bytes) -> None:
    async with serving(saying(200, body)) as url:
        assert await ask(url) == Unanswered("answer_unreadable")


async def test_a_huge_answer_is_not_read_to_its_end() -> None:
    stopped = asyncio.Event()

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b" " * (ANSWER_MAX_BYTES // 8))
                await writer.drain()
        stopped.set()

    async with serving(endless) as url:
        assert await ask(url) == Unanswered("answer_unreadable")
        await stopped.wait()


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def head_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
    await reader.read()


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Each byte in time for a time-out between bytes, the last one never."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0)


@pytest.mark.parametrize("behaviour", [silence, head_only, drip])
async def test_who_does_not_finish_answering_in_time_has_not_answered(behaviour: object) -> None:
    async with serving(behaviour) as url:  # type: ignore[arg-type]
        assert await ask(url, TINY_S) == Unanswered("payer_timeout")


async def hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def stop_halfway(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
    await writer.drain()


async def no_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("behaviour", [hang_up, stop_halfway, no_http])
async def test_a_connection_that_breaks_is_a_clearinghouse_out_of_reach(behaviour: object) -> None:
    async with serving(behaviour) as url:  # type: ignore[arg-type]
        assert await ask(url) == Unanswered("clearinghouse_unavailable")


async def test_nobody_listening_is_a_clearinghouse_out_of_reach() -> None:
    async with serving(hang_up) as url:
        pass
    assert await ask(url) == Unanswered("clearinghouse_unavailable")


@pytest.mark.parametrize("behaviour", [saying(401, b"{}"), saying(200, b"x"), hang_up, silence])
async def test_neither_the_member_nor_the_key_is_logged(behaviour: object, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as structured, caplog.at_level(logging.DEBUG):
        async with serving(behaviour) as url:  # type: ignore[arg-type]
            reply = await ask(url, TINY_S)
    assert isinstance(reply, Unanswered)
    assert reply.code in FAILURES
    said = repr(structured) + caplog.text
    person = Person()
    for secret in (person.member_id_at_payer, person.last_name, person.date_of_birth, "secret-key"):
        assert secret not in said
