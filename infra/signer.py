"""The signer: answers on a Unix socket, builds each statement itself from the log, and signs it with a key that only it reads.

    question    one JSON object (domain.provenance.asking), then the end of what is sent
    answer      one JSON object

It must never sign bytes that somebody gave it, and never show a key.
"""

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import assert_never

import msgspec

from domain.bundle import manifest as manifests
from domain.bundle.contents import RedactionError, payload_of_run, redacted
from domain.bundle.write import manifest
from domain.ports import StoreUnavailable
from domain.provenance import PAYLOAD_TYPE, attested, canonical, provenance, streams
from domain.provenance.asking import (
    Answer,
    AskBundle,
    AskKeys,
    AskProvenance,
    Keys,
    Question,
    Refused,
    Signed,
    SignedManifest,
    SignedStatement,
)
from domain.provenance.dsse import Envelope, enveloped, pae
from domain.refusals import Refusal
from infra import codec
from infra.bundles import bundle_rows
from infra.event_store import PostgresEventStore
from infra.signer_keys import KeyRing
from projections.run_history import EVERYTHING, provenance_history

QUESTION_BYTES_MAX = 64 * 1024 * 1024
QUESTION_SECONDS = 10.0

log = logging.getLogger(__name__)

_question = msgspec.json.Decoder(Question)
_encode = msgspec.json.Encoder().encode


class Signer:
    """What answers the questions. Needs no more of the store than to read streams."""

    def __init__(self, store: PostgresEventStore, keys: KeyRing) -> None:
        self._store = store
        self._keys = keys

    async def answer(self, content: bytes) -> Answer:
        """The answer to a question. Raises StoreUnavailable."""
        try:
            question = _question.decode(content)
        except msgspec.MsgspecError as error:
            return Refused("bad_question", f"the signer cannot read this: {error}")
        match question:
            case AskKeys():
                return Keys(tuple(key.public for key in self._keys.all()))
            case AskProvenance():
                return await self._provenance(question)
            case AskBundle():
                return await self._bundle(question)
            case _:
                assert_never(question)

    async def _provenance(self, question: AskProvenance) -> Answer:
        log = streams(await provenance_history(self._store, question.run, EVERYTHING))
        found = []
        for job in attested(log) if question.job is None else (question.job,):
            statement = provenance(log, job)
            if isinstance(statement, Refusal):
                return Refused(statement.code, statement.message, statement.state or "", statement.help or "")
            found.append(SignedStatement(job, self._signed(PAYLOAD_TYPE, canonical(statement))))
        return Signed(tuple(found))

    async def _bundle(self, question: AskBundle) -> Answer:
        rows = await bundle_rows(self._store, question.run, question.through)
        if not rows:
            return Refused("run_not_found", f"there is no run {question.run}", "absent")
        events = [codec.recorded(*row) for row in rows]
        log = streams(events)
        made = [(job, provenance(log, job)) for job in attested(log)]
        statements = tuple(
            SignedStatement(job, self._signed(PAYLOAD_TYPE, canonical(found))) for job, found in made if not isinstance(found, Refusal)
        )
        try:
            payload = redacted(question.payload, payload_of_run(events), question.redact)[0] if question.redact else None
        except RedactionError as error:
            return Refused("bad_redaction", str(error))
        told = manifest(question.run, question.through, rows, events, statements, logs=question.logs, payload=payload)
        envelope = self._signed(manifests.PAYLOAD_TYPE, manifests.encode(told))
        return SignedManifest(envelope, self._keys.current().public, statements)

    def _signed(self, payload_type: str, payload: bytes) -> Envelope:
        key = self._keys.current()
        return enveloped(payload_type, payload, key.public, key.sign(pae(payload_type, payload)))


class Serving:
    """A signer at its socket. lost: set when the store is gone and may not come back for this process."""

    def __init__(self, signer: Signer, bound: socket.socket) -> None:
        self._signer = signer
        self._bound = bound
        self._server: asyncio.Server | None = None
        self.lost = asyncio.Event()

    async def start(self) -> None:
        """Answer from now on."""
        self._server = await asyncio.start_unix_server(self._serve, sock=self._bound, limit=QUESTION_BYTES_MAX)

    async def stop(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                content = await reader.read(QUESTION_BYTES_MAX)
                while not reader.at_eof() and len(content) < QUESTION_BYTES_MAX:
                    content += await reader.read(QUESTION_BYTES_MAX - len(content))
            writer.write(_encode(await self._answer(content)))
            await writer.drain()
        except (TimeoutError, OSError) as error:
            log.warning("a question went without an answer: %s", error)
        finally:
            writer.close()

    async def _answer(self, content: bytes) -> Answer:
        try:
            return await self._signer.answer(content)
        except StoreUnavailable as error:
            self.lost.set()
            return Refused("store_unavailable", str(error), help="try again")
        except Exception:  # whoever asks gets an answer, whatever is wrong; the log says what
            log.exception("a question failed")
            return Refused("internal_error", "the signer failed to answer", help="its log names the cause")


def bind(path: Path, user: int) -> socket.socket:
    """A listening socket that only this user (and root) may connect to. A socket that nobody listens on any more is replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    draft = f".{path.name}.{os.getpid()}"
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            bound.bind(f"/proc/self/fd/{descriptor}/{draft}")  # a socket's path may have 107 bytes, a data directory's more
        finally:
            os.umask(before)
        os.chown(draft, user, -1, dir_fd=descriptor)
        bound.listen()
        os.rename(draft, path.name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    finally:
        os.close(descriptor)
    return bound
