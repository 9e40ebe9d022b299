"""The shapes of an in-toto Statement v1 with SLSA provenance v1, and their one canonical form: JSON with sorted keys, no spaces."""

from datetime import datetime
from typing import Any

import msgspec

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""The payload type of the envelope around a statement."""


class StatementError(ValueError):
    """Not a statement of provenance; the message says what is wrong and where."""


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The base of all parts."""


class Resource(Shape, frozen=True, kw_only=True):
    """A ResourceDescriptor: a thing by name, URI or digest (algorithm to lower-case hexadecimal)."""

    name: str = ""
    uri: str = ""
    digest: dict[str, str] = {}
    annotations: dict[str, Any] = {}


class BuildDefinition(Shape, frozen=True, kw_only=True):
    """What was asked for (externally), what the builder added (internally), and what was fetched for it."""

    build_type: str
    external_parameters: dict[str, Any]
    internal_parameters: dict[str, Any] = {}
    resolved_dependencies: tuple[Resource, ...] = ()


class Builder(Shape, frozen=True, kw_only=True):
    """Who built: a class of runners that are trusted alike."""

    id: str


class Metadata(Shape, frozen=True, kw_only=True):
    """Which execution it was, from when to when (the store's time)."""

    invocation_id: str
    started_on: datetime
    finished_on: datetime


class RunDetails(Shape, frozen=True, kw_only=True):
    """The execution. byproducts: the log's digests and the range of the events."""

    builder: Builder
    metadata: Metadata
    byproducts: tuple[Resource, ...] = ()


class Predicate(Shape, frozen=True, kw_only=True):
    """SLSA provenance v1."""

    build_definition: BuildDefinition
    run_details: RunDetails


class Statement(Shape, frozen=True, kw_only=True):
    """An in-toto Statement v1 about the subjects, which are sorted by name."""

    type: str = msgspec.field(name="_type")
    subject: tuple[Resource, ...]
    predicate_type: str
    predicate: Predicate

    @property
    def parameters(self) -> dict[str, Any]:
        """What only this builder's statements hold: level, level_reason, isolation, job, attempt and so on."""
        found = self.predicate.build_definition.internal_parameters.get("ledgermill")
        return found if isinstance(found, dict) else {}


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(Statement)


def canonical(statement: Statement) -> bytes:
    """The bytes that are signed: the same statement always gives the same."""
    return _ENCODER.encode(statement)


def read_statement(payload: bytes) -> Statement:
    """A statement of SLSA provenance v1 from its bytes. Raises StatementError."""
    try:
        statement = _DECODER.decode(payload)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise StatementError(f"this is no statement of SLSA provenance: {error}") from error
    if statement.type != STATEMENT_TYPE:
        raise StatementError(f"_type: {statement.type!r} is not {STATEMENT_TYPE}")
    if statement.predicate_type != PREDICATE_TYPE:
        raise StatementError(f"predicateType: {statement.predicate_type!r} is not {PREDICATE_TYPE}")
    return statement
