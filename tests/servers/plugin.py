"""Fixtures: the run's shared servers. The first test that asks for one starts it; a run that asks for none starts nothing.

A room's ``conftest.py`` imports those that it uses; all rooms get the same servers.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from tests.servers import kafka, kept, postgres, redis
from tests.servers.packages import CACHE
from tests.servers.shared import shared

S = TypeVar("S")
RUN: Final = pytest.StashKey[Path]()
SERVERS: Final = pytest.StashKey[dict[str, Any]]()


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> postgres.Postgres:
    """`Postgres.database` gives a test its own database."""
    return _started("postgres", postgres.shared_recipe, postgres.revived, request.config)


@pytest.fixture(scope="session")
def kafka_server(request: pytest.FixtureRequest) -> kafka.Kafka:
    """`Kafka.prefix` gives a test its own topics."""
    return _started("kafka", kafka.shared_recipe, kafka.revived, request.config)


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> redis.Redis:
    """`Redis.space` gives a test its own keys."""
    return _started("redis", redis.shared_recipe, redis.revived, request.config)


def _started(
    name: str, recipe: Callable[[], kept.Recipe[S]], revived: Callable[[dict[str, Any]], S], config: pytest.Config
) -> S:
    """Held until this process's part of the run is over, and held once, however many rooms import the fixture."""

    def make() -> kept.Recipe[S]:
        with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():  # it says what it installs
            return recipe()

    servers = config.stash.setdefault(SERVERS, {})
    if name not in servers:
        held = contextlib.ExitStack()
        servers[name] = held.enter_context(
            shared(run_directory(config) / name, make, revived, lock=CACHE / f"{name}.started.lock")
        )
        config.add_cleanup(held.close)
    server: S = servers[name]
    return server


def run_directory(config: pytest.Config) -> Path:
    """Where the servers of this run are: one place for all its workers."""
    if RUN not in config.stash:
        worker: dict[str, Any] = getattr(config, "workerinput", {"testrunuid": uuid.uuid4().hex})
        config.stash[RUN] = kept.temporary_root() / f"sps-{worker['testrunuid'][:16]}"
    return config.stash[RUN]
