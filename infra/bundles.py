"""Makes a run's bundle: the rows as they are stored, what the signer signs of them, and the blobs that they name."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from domain.bundle.contents import blob_parts, payload_of_run, redacted
from domain.bundle.manifest import StoredRow
from domain.bundle.write import manifest, written
from domain.ports import Blobs
from domain.provenance.asking import Answer, AskBundle, Refused, SignedManifest
from infra import codec
from infra.event_store import PostgresEventStore
from projections.run_history import run_history, with_runners


async def bundle_rows(store: PostgresEventStore, run: UUID, through: int) -> Sequence[StoredRow]:
    """The rows of a run, its jobs and its runners up to a position; none where there is no such run."""
    events = await with_runners(store, await run_history(store, run, through), through)
    return await store.stored(list(dict.fromkeys(event.stream for event in events)), through)


class Bundles:
    """Exports runs. ask: see gateway.ports.Signing."""

    def __init__(self, store: PostgresEventStore, blobs: Blobs, ask: Callable[[AskBundle], Awaitable[Answer]]) -> None:
        self._store = store
        self._blobs = blobs
        self._ask = ask

    async def export(self, run: UUID, *, logs: bool, redact: tuple[str, ...]) -> bytes | Refused:
        """The file, of everything up to now. Raises SignerAbsent, StoreUnavailable, and KeyError for a blob that is gone."""
        through = await self._store.head()
        rows = await bundle_rows(self._store, run, through)
        events = [codec.recorded(*row) for row in rows]
        blobs = {part.sha256: await self._blobs.get(part.sha256) for part in blob_parts(events, logs=logs)}
        whole = blobs[payload_of_run(events)] if redact else b""
        answer = await self._ask(AskBundle(run, through, logs, redact, whole))
        if isinstance(answer, Refused):
            return answer
        assert isinstance(answer, SignedManifest), "a bundle is answered by its manifest"  # noqa: S101 - a fact, not a check
        payload = None
        if redact:
            payload, content = redacted(whole, payload_of_run(events), redact)
            blobs[payload.sha256] = content
        told = manifest(run, through, rows, events, answer.statements, logs=logs, payload=payload)
        return written(answer, told, rows, blobs)
