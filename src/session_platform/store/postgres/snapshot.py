"""Reading the platform's database from another process, beside those that run on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from session_platform.store.port import Reader
from session_platform.store.postgres.address import Address
from session_platform.store.postgres.database import check_version, start_errors
from session_platform.store.postgres.link import Link
from session_platform.store.postgres.transaction import PostgresReader


@contextmanager
def snapshot(url: str) -> Iterator[Reader]:
    """What is committed now in the database at ``url``, as one consistent view that nothing can be written through. Raises
    `StartError`, also for the schema of another version of the platform."""
    address = Address(url)
    with start_errors(), address.connect() as connection:
        check_version(connection)
    link = Link(address)
    reader = PostgresReader(link)
    with start_errors():
        link.begin_snapshot()
    try:
        yield reader
    finally:
        reader.end()
        link.drop()
