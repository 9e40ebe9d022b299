"""What a view is made of: tables whose rows are pure functions of events.

A `Table` names its row Struct, its key columns and, by type of event, a `Rule`: which keys the event touches and how a
row changes. SQL types, DDL and the digest follow from the Struct, so there is one place to change. A fold owns the row
that it is given and may set its fields, but must never change a value inside one (a list, a dictionary) in place: the row
is copied without it. It must never read a clock, another row or a database. A row is made by the events of one story: a
run with its jobs, or a single other stream; so what one stream holds up can be folded again by itself.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.events import NAMES

Key = Any
"""The value of the key column, or the tuple of them where there are several."""

Row = Any
Apply = Callable[[Row | None, Recorded, Key], Row | None]
Keys = Callable[[Recorded], Sequence[Key]]

BIGINT_MIN, BIGINT_MAX = -(2**63), 2**63 - 1

LIVE = "views"
REBUILD = "views_rebuild"
"""The schemas: what readers see, and where a rebuild grows until it takes its place."""

_SQL_TYPES: dict[Any, str] = {
    UUID: "uuid",
    str: "text",
    int: "bigint",
    float: "double precision",
    bool: "boolean",
    datetime: "timestamptz",
}


class Rule(msgspec.Struct, frozen=True):
    """What one type of event does to a table.

    keys: the rows that it touches. apply: (row or None, event, key) to the row, or None where there shall be none.
    opens: the result does not depend on the row before, so nobody has to fetch it.
    """

    apply: Apply
    keys: Keys
    opens: bool = False


class Column(msgspec.Struct, frozen=True):
    """A column as SQL sees it."""

    name: str
    sql: str
    nullable: bool


class Table:
    """Rows of one Struct under one key. scope: the column that names the run that a row belongs to, if one does."""

    def __init__(
        self,
        name: str,
        row: type[msgspec.Struct],
        key: tuple[str, ...],
        rules: Mapping[type, Rule],
        *,
        scope: str | None = None,
        indexes: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.row = row
        self.key = key
        self.rules = dict(rules)
        self.scope = scope
        self.indexes = indexes
        self.columns = tuple(_column(column, hint) for column, hint in get_type_hints(row).items())
        self.key_of: Callable[[Row], Key] = attrgetter(*key)
        self._integers = tuple(column.name for column in self.columns if column.sql == "bigint")
        self._required = tuple(column.name for column in self.columns if not column.nullable)

    def check(self, rows: Sequence[Row]) -> None:
        """Raise ValueError where Postgres cannot hold one of these rows."""
        for name in self._integers:
            value_of = attrgetter(name)
            for value in map(value_of, rows):
                if value is not None and not BIGINT_MIN <= value <= BIGINT_MAX:
                    raise ValueError(f"{self.name}.{name} = {value} is no 64-bit integer")
        for name in self._required:
            if None in map(attrgetter(name), rows):
                raise ValueError(f"{self.name}.{name} is missing")
        msgspec.json.encode(rows)  # UnicodeEncodeError: text that is no Unicode, such as half of a surrogate pair

    def create(self, schema: str) -> str:
        """The statement that makes the bare table in `schema`."""
        columns = [f'"{column.name}" {column.sql}{"" if column.nullable else " NOT NULL"}' for column in self.columns]
        return f"CREATE TABLE {schema}.{self.name} ({', '.join(columns)})"

    def index(self, schema: str) -> str:
        """The statements that give it its key and its indexes; apart, because a large load is faster without them."""
        key = ", ".join(f'"{column}"' for column in self.key)
        made = [f"ALTER TABLE {schema}.{self.name} ADD PRIMARY KEY ({key})"]
        made += [f"CREATE INDEX ON {schema}.{self.name} {index}" for index in self.indexes]
        return "; ".join(made)


class View:
    """Tables that move together. version: raise it when a fold changes its meaning without changing the shape."""

    def __init__(self, name: str, tables: tuple[Table, ...], version: int = 1) -> None:
        self.name = name
        self.tables = tables
        self.version = version

    @property
    def digest(self) -> str:
        """Changes with the shape of any table and with the events that it folds; then the view has to be rebuilt."""
        tables = [[table.create(LIVE), table.index(LIVE), sorted(map(_event_name, table.rules))] for table in self.tables]
        return hashlib.sha256(json.dumps([self.version, tables]).encode()).hexdigest()[:16]


def by_stream(event: Recorded) -> Sequence[Key]:
    """The row whose key is the event's stream."""
    return (event.stream,)


def _event_name(kind: type) -> str:
    name, schema = NAMES[kind]
    return f"{name}.v{schema}"


def _column(name: str, hint: Any) -> Column:
    """JSON for everything that is not a plain SQL type."""
    nullable = False
    if get_origin(hint) in {Union, UnionType}:
        some = [part for part in get_args(hint) if part is not type(None)]
        nullable = len(some) < len(get_args(hint))
        hint = some[0] if len(some) == 1 else hint
    return Column(name, _SQL_TYPES.get(hint, "jsonb"), nullable)
