"""Kafka: one broker that is its own controller."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.servers import kept, obtain
from tests.servers.kafka_files import KafkaFiles
from tests.servers.private import Private, private

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

SETTINGS: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "log.dirs": "data",
    "auto.create.topics.enable": "false",
    # One broker: nobody else can have a copy.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Fast to its first group and transaction, small, and back within seconds of a kill -9, which leaves a session to run out.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "8388608",
}


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    host: str
    port: int

    @property
    def bootstrap(self) -> str:
        """For ``bootstrap.servers``."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker that runs."""

    address: KafkaAddress

    @contextlib.asynccontextmanager
    async def prefix(self) -> AsyncIterator[str]:
        """How the topics and groups of one test begin, and nobody else's. Its topics are gone at the end."""
        prefix = f"t{secrets.token_hex(6)}."
        try:
            yield prefix
        finally:
            await asyncio.to_thread(self._delete_topics, prefix)

    def admin(self) -> AdminClient:
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.address.bootstrap, "log_level": 2})

    def topics(self, prefix: str) -> list[str]:
        """Those that begin with ``prefix``, with every one whose creation had been answered before this call.

        A broker answers a creation before it shows the topic. It shows topics in the order in which they came to be, so
        when one that is made now is seen, so are those.
        """
        from confluent_kafka.cimpl import NewTopic

        admin, last = self.admin(), f"{prefix}{secrets.token_hex(6)}.last"
        admin.create_topics([NewTopic(last, 1, 1)])[last].result()
        deadline = time.monotonic() + kept.READY_WITHIN_S
        while last not in (seen := admin.list_topics(timeout=30).topics):
            if time.monotonic() > deadline:
                raise TimeoutError("Kafka does not show a topic that it has created")
            time.sleep(kept.LOOK_EVERY_S)
        admin.delete_topics([last])[last].result()
        return [name for name in seen if name.startswith(prefix) and name != last]

    def _delete_topics(self, prefix: str) -> None:
        if ours := self.topics(prefix):
            admin = self.admin()
            for done in admin.delete_topics(ours).values():
                done.result()


@dataclass(frozen=True, slots=True)
class KafkaRecipe:
    files: KafkaFiles
    port: int
    controller_port: int
    heap_mib: int
    settings: Mapping[str, str]
    writes_archive: Path | None = None
    title: str = field(default="Kafka", init=False)

    @classmethod
    def new(
        cls,
        files: KafkaFiles,
        settings: Mapping[str, str] | None = None,
        heap_mib: int = 512,
        writes_archive: Path | None = None,
    ) -> KafkaRecipe:
        return cls(files, kept.free_port(), kept.free_port(), heap_mib, settings or {}, writes_archive)

    @property
    def server(self) -> Kafka:
        return Kafka(KafkaAddress("127.0.0.1", self.port))

    @property
    def address(self) -> Mapping[str, Any]:
        return asdict(self.server.address)

    def prepare(self, directory: Path) -> None:
        listeners = f"PLAINTEXT://127.0.0.1:{self.port}"
        settings = {
            **SETTINGS,
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": listeners,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            **self.settings,
        }
        (directory / "server.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        shutil.rmtree(directory / "data", ignore_errors=True)
        shutil.copytree(self.files.home / "formatted", directory / "data")

    def program(self, directory: Path) -> kept.Program:
        command = self.files.command(directory / "server.properties", self.heap_mib)
        if self.writes_archive is not None:
            written = f"-XX:ArchiveClassesAtExit={self.writes_archive}"
            command = tuple(written if part.startswith("-XX:SharedArchiveFile=") else part for part in command)
        return kept.Program(command, stop=signal.SIGTERM, end=signal.SIGKILL)

    def answers(self) -> bool:
        from confluent_kafka import KafkaException

        try:
            # Its client waits longer and longer between attempts; a refused connection is known at once.
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return bool(self.server.admin().list_topics(timeout=1).brokers)
        except (OSError, KafkaException):
            return False


def shared_recipe() -> KafkaRecipe:
    return KafkaRecipe.new(obtain.kafka())


def revived(address: Mapping[str, Any]) -> Kafka:
    return Kafka(KafkaAddress(**address))


def private_kafka(
    *, settings: Mapping[str, str] | None = None, heap_mib: int = 512
) -> AbstractAsyncContextManager[Private[Kafka]]:
    """A broker of one's own. ``settings`` come on top of `SETTINGS`, as ``advertised.listeners`` for a proxy in front of it."""
    return private("kafka", lambda: KafkaRecipe.new(obtain.kafka(), settings, heap_mib))
