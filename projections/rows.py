# ruff: noqa: S608 - every statement is built from the names in a table's definition; values are parameters
"""Rows in SQL: how a table's rows are read, written, removed and loaded.

Rows travel as JSON in both directions, because msgspec encodes and decodes a Struct in under a microsecond and Postgres
does the rest; arrays of columns cost the Python side fifteen times as much. Large loads go by COPY through a staging
table. Nothing here begins or ends a transaction.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, LiteralString, cast

import msgspec
import psycopg
from psycopg import AsyncConnection

from projections.fold import PoisonedError, Slot
from projections.table import Key, Row, Table

Connection = AsyncConnection[Any]

UNFOLDABLE = (PoisonedError, psycopg.DataError, psycopg.IntegrityError, ValueError, TypeError, OverflowError)
"""What one event can do to a page: its fold raises, or the row that it makes is one that JSON or Postgres does not take."""

NUL = b"\\u0000"
_BATCH = 1000

_json = msgspec.json.Encoder()


class Statements:
    """The SQL of one table in one schema; the text depends on the table's definition alone."""

    def __init__(self, table: Table, schema: str) -> None:
        name = f"{schema}.{table.name}"
        quoted = [f'"{column.name}"' for column in table.columns]
        key = ", ".join(f'"{column}"' for column in table.key)
        rest = [column for column in quoted if column.strip('"') not in table.key]
        change = f"DO UPDATE SET ({', '.join(rest)}) = ROW({', '.join(f'excluded.{column}' for column in rest)})" if rest else "DO NOTHING"
        given = f"json_populate_recordset(NULL::{name}, %s::json)"
        self.read = sql(f"SELECT json_agg(t)::text FROM {name} t WHERE ({key}) IN (SELECT {key} FROM {given})")
        self.all = sql(f"SELECT to_json(t)::text FROM {name} t")
        self.texts = sql(f"SELECT to_json(t)::text FROM {name} t WHERE ({key}) IN (SELECT {key} FROM {given})")
        self.upsert = sql(f"INSERT INTO {name} SELECT * FROM {given} ON CONFLICT ({key}) {change}")
        self.delete = sql(f"DELETE FROM {name} WHERE ({key}) IN (SELECT {key} FROM {given})")
        self.stage = sql(f"CREATE TEMP TABLE staging (LIKE {name}) ON COMMIT DROP")
        self.copy = sql(f"COPY {name} FROM STDIN")
        self.copy_staging = sql("COPY staging FROM STDIN")
        self.merge = sql(f"INSERT INTO {name} SELECT * FROM staging ON CONFLICT ({key}) {change}")
        self.texts_of = sql(f'{self.texts} OR t."{table.scope}" = %s') if table.scope else self.texts


Part = tuple[LiteralString, tuple[Any, ...]]
"""A statement and its parameters."""


def sql(text: str) -> LiteralString:
    """A statement built from the names of a table definition, never from what came from outside."""
    return cast("Any", text)  # type: ignore[no-any-return]  # mypy takes LiteralString for str


def decode(table: Table, text: str | None) -> list[Row]:
    """The rows of a JSON array, [] for None."""
    return msgspec.json.decode(text, type=list[table.row]) if text else []  # type: ignore[name-defined]  # a type made at run time


def encode(rows: Sequence[Any]) -> str:
    """Rows as JSON that Postgres takes."""
    encoded = _json.encode(rows)
    if NUL in encoded:
        encoded = _json.encode(printable(msgspec.to_builtins(rows)))
    return encoded.decode()


def clean(table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """The same rows as Postgres can hold them: U+0000, which it has no place for, becomes U+FFFD."""
    return decode(table, encode(rows)) if NUL in _json.encode(rows) else rows


def printable(value: Any) -> Any:
    """The same JSON value without U+0000."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {printable(key): printable(part) for key, part in value.items()}
    return [printable(part) for part in value] if isinstance(value, list | tuple) else value


def key_object(table: Table, key: Key) -> dict[str, Any]:
    """A key as the JSON object that names its columns."""
    return dict(zip(table.key, key if len(table.key) > 1 else (key,), strict=True))


async def read(connection: Connection, wanted: Sequence[tuple[Table, Statements, Iterable[Key]]]) -> list[list[Row]]:
    """For each table the rows of these keys, in no order; all in one statement."""
    if not wanted:
        return []
    given = [encode([key_object(table, key) for key in keys]) for table, _, keys in wanted]
    text = _side_by_side(tuple(statements.read for _, statements, _ in wanted))
    found = await (await connection.execute(text, given, prepare=True)).fetchone()
    texts = found or [None] * len(wanted)
    return [decode(table, text) for (table, _, _), text in zip(wanted, texts, strict=True)]


@lru_cache
def _side_by_side(texts: tuple[LiteralString, ...]) -> LiteralString:
    return sql(f"SELECT {', '.join(f'({text})' for text in texts)}")


def changes(table: Table, statements: Statements, slots: Sequence[Slot]) -> list[Part]:
    """What brings the net change of a table to the database: the rows that are, and those that are no more."""
    parts: list[Part] = []
    kept = [slot.row for slot in slots if slot.row is not None]
    if kept:
        parts.append((statements.upsert, (encode(kept),)))
    if len(kept) < len(slots):
        gone = [key_object(table, slot.key) for slot in slots if slot.row is None]
        parts.append((statements.delete, (encode(gone),)))
    return parts


async def execute(connection: Connection, parts: Sequence[Part]) -> None:
    """Carry out statements that touch different rows as one: one round trip, all or nothing."""
    if parts:
        given = [value for _, values in parts for value in values]
        await connection.execute(_together(tuple(text for text, _ in parts)), given, prepare=True)


@lru_cache
def _together(texts: tuple[LiteralString, ...]) -> LiteralString:
    """The last one is the statement, the others, which change rows, go with it."""
    *others, last = texts
    with_others = ", ".join(f"part_{number} AS ({text})" for number, text in enumerate(others))
    return sql(f"WITH {with_others} {last}") if others else last


async def load(connection: Connection, table: Table, copy_statement: LiteralString, slots: Sequence[Slot]) -> None:
    """Copy many rows into a table that holds none of their keys."""
    documents = [number for number, column in enumerate(table.columns) if column.sql == "jsonb"]
    kept = [slot.row for slot in slots if slot.row is not None]
    async with connection.cursor().copy(copy_statement) as copy:
        for start in range(0, len(kept), _BATCH):
            for row in clean(table, kept[start : start + _BATCH]):
                cells = list(msgspec.structs.astuple(row))
                for number in documents:
                    if cells[number] is not None:  # no value is SQL's NULL, as json_populate_recordset has it, not JSON's null
                        cells[number] = _json.encode(cells[number]).decode()
                await copy.write_row(cells)


async def merge(connection: Connection, table: Table, statements: Statements, slots: Sequence[Slot]) -> None:
    """The same as `changes` for many rows: COPY into a staging table, and from there in one statement."""
    await connection.execute(statements.stage)
    await load(connection, table, statements.copy_staging, slots)
    await connection.execute(statements.merge)
    await connection.execute("DROP TABLE staging")
    await execute(connection, changes(table, statements, [slot for slot in slots if slot.row is None]))
