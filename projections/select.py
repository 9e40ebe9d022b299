"""Reading rows of a view for an answer: filtered, in an order, a page at a time after the last row of the page before.

Where, order and limit come as SQL of this code; what a client sent comes as parameters only.
"""

from collections.abc import Sequence
from typing import Any, LiteralString

import msgspec

from projections.rows import Connection, sql
from projections.table import LIVE, Row, Table


class Order(msgspec.Struct, frozen=True):
    """Columns that together are unique, all in one direction."""

    columns: tuple[str, ...]
    descending: bool = False

    def after(self, row: Row) -> list[Any]:
        """What a cursor holds: where the page ends with this row."""
        return [msgspec.to_builtins(getattr(row, column)) for column in self.columns]


async def select(
    connection: Connection,
    table: Table,
    conditions: Sequence[tuple[LiteralString, Any]],
    order: Order,
    limit: int,
    *,
    after: Sequence[Any] | None = None,
) -> list[Row]:
    """At most `limit` rows for which every (condition with one %s, value) holds; those after the cursor `after`.

    Raises ValueError when the cursor is not one of this order.
    """
    wheres = [condition for condition, _ in conditions]
    values = [value for _, value in conditions]
    columns = ", ".join(f'"{column}"' for column in order.columns)
    if after is not None:
        wheres.append(sql(f"({columns}) {'<' if order.descending else '>'} ({', '.join(['%s'] * len(order.columns))})"))
        values.extend(_typed(table, order, after))
    direction = " DESC" if order.descending else ""
    ordered = ", ".join(f'"{column}"{direction}' for column in order.columns)
    query = sql(
        f"SELECT to_json(t)::text FROM {LIVE}.{table.name} t"  # noqa: S608 - names of this code; values are parameters
        f"{' WHERE ' if wheres else ''}{' AND '.join(wheres)} ORDER BY {ordered} LIMIT %s"
    )
    cursor = await connection.execute(query, (*values, limit))
    return [msgspec.json.decode(row[0], type=table.row) for row in await cursor.fetchall()]


def _typed(table: Table, order: Order, after: Sequence[Any]) -> list[Any]:
    """The cursor's values in the types of their columns."""
    types = {field.name: field.type for field in msgspec.structs.fields(table.row)}
    if len(after) != len(order.columns):
        raise ValueError("the cursor has another number of columns")
    return [msgspec.convert(value, types[column]) for column, value in zip(order.columns, after, strict=True)]
