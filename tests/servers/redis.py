"""Redis: a single node, with a password, that keeps nothing on disk unless asked to."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.servers import kept, obtain
from tests.servers.private import Private, private

DATABASES: Final = 1024
"""Number 0 counts the others, which are lent one a test."""

NOTHING: Final = '""'
SETTINGS: Final[Mapping[str, str]] = {"bind": "127.0.0.1", "databases": str(DATABASES), "save": ""}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    host: str
    port: int
    password: str

    def url(self, database: int = 0) -> str:
        return f"redis://:{self.password}@{self.host}:{self.port}/{database}"


@dataclass(frozen=True, slots=True)
class RedisSpace:
    """What one test has to itself: the empty database of ``url``; and, since all databases share channels and functions,
    ``prefix`` for their names."""

    url: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Redis:
    """A server that runs."""

    address: RedisAddress

    @contextlib.asynccontextmanager
    async def space(self) -> AsyncIterator[RedisSpace]:
        """Emptied at the end."""
        from redis.asyncio import Redis as Client

        async with Client.from_url(self.address.url()) as counting:
            number = 1 + await counting.incr("spaces") % (DATABASES - 1)
        space = RedisSpace(self.address.url(number), f"t{secrets.token_hex(6)}:")
        async with Client.from_url(space.url) as client:
            await client.flushdb()
            yield space
            await client.flushdb()


@dataclass(frozen=True, slots=True)
class RedisRecipe:
    executable: Path
    port: int
    password: str
    settings: Mapping[str, str]
    title: str = field(default="Redis", init=False)

    @classmethod
    def new(cls, executable: Path, settings: Mapping[str, str] | None = None, *, durable: bool = False) -> RedisRecipe:
        kept_on_disk = {"appendonly": "yes", "appendfsync": "always"} if durable else {"appendonly": "no"}
        return cls(executable, kept.free_port(), secrets.token_hex(16), {**SETTINGS, **kept_on_disk, **(settings or {})})

    @property
    def server(self) -> Redis:
        return Redis(RedisAddress("127.0.0.1", self.port, self.password))

    @property
    def address(self) -> Mapping[str, Any]:
        return asdict(self.server.address)

    def prepare(self, directory: Path) -> None:
        shutil.rmtree(directory / "data", ignore_errors=True)
        (directory / "data").mkdir()
        settings = {**self.settings, "port": str(self.port), "dir": str(directory / "data"), "requirepass": self.password}
        file = directory / "redis.conf"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name} {value or NOTHING}\n" for name, value in settings.items()))

    def program(self, directory: Path) -> kept.Program:
        return kept.Program((str(self.executable), str(directory / "redis.conf")), stop=signal.SIGTERM, end=signal.SIGKILL)

    def answers(self) -> bool:
        from redis import Redis as Client
        from redis.exceptions import RedisError

        try:
            with Client.from_url(self.server.address.url(), socket_timeout=1) as client:
                return bool(client.ping())
        except RedisError:
            return False


def shared_recipe() -> RedisRecipe:
    return RedisRecipe.new(obtain.redis())


def revived(address: Mapping[str, Any]) -> Redis:
    return Redis(RedisAddress(**address))


def private_redis(
    *, durable: bool = False, settings: Mapping[str, str] | None = None
) -> AbstractAsyncContextManager[Private[Redis]]:
    """A server of one's own. ``durable`` keeps each write on disk before it is answered; ``settings`` come on top."""
    return private("redis", lambda: RedisRecipe.new(obtain.redis(), settings, durable=durable))
