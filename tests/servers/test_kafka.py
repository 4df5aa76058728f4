"""Kafka, by confluent-kafka."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.cimpl import NewTopic

from tests.servers import Kafka, ServerDidNotStart, private_kafka

PATIENCE_S = 60


async def test_what_is_produced_is_consumed_in_order(kafka_server: Kafka) -> None:
    async with kafka_server.prefix() as prefix:
        topic = f"{prefix}timeline"
        await asyncio.to_thread(create, kafka_server, topic)
        await asyncio.to_thread(produce, kafka_server, topic, [b"1", b"2", b"3"])
        assert await asyncio.to_thread(consume, kafka_server, topic, 3) == [b"1", b"2", b"3"]


async def test_a_prefix_is_one_s_own_and_its_topics_go_with_the_test(kafka_server: Kafka) -> None:
    async with kafka_server.prefix() as other:
        await asyncio.to_thread(create, kafka_server, f"{other}timeline")
        async with kafka_server.prefix() as mine:
            await asyncio.to_thread(create, kafka_server, f"{mine}timeline")
        assert await asyncio.to_thread(kafka_server.topics, other) == [f"{other}timeline"]
        assert await asyncio.to_thread(kafka_server.topics, mine) == []


async def test_a_private_one_loses_no_acknowledged_record_over_a_kill_and_all_when_wiped() -> None:
    async with private_kafka() as own:
        await asyncio.to_thread(create, own.server, "timeline")
        await asyncio.to_thread(produce, own.server, "timeline", [b"1", b"2"])
        await own.kill()
        assert not own.runs
        await own.start()
        async with own.stop_signal():
            producing = asyncio.create_task(asyncio.to_thread(produce, own.server, "timeline", [b"3"]))
            done, _ = await asyncio.wait([producing], timeout=0.5)
            assert not done
        await producing
        assert await asyncio.to_thread(consume, own.server, "timeline", 3) == [b"1", b"2", b"3"]
        await own.wipe()
        assert await asyncio.to_thread(own.server.topics, "timeline") == []


async def test_a_start_that_fails_says_why() -> None:
    with pytest.raises(ServerDidNotStart, match=r"(?s)^Kafka did not start: it ended with 1\..*num\.io\.threads"):
        async with private_kafka(settings={"num.io.threads": "-1"}):
            pass


def create(kafka: Kafka, topic: str) -> None:
    admin = kafka.admin()
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()


def produce(kafka: Kafka, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": kafka.address.bootstrap, "enable.idempotence": True, "log_level": 2})
    refused: list[object] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: refused.append(error) if error else None)
    assert producer.flush(PATIENCE_S) == 0
    assert refused == []


def consume(kafka: Kafka, topic: str, count: int) -> list[bytes | None]:
    """The first ``count`` records."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.address.bootstrap, "group.id": f"{topic}-readers", "group.protocol": "consumer",
            "auto.offset.reset": "earliest", "log_level": 2,
        }
    )  # fmt: skip
    consumer.subscribe([topic])
    values: list[bytes | None] = []
    for record in consumer.consume(count, timeout=PATIENCE_S):
        assert record.error() is None
        values.append(record.value())
    consumer.close()
    return values
