"""The same on the loop that serves in production; the other tests run on the standard library's."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from session_platform.clock import ManualClock
from session_platform.ids import IdMint
from session_platform.store.sqlite import SqliteStore
from tests.gateway import test_drain, test_raw_bytes, test_transport
from tests.gateway.stage import Stage


@pytest.mark.parametrize(
    "scenario",
    [
        test_transport.test_a_member_replays_goes_live_without_a_seam_and_resumes,
        test_raw_bytes.test_a_close_is_answered_with_its_code_after_what_was_asked_before_it,
        test_raw_bytes.test_who_does_not_answer_a_close_is_cut_off,
        test_raw_bytes.test_who_breaks_the_rfc_in_mid_flood_still_learns_why,
        test_raw_bytes.test_a_half_open_connection_is_noticed_by_pings,
        test_drain.test_a_drain_cuts_off_who_does_not_answer,
        test_transport.test_a_newer_connection_replaces_the_one_it_names_and_no_one_elses,
        test_raw_bytes.test_a_client_that_goes_without_a_word_leaves_nothing_behind,
        test_transport.test_the_upgrade_itself_can_be_refused,
        test_drain.test_a_drain_says_goodbye_to_everybody_with_spread_delays_and_closes_with_1012,
        test_raw_bytes.test_a_slow_reader_gets_all_of_a_replay_at_its_own_pace_and_one_that_stops_is_told_why,
        test_transport.test_a_replay_longer_than_the_window_and_the_buffers_arrives_whole,
    ],
)
def test_the_loop_that_serves_in_production_behaves_alike(scenario: Callable[..., Awaitable[None]], tmp_path: Path) -> None:
    async def on_uvloop() -> None:
        clock = ManualClock()
        store = await SqliteStore.open(tmp_path / "store", clock, IdMint())
        given: dict[str, Any] = {"store": store, "clock": clock}
        wanted = inspect.signature(scenario).parameters
        async with AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            if "stage" in wanted:
                given["stage"] = await stack.enter_async_context(Stage(store, clock).serving())
            await scenario(**{name: value for name, value in given.items() if name in wanted})

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(on_uvloop())
