"""The log is told of trouble, and makes none."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

PROGRAM = """
import logging, resource, signal, sys
import structlog
from session_platform.app import logs

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
logs.configure()
structlog.get_logger("ours").warning("before")
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
for number in range(10_000):
    structlog.get_logger("ours").warning("no space", number=number)
    logging.getLogger("a library's").warning("no space %s", number)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
structlog.get_logger("ours").warning("space again")
sys.stdout.write("went on")
"""


TRACED = """
import logging
import structlog
from session_platform.app import logs

logs.configure("info")
log = structlog.get_logger("ours")
with structlog.contextvars.bound_contextvars(trace_id="4bf9"):
    log.info("inside")
    logging.getLogger("a library's").warning("inside too")
    log.debug("too quiet")
log.info("outside")
"""


async def test_a_line_says_which_trace_it_belongs_to_and_quiet_ones_are_left_out() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", TRACED, stderr=PIPE)
    _, said = await process.communicate()
    lines = [json.loads(line) for line in said.splitlines()]
    assert [(line["event"], line.get("trace_id")) for line in lines] == [
        ("inside", "4bf9"),
        ("inside too", "4bf9"),
        ("outside", None),
    ]


async def test_a_full_disk_under_the_log_stops_nobody(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, stdout=PIPE, stderr=file)
        out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"went on")
    lines = log.read_text().splitlines()
    assert '"before"' in lines[0]
    assert '"space again"' in lines[-1]
