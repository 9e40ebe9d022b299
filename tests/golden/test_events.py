"""Every shape that was ever stored can still be read: one golden file per event type and schema, only ever added."""

from pathlib import Path

import pytest

from domain.envelope import Unreadable
from domain.events import REGISTER, UPCASTERS
from domain.ports import NewEvent
from infra import codec
from tests.golden.make import EVENTS, state
from tests.samples import stream

FILES = sorted(EVENTS.glob("*.json"))


@pytest.mark.parametrize("name", REGISTER)
def test_every_schema_of_a_registered_type_has_a_file(name: str) -> None:
    """Schema 1 up to the newest; `python -m tests.golden.make` adds a missing one."""
    newest = REGISTER[name][1]
    assert [(EVENTS / f"{name}.v{schema}.json").exists() for schema in range(1, newest + 1)] == [True] * newest


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_stored_event_is_read_in_its_newest_shape(file: Path) -> None:
    """The bytes decode to the registered type; those of the newest schema encode again to the same bytes."""
    content = file.read_bytes()
    event = codec.recorded(1, stream("golden"), 1, file.stem, content)
    assert not isinstance(event.data, Unreadable), event.data
    shape, newest = REGISTER[event.type]
    assert type(event.data) is shape
    if event.schema == newest:
        assert codec.to_row(NewEvent(event.data, event.meta)) == (file.stem, content)


@pytest.mark.parametrize("name", REGISTER)
def test_the_newest_file_sets_every_field(name: str) -> None:
    """A field that was added to a shape without a new schema shows here: the example of today differs from the file."""
    shape, newest = REGISTER[name]
    assert state(shape) == (EVENTS / f"{name}.v{newest}.json").read_bytes()


def test_no_file_is_of_an_unknown_type() -> None:
    """A type that left the register would leave logs unreadable."""
    assert {file.stem.rpartition(".v")[0] for file in FILES} <= set(REGISTER)


def test_every_old_schema_has_its_upcaster() -> None:
    """From each schema to the next."""
    assert set(UPCASTERS) == {(name, schema) for name, (_, newest) in REGISTER.items() for schema in range(1, newest)}
