"""A run's processes share their servers, and leave none behind, however the run ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.servers import ServerDidNotStart, kept, obtain, redis
from tests.servers.private import private, wait_until_dead
from tests.servers.redis import RedisRecipe
from tests.servers.shared import shared

ROOT: Final = Path(__file__).parents[2]
PYTEST: Final = (sys.executable, "-m", "pytest", "-q", "-p", "tests.servers.plugin", "-p", "no:cacheprovider")
ALL: Final = ("postgres", "kafka", "redis")

MEETING: Final = """
import os
from pathlib import Path
from redis import Redis

def test_meeting(redis_server, postgres_server, testrun_uid, worker_id):
    with Redis.from_url(redis_server.address.url(), socket_timeout=60) as client:
        client.rpush("here", *(2 * [f"{postgres_server.address.port}"]))
        mine, other = (client.blpop("here", timeout=60)[1] for _ in range(2))
    Path(f"{worker_id}.met").write_text(f"{redis_server.address.port} {postgres_server.address.port}")
"""

ROOM: Final = """
from redis import Redis

def test_served(redis_server):
    with Redis.from_url(redis_server.address.url()) as client, open("served", "a") as served:
        assert client.ping()
        print(redis_server.address.port, file=served)
"""

WAITING: Final = """
import json, os, signal
from pathlib import Path
from tests.processes import children
from tests.servers import kept
from tests.servers.plugin import run_directory

def test_waiting(request, WANTED):
    run = run_directory(request.config)
    first = [kept.pid(run / kind) for kind in KINDS]
    keepers = [int((run / kind / "keeper").read_text()) for kind in KINDS]
    rest = [child for pid in first for child in children(pid)]
    Path("waiting").write_text(json.dumps({"run": str(run), "pids": [os.getpid(), *keepers, *first, *rest]}))
    os.rename("waiting", "waits")
    os.write(os.open("bell", os.O_WRONLY), b"!")
    signal.pause()
"""


class Run:
    """A pytest run of its own over one test file in ``place``."""

    def __init__(self, place: Path, source: str, *options: str) -> None:
        (place / "test_inner.py").write_text(source)
        os.mkfifo(place / "bell")
        self._place = place
        self.process = subprocess.Popen(
            [*PYTEST, *options, "test_inner.py"],
            cwd=place, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def waits(self) -> dict[str, Any]:
        """What the test in it wrote down before it stood still."""
        with (self._place / "bell").open("rb") as bell:
            assert bell.read(1) == b"!"
        where: dict[str, Any] = json.loads((self._place / "waits").read_text())
        return where

    def ends(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=120)
        return self.process.returncode, output


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Runs that end with the test at the latest."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def waiting(kinds: tuple[str, ...]) -> str:
    return WAITING.replace("WANTED", ", ".join(f"{kind}_server" for kind in kinds)).replace("KINDS", repr(kinds))


def test_two_workers_share_one_server_of_a_kind(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    run = Run(tmp_path, MEETING, "-p", "xdist", "-n2", "--dist=each")
    started.append(run.process)
    status, output = run.ends()
    assert status == 0, output
    assert (tmp_path / "gw0.met").read_text() == (tmp_path / "gw1.met").read_text()


def test_a_run_that_asks_for_no_server_starts_none(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    source = "from tests.servers.plugin import run_directory\n"
    source += "def test_nothing(request):\n    assert not run_directory(request.config).exists()\n"
    run = Run(tmp_path, source)
    started.append(run.process)
    status, output = run.ends()
    assert status == 0, output


def test_rooms_that_each_import_the_fixture_get_one_server_which_lives_for_both(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    for room in ("a", "b"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "conftest.py").write_text("from tests.servers.plugin import redis_server")
        (tmp_path / room / f"test_{room}.py").write_text(ROOM)
    run = Run(tmp_path, "", "a", "b")
    started.append(run.process)
    status, output = run.ends()
    assert status == 0, output
    a, b = (tmp_path / "served").read_text().split()
    assert a == b


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_a_killed_run_leaves_no_process_and_no_file(
    tmp_path: Path, started: list[subprocess.Popen[str]], number: signal.Signals
) -> None:
    run = Run(tmp_path, waiting(ALL))
    started.append(run.process)
    where = run.waits()
    run.process.send_signal(number)
    run.ends()
    wait_until_dead(where["pids"])
    assert not Path(where["run"]).exists()


def test_a_run_ended_by_ctrl_c_has_ended_its_servers_when_it_returns(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    run = Run(tmp_path, waiting(("postgres", "redis")))
    started.append(run.process)
    where = run.waits()
    run.process.send_signal(signal.SIGINT)
    status, output = run.ends()
    assert status == pytest.ExitCode.INTERRUPTED, output
    assert not Path(where["run"]).exists()
    wait_until_dead(where["pids"])


def test_workers_whose_run_was_killed_leave_nothing_either(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    run = Run(tmp_path, waiting(("redis",)), "-p", "xdist", "-n1")
    started.append(run.process)
    where = run.waits()
    run.process.kill()
    run.ends()  # execnet gives a worker without a controller some seconds
    wait_until_dead(where["pids"])
    assert not Path(where["run"]).exists()


def test_a_killed_keeper_takes_its_server_along(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    run = Run(tmp_path, waiting(("postgres", "redis")))
    started.append(run.process)
    where = run.waits()
    pytest_process, first_keeper, second_keeper, *servers = where["pids"]
    os.kill(first_keeper, signal.SIGKILL)
    os.kill(second_keeper, signal.SIGKILL)
    wait_until_dead(servers)
    os.kill(pytest_process, signal.SIGINT)
    run.ends()
    assert not Path(where["run"]).exists()


def test_a_server_that_died_is_started_anew_for_the_next_who_comes(tmp_path: Path) -> None:
    run = kept.new_run()
    for _ in range(2):
        with shared(run / "redis", redis.shared_recipe, redis.revived, lock=tmp_path / "lock") as server:
            assert server.address.port in kept.PORTS
            os.kill(kept.pid(run / "redis"), signal.SIGKILL)
            kept.wait_until_gone(run / "redis")
    assert not run.exists()


async def test_a_port_that_somebody_took_meanwhile_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", kept.free_port())) as somebody:
        taken = somebody.getsockname()[1]
        recipes = iter([RedisRecipe(obtain.redis(), taken, "secret", redis.SETTINGS), RedisRecipe.new(obtain.redis())])
        async with private("redis", lambda: next(recipes)) as own:
            assert own.server.address.port != taken


async def test_a_program_that_cannot_be_run_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ServerDidNotStart, match=r"^Redis did not start: it could not be run\."):
        async with private("redis", lambda: RedisRecipe.new(tmp_path / "nothing-here")):
            pass
