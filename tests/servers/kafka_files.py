"""A Kafka broker from its published jars, with what halves its start: an archive of loaded classes, and a formatted directory.

Made once and kept in ``.cache/servers``. Maven fetches the jars from wherever the machine's Maven is set up to fetch from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.servers import kept
from tests.servers.locks import Hold, exclusively
from tests.servers.packages import CACHE, PackageMissing, say

VERSION: Final = "4.3.1"
CLUSTER: Final = "c2Vzc2lvbi1wbGF0Zm9ybQ"
"""Its id, the same for every broker of the tests; 22 characters of base64."""

POM: Final = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>session-platform</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.25.4</version>
    </dependency>
  </dependencies>
</project>
"""

LOGGING: Final = """\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""

JVM: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
"""An archive serves only a Java with the collector that it was written with."""


@dataclass(frozen=True, slots=True)
class KafkaFiles:
    """``home`` has ``lib/*.jar``, ``log4j2.properties`` and ``formatted/``, the data directory of a broker that never ran."""

    java: Path
    home: Path
    archive: Path

    def command(self, settings: Path, heap_mib: int) -> tuple[str, ...]:
        """A broker."""
        return (
            *(str(self.java), f"-Xmx{heap_mib}m", *JVM, f"-XX:SharedArchiveFile={self.archive}"),
            *("-Xlog:disable", "-Xlog:all=error:stderr", f"-Dlog4j2.configurationFile={self.home / 'log4j2.properties'}"),
            *("-cp", str(self.home / "lib" / "*"), "kafka.Kafka", str(settings)),
        )


def obtained(java: Path, maven: Callable[[], Path]) -> KafkaFiles:
    """Raises `PackageMissing`; `ServerDidNotStart` when the broker does not start even once."""
    said = subprocess.run([java, "-version"], capture_output=True, check=True)
    home = CACHE / f"kafka-{VERSION}"
    # The archive fits one Java, which a package update replaces.
    files = KafkaFiles(java, home, home / f"{hashlib.sha256(said.stderr + os.fsencode(java)).hexdigest()[:12]}.jsa")
    if not files.archive.exists():
        with exclusively(CACHE / "kafka.fetched.lock"):
            if not home.exists():
                _fetch(files, maven())
            if not files.archive.exists():
                _write_archive(files)
    return files


def _fetch(files: KafkaFiles, maven: Path) -> None:
    say(f"Fetching Kafka {VERSION} for the tests, with Maven …")
    with _made_at(files.home) as home:
        (home / "pom.xml").write_text(POM)
        (home / "log4j2.properties").write_text(LOGGING)
        copy = ("dependency:copy-dependencies", f"-DoutputDirectory={home / 'lib'}", "-DincludeScope=runtime")
        _run([str(maven), "-B", "-q", "-f", str(home / "pom.xml"), *copy])
        settings = home / "format.properties"
        settings.write_text(
            f"process.roles=broker,controller\nnode.id=1\nlog.dirs={home / 'formatted'}\ncontroller.listener.names=CONTROLLER\n"
            "controller.quorum.voters=1@127.0.0.1:9093\nlisteners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n"
        )
        tool = ("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(settings))
        _run([str(files.java), *JVM, "-cp", str(home / "lib" / "*"), *tool])
        settings.unlink()


def _write_archive(files: KafkaFiles) -> None:
    """Java writes it when the broker has started, served one client and ended in good order."""
    from tests.servers.kafka import KafkaRecipe

    run = kept.new_run()
    hold = Hold(run / "kafka")
    try:
        unfinished = files.archive.with_suffix(".unfinished")
        recipe = kept.start_on_a_free_port(lambda: KafkaRecipe.new(files, writes_archive=unfinished), run / "kafka")
        _exercise(recipe.server.address.bootstrap)
        os.kill(kept.pid(run / "kafka"), signal.SIGTERM)
        kept.wait_until_gone(run / "kafka")
        unfinished.replace(files.archive)
    finally:
        hold.release()
        kept.wait_until_gone(run / "kafka")
        shutil.rmtree(run, ignore_errors=True)


def _exercise(bootstrap: str) -> None:
    """Do once what every client does: a topic, a record, a reader."""
    from confluent_kafka import Consumer, Producer
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    there: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 2}
    admin = AdminClient(there)
    admin.create_topics([NewTopic("exercise", 1, 1)])["exercise"].result()
    producer = Producer({**there, "enable.idempotence": True})
    producer.produce("exercise", b"record")
    producer.flush()
    consumer = Consumer({**there, "group.id": "exercise", "group.protocol": "consumer", "auto.offset.reset": "earliest"})
    consumer.subscribe(["exercise"])
    read = consumer.consume(1, timeout=kept.READY_WITHIN_S)
    consumer.close()
    assert [record.value() for record in read] == [b"record"]


@contextlib.contextmanager
def _made_at(place: Path) -> Iterator[Path]:
    """A directory that appears at ``place`` when it is complete, or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f"{place.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    yield unfinished
    unfinished.replace(place)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        first = next((line for line in lines if "ERROR" in line), (lines or ["it said nothing"])[-1])
        raise PackageMissing(f"The tests need Kafka {VERSION}, and it could not be fetched: {first}")
