"""A part of the running platform breaks: the process ends at once and says so in one sentence; started again, it goes on."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.faults.clients import frames
from tests.faults.stage import stage
from tests.running import Running

BREAKING = (sys.executable, "-m", "tests.faults.breaking_part")


async def test_a_part_that_breaks_ends_the_process_with_a_sentence_and_the_next_start_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with Running(tmp_path / "data", program=BREAKING, log=log) as platform:
        token = await platform.token("--member", "M123456")
        async with platform.socket(token) as socket:
            os.kill(platform.pid, signal.SIGUSR1)
            assert await platform.ended() == 1
            with pytest.raises(ConnectionClosed):
                assert [frame async for frame in frames(socket)] == []
        *logged, sentence = log.read_text().splitlines()
        assert sentence.startswith(
            "session-platform: The platform ended because its monitor broke (LookupError at faults/breaking_part.py:"
        )
        assert ['"part": "monitor"' in line for line in logged] == [True]
        assert "words of a member" not in log.read_text()
        await platform.start()
        async with stage(platform) as on:
            assert (await on.actors[0].submit("after")).status_code == 202
            await on.actors[0].listener.journal.ended(on.actors[0].accepted.values())
