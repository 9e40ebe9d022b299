"""Ids are names: what is derived now must be what every older store holds."""

from uuid import UUID, uuid5

from domain import ids

STREAM = UUID("7c7c9d0e-5d3f-5b0a-9f0a-0d2c4f1b6a11")


def test_a_derived_id_is_uuid5_of_its_parts() -> None:
    """However it is computed: parts of any kind, joined by U+001F, under the one namespace."""
    for parts in (("event", STREAM, 7), ("repository", "default", "local", "acme/größe"), ("run", "default", "")):
        assert ids.derive(*parts) == uuid5(ids.NAMESPACE, "\x1f".join(str(part) for part in parts))
    assert ids.derive("event", STREAM, 7).version == 5


def test_an_events_id_names_its_stream_and_version() -> None:
    """Also when it was asked for before."""
    for version in (1, 2, 1):
        assert ids.event_id(STREAM, version) == ids.derive("event", STREAM, version)
