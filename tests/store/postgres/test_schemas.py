"""Both adapters' schemas are one: the same tables, columns, nulls and keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import apsw
import psycopg

from session_platform.clock import ManualClock
from session_platform.ids import IdMint
from session_platform.store.postgres import database as postgres
from session_platform.store.sqlite import SqliteStore
from session_platform.store.sqlite import database as sqlite

TYPES = {"INTEGER": "bigint", "TEXT": "text", "BLOB": "bytea"}
OURS_ALONE = {"log_base"}
"""How PostgreSQL keeps the order of ids."""

Schema = dict[str, Any]

_COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable = 'YES', collation_name FROM information_schema.columns
    WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
"""
_UNIQUE = """
    SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE 'CREATE UNIQUE%'
"""
_FOREIGN = "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"


def condition(definition: str) -> str:
    """What a partial index says, in the same words for both."""
    where = re.search(r"\bWHERE\b(.*)$", definition, re.DOTALL)
    return re.sub(r"[()\s]+", " ", where[1]).strip() if where else ""


def of_sqlite(file: Path) -> tuple[Schema, set[Any], set[Any]]:
    connection: Any = apsw.Connection(str(file))
    columns: Schema = {}
    unique, foreign = set(), set()
    tables = connection.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
    )
    for table, kind in tables.fetchall():
        rows = connection.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,)).fetchall()
        columns[table] = [(name, TYPES[type_], kind == "view" or not (notnull or pk)) for name, type_, notnull, pk in rows]
        if keys := tuple(name for name, _, _, pk in sorted(rows, key=lambda row: row[3]) if pk):
            unique.add((table, keys, ""))
        for index, one in connection.execute('SELECT name, "unique" FROM pragma_index_list(?)', (table,)).fetchall():
            names = tuple(
                name for (name,) in connection.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,))
            )
            (sql,) = connection.execute("SELECT COALESCE(MAX(sql), '') FROM sqlite_master WHERE name = ?", (index,)).fetchone()
            if one:
                unique.add((table, names, condition(sql)))
        foreign |= {(table, row[0]) for row in connection.execute('SELECT "table" FROM pragma_foreign_key_list(?)', (table,))}
    connection.close()
    return columns, unique, foreign


def of_postgres(url: str) -> tuple[Schema, set[Any], set[Any]]:
    columns: Schema = {}
    unique = set()
    with psycopg.connect(url) as connection:
        for table, name, kind, nullable, collation in connection.execute(_COLUMNS).fetchall():
            assert (kind == "text") == (collation == "C"), "texts are compared by their bytes, as SQLite does"
            columns.setdefault(table, []).append((name, kind, nullable))
        for table, definition in connection.execute(_UNIQUE).fetchall():
            names = re.search(r"USING btree \(([^)]*)\)", definition)
            assert names is not None
            unique.add((table, tuple(names[1].replace('"', "").split(", ")), condition(definition)))
        foreign = set(connection.execute(_FOREIGN).fetchall())
    return columns, unique, foreign


async def test_the_schemas_are_one(url: str, tmp_path: Path) -> None:
    await (await SqliteStore.open(tmp_path / "data", ManualClock(), IdMint())).close()
    theirs, their_keys, their_references = of_sqlite(tmp_path / "data" / sqlite.DATABASE_FILE)
    ours, our_keys, our_references = of_postgres(url)
    assert {table: columns for table, columns in ours.items() if table not in OURS_ALONE} == theirs
    assert our_keys == their_keys
    assert our_references == their_references


def test_the_steps_to_it_have_the_same_names() -> None:
    assert [name for name, _ in postgres.migrations()] == [name for name, _ in sqlite.migrations()]
