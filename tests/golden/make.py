"""Writes the golden file of every event type and schema that has none yet: `python -m tests.golden.make`.

A golden file is the stored state of one event with every field set. Files are only ever added: a released one says what
is in the logs of users, so it is never written again.
"""

import hashlib
import types
import typing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from domain import ids
from domain.envelope import Meta
from domain.events import REGISTER
from domain.ports import NewEvent
from infra import codec

EVENTS = Path(__file__).parent / "events"
AT = datetime(2026, 3, 1, 10, 0, 15, 123456, tzinfo=UTC)


def example(kind: Any, name: str) -> Any:
    """A value of a type, the same at every call, told apart by the field's name, and no field's default."""
    number = 2 + hashlib.sha256(name.encode()).digest()[0]
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return example(next(part for part in typing.get_args(kind) if part is not types.NoneType), name)
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        return (example(inner, name), example(inner, name + " two"))
    if origin is dict:
        return {f"{name} key": example(typing.get_args(kind)[1], name)}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{field.name: example(field.type, field.name) for field in msgspec.structs.fields(kind)})
    simple: dict[Any, Any] = {
        str: f"{name} \N{SNOWMAN}",
        int: number,
        float: number + 0.5,
        bool: True,
        bytes: name.encode(),
        UUID: ids.derive("golden", name),
        datetime: AT + timedelta(seconds=number),
        Any: [name, number, {"nested": None}],
    }
    return simple[kind]


def state(shape: type[msgspec.Struct]) -> bytes:
    """The stored state of an example of a registered type."""
    meta = Meta(
        at=AT,
        tenant="acme",
        actor="actor-1",
        token="token-1",
        command=ids.derive("golden", "command"),
        cause=ids.derive("golden", "cause"),
        correlation=ids.derive("golden", "correlation"),
    )
    return codec.to_row(NewEvent(example(shape, shape.__name__), meta))[1]


def main() -> None:
    """Add what is missing and say so."""
    EVENTS.mkdir(exist_ok=True)
    for name, (shape, schema) in REGISTER.items():
        file = EVENTS / f"{name}.v{schema}.json"
        if not file.exists():
            file.write_bytes(state(shape))
            print(f"added {file.name}")  # noqa: T201 - a script that says what it did


if __name__ == "__main__":
    main()
