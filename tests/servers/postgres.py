"""PostgreSQL: over TCP on 127.0.0.1, with a password; root's runs as nobody."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.servers import kept, obtain
from tests.servers.private import Private, private

if TYPE_CHECKING:
    from psycopg import AsyncConnection

USER: Final = "app"
MAINTENANCE: Final = "postgres"
"""The database from which others are made; nobody's data is in it."""

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    # No socket file: nothing that has to be short, or be removed after a kill -9.
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    # Every worker's tests have pools of their own.
    "max_connections": "300",
    # No checkpoint in the middle of a test that measures.
    "max_wal_size": "4GB",
}
FAST: Final[Mapping[str, str]] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""Kept over kill -9 of the server, not over a power failure: the machine's page cache has it all."""


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    host: str
    port: int
    user: str
    password: str

    def url(self, database: str = MAINTENANCE) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that runs."""

    address: PostgresAddress

    @contextlib.asynccontextmanager
    async def database(self, template: str = "template0") -> AsyncIterator[str]:
        """The URL of a new database, a copy of ``template``; gone at the end, with whoever is still connected."""
        name = f"t{secrets.token_hex(8)}"
        await self._do('CREATE DATABASE "{}" TEMPLATE "{}"', name, template)
        try:
            yield self.address.url(name)
        finally:
            await self._do('DROP DATABASE IF EXISTS "{}" WITH (FORCE)', name)

    async def template(self, name: str, fill: Callable[[str], Awaitable[None]]) -> str:
        """``name``, for `database`: made once for all processes of the run, by ``fill`` over the URL of an empty database."""
        async with self._connection() as connection:
            # One of the processes makes it; the lock ends with the connection.
            await connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if await found.fetchone() is None:
                unfinished = f"{name}.unfinished"
                await self._do('DROP DATABASE IF EXISTS "{}" WITH (FORCE)', unfinished)
                await self._do('CREATE DATABASE "{}" TEMPLATE template0', unfinished)
                await fill(self.address.url(unfinished))
                await self._do('ALTER DATABASE "{}" RENAME TO "{}"', unfinished, name)
        return name

    async def _do(self, statement: str, *names: str) -> None:
        """Statements on databases take no parameters and run in no transaction."""
        assert not any('"' in name for name in names)
        async with self._connection() as connection:
            await connection.execute(statement.format(*names).encode())

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        from psycopg import AsyncConnection

        async with await AsyncConnection.connect(self.address.url(), autocommit=True, connect_timeout=30) as connection:
            yield connection


@dataclass(frozen=True, slots=True)
class PostgresRecipe:
    programs: Path
    port: int
    password: str
    settings: Mapping[str, str]
    title: str = field(default="PostgreSQL", init=False)

    @classmethod
    def new(cls, programs: Path, settings: Mapping[str, str] | None = None, *, durable: bool = False) -> PostgresRecipe:
        chosen = {**SETTINGS, **({} if durable else FAST), **(settings or {})}
        return cls(programs, kept.free_port(), secrets.token_hex(16), chosen)

    @property
    def server(self) -> Postgres:
        return Postgres(PostgresAddress("127.0.0.1", self.port, USER, self.password))

    @property
    def address(self) -> Mapping[str, Any]:
        return asdict(self.server.address)

    def prepare(self, directory: Path) -> None:
        data, password = directory / "data", directory / "password"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        password.write_text(self.password)
        password.chmod(0o600)
        uid, gid = _user() or (None, None)
        if uid is not None and gid is not None:
            for file in (data, password):
                os.chown(file, uid, gid)
        done = subprocess.run(
            [
                *(str(self.programs / "initdb"), "-D", str(data), "-U", USER, f"--pwfile={password}", "-A", "scram-sha-256"),
                *("--no-sync", "--no-instructions", "--locale=C", "-E", "UTF8"),
            ],
            cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            user=uid, group=gid, extra_groups=None if gid is None else [],
        )  # fmt: skip
        if done.returncode != 0:
            raise kept.ServerDidNotStart(f"PostgreSQL did not start: initdb ended with {done.returncode}:\n{done.stderr}")

    def program(self, directory: Path) -> kept.Program:
        settings = [
            part for name, value in {**self.settings, "port": str(self.port)}.items() for part in ("-c", f"{name}={value}")
        ]
        # SIGQUIT leaves no shared memory behind, as SIGKILL would.
        command = (str(self.programs / "postgres"), "-D", str(directory / "data"), *settings)
        return kept.Program(command, stop=signal.SIGINT, end=signal.SIGQUIT, user=_user())

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.server.address.url(), connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True


def _user() -> tuple[int, int] | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def shared_recipe() -> PostgresRecipe:
    return PostgresRecipe.new(obtain.postgres())


def revived(address: Mapping[str, Any]) -> Postgres:
    return Postgres(PostgresAddress(**address))


def private_postgres(
    *, durable: bool = False, settings: Mapping[str, str] | None = None
) -> AbstractAsyncContextManager[Private[Postgres]]:
    """A server of one's own. ``durable`` syncs as in production; ``settings`` come on top."""
    return private("postgres", lambda: PostgresRecipe.new(obtain.postgres(), settings, durable=durable))
