"""Real PostgreSQL, Kafka and Redis for tests: obtained, started on free ports in temporary directories, never left behind.

The room decides where a server comes from (`obtain`), how it is set up (`postgres`, `kafka`, `redis`) and how long it lives:
one of each kind is shared by all processes of a test run (`shared`, the fixtures in `plugin`), a private one belongs to a test
that means to break it (`private`). A `keeper` process stands between a server and whoever uses it, and ends the server when no
user is left, kill -9 included. The room knows nothing of the platform, and never talks to a server that it did not start.
"""

from tests.servers.kafka import Kafka, KafkaAddress, private_kafka
from tests.servers.kept import ServerDidNotStart
from tests.servers.packages import PackageMissing
from tests.servers.postgres import Postgres, PostgresAddress, private_postgres
from tests.servers.private import Private
from tests.servers.redis import Redis, RedisAddress, RedisSpace, private_redis

__all__ = [
    "Kafka",
    "KafkaAddress",
    "PackageMissing",
    "Postgres",
    "PostgresAddress",
    "Private",
    "Redis",
    "RedisAddress",
    "RedisSpace",
    "ServerDidNotStart",
    "private_kafka",
    "private_postgres",
    "private_redis",
]
