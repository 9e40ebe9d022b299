"""A run's rows, statements and blobs to the parts that are signed and the lines that are written: the same order in both."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from domain.bundle.contents import blob_parts
from domain.bundle.manifest import (
    VERSION,
    Header,
    Manifest,
    Part,
    StoredRow,
    blob_line,
    digest,
    event_line,
    header_line,
    provenance_line,
)
from domain.envelope import Recorded
from domain.provenance.asking import SignedManifest, SignedStatement
from domain.run.events import RunTriggered


def manifest(
    run: UUID,
    through: int,
    rows: Sequence[StoredRow],
    events: Sequence[Recorded],
    statements: Iterable[SignedStatement],
    *,
    logs: bool,
    payload: Part | None,
) -> Manifest:
    """What is signed. events: those of the rows; payload: its part where fields were taken out, else None."""
    triggered = next(event for event in events if event.stream == run and isinstance(event.data, RunTriggered))
    blobs = [payload if payload is not None and part.kind == "payload" else part for part in blob_parts(events, logs=logs)]
    made = [Part("provenance", digest(provenance_line(each.job, each.envelope))) for each in statements]
    return Manifest(
        version=VERSION,
        run=run,
        tenant=triggered.meta.tenant,
        workflow=triggered.data.name or triggered.data.workflow_path,
        number=triggered.data.number,
        through=through,
        parts=(*(Part("event", digest(event_line(row))) for row in rows), *made, *blobs),
    )


def written(signed: SignedManifest, told: Manifest, rows: Iterable[StoredRow], blobs: Mapping[str, bytes]) -> bytes:
    """The file. told: the manifest that is signed; blobs: by the digest of their part."""
    lines = [header_line(Header(signed.envelope, signed.key.hex()))]
    lines += map(event_line, rows)
    lines += [provenance_line(each.job, each.envelope) for each in signed.statements]
    lines += [blob_line(part.kind, blobs[part.sha256]) for part in told.parts if part.kind not in ("event", "provenance")]
    return b"".join(line + b"\n" for line in lines)
