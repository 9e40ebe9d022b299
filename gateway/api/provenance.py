"""Provenance over HTTP: signed statements about what jobs attest, of a run or about a file, and the keys that they verify with.

Nothing of it is stored: the signer makes each statement anew from the log, and the same log gives the same bytes.
"""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Request, Response

from domain.provenance import read_statement
from domain.provenance.asking import Answer, AskKeys, AskProvenance, Keys, Question, Refused, Signed, SignedStatement, SignerAbsent
from domain.provenance.dsse import Envelope, encode, key_id, payload_of
from gateway.api.reads import AtLeast, Listing, Mine, Reads, RunName, least, listing, wants_lines
from gateway.api.runs import run_id
from gateway.openapi import NDJSON, tells
from gateway.problems import problem
from projections.attested import jobs_of

JOBS_MAX = 100
"""About one file so many statements are given, the newest: a file that every run makes anew has as many."""

Digest = Annotated[str, Path(alias="digest", description="sha256:HEX, or the digits alone.", pattern="^(sha256:)?[0-9a-f]{64}$")]


class SubjectShape(msgspec.Struct, frozen=True):
    """A file that a job attests."""

    name: str
    sha256: str


class Attestation(msgspec.Struct, frozen=True):
    """The provenance of what one job attests. level: the SLSA build level that it claims; level_reason: why no higher one.

    envelope: DSSE around an in-toto Statement v1.
    """

    run_id: UUID
    job_id: UUID
    builder: str
    level: int
    level_reason: str
    subjects: tuple[SubjectShape, ...]
    envelope: Envelope


class SigningKeyShape(msgspec.Struct, frozen=True):
    """A key that statements verify with. public_key: hexadecimal; current: whether it signs now."""

    keyid: str
    algorithm: str
    public_key: str
    current: bool


def provenance_routes() -> APIRouter:
    """The routes of attestations."""
    router = APIRouter(prefix="/api/v1", tags=["provenance"])

    @router.get(
        "/runs/{id}/provenance",
        summary="The signed provenance of what a run's jobs attest, one for each job; the envelopes alone as NDJSON by Accept",
        openapi_extra=least("viewer"),
    )
    @tells(Listing[Attestation], lines=True, problems=(409, 503))
    async def of_run(request: Request, reads: Mine, run: RunName) -> Response:
        identity = await run_id(reads, run)
        return _answer(request, await _about(reads, AskProvenance(identity)))

    @router.get(
        "/artifacts/{digest}/attestations",
        summary="The signed provenance about a file, the newest first; the envelopes alone as NDJSON by Accept",
        openapi_extra=least("viewer"),
    )
    @tells(Listing[Attestation], lines=True, problems=(503,))
    async def of_artifact(request: Request, reads: Mine, digest: Digest, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "attested")
        sha256 = digest.removeprefix("sha256:")
        async with reads.connections() as connection:
            places = await jobs_of(connection, reads.tenant, sha256, JOBS_MAX)
        found = [each for run, job in places for each in await _about(reads, AskProvenance(run, job))]
        return _answer(request, [each for each in found if any(one.sha256 == sha256 for one in each.subjects)])

    @router.get("/signing-keys", summary="The public keys of provenance, the one that signs now first", openapi_extra=least("viewer"))
    @tells(Listing[SigningKeyShape], problems=(503,))
    async def keys(request: Request, reads: Mine) -> Response:
        answer = await _asked(reads, AskKeys())
        known = answer.keys if isinstance(answer, Keys) else ()
        return listing(request, (SigningKeyShape(key_id(key), "ed25519", key.hex(), index == 0) for index, key in enumerate(known)))

    return router


async def _about(reads: Reads, question: AskProvenance) -> list[Attestation]:
    """The attestations of jobs; none of one whose attempt failed in the end."""
    answer = await _asked(reads, question)
    return [_shape(question.run, each) for each in answer.statements] if isinstance(answer, Signed) else []


def _shape(run: UUID, signed: SignedStatement) -> Attestation:
    statement = read_statement(payload_of(signed.envelope))
    parameters = statement.parameters
    return Attestation(
        run_id=run,
        job_id=signed.job,
        builder=statement.predicate.run_details.builder.id,
        level=parameters.get("level", 0),
        level_reason=parameters.get("level_reason", ""),
        subjects=tuple(SubjectShape(each.name, each.digest.get("sha256", "")) for each in statement.subject),
        envelope=signed.envelope,
    )


async def _asked(reads: Reads, question: Question) -> Answer:
    """The signer's answer; 503 where there is none."""
    try:
        answer = await reads.reading.signing.ask(question)
    except SignerAbsent as error:
        raise problem(503, "signer_absent", str(error), hint="start it: ledgermill serve signer", retry_after_seconds=1) from error
    if isinstance(answer, Refused) and answer.code not in ("no_provenance", "job_not_found"):
        raise problem(503, answer.code, answer.message, hint=answer.help, retry_after_seconds=1)
    return answer


def _answer(request: Request, items: Sequence[Attestation]) -> Response:
    if wants_lines(request):
        return Response(b"".join(encode(each.envelope) + b"\n" for each in items), media_type=NDJSON)
    return listing(request, items)
