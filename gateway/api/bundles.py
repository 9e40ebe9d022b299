"""A run as one signed file, which `replay`, `check`, `why` and `attest` read without a server."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from domain.provenance.asking import Refused, SignerAbsent
from gateway.api.reads import Mine, RunName, least
from gateway.api.runs import run_id
from gateway.openapi import NDJSON, tells
from gateway.problems import problem

Redact = Annotated[list[str] | None, Query(description="Fields of the payload to take out, by the end of their path: email, pusher.name.")]


def bundle_routes() -> APIRouter:
    """`/api/v1/runs/{id}/bundle`."""
    router = APIRouter(prefix="/api/v1/runs", tags=["provenance"])

    @router.get("/{id}/bundle", summary="The run as one signed file: events, payload, plan, provenance", openapi_extra=least("viewer"))
    @tells(None, text=NDJSON, problems=(409, 503))
    async def bundle(
        reads: Mine,
        run: RunName,
        *,
        logs: Annotated[bool, Query(description="With the text of the logs, not only their digests.")] = False,
        redact: Redact = None,
    ) -> Response:
        identity = await run_id(reads, run)
        try:
            made = await reads.reading.bundles.export(identity, logs=logs, redact=tuple(redact or ()))
        except SignerAbsent as error:
            raise problem(503, "signer_absent", str(error), hint="start it: ledgermill serve signer", retry_after_seconds=1) from error
        except KeyError as error:
            raise problem(409, "blob_gone", f"what the events name by {error} is no longer stored", hint="leave out the logs") from error
        if isinstance(made, Refused):
            raise problem(409, made.code, made.message, hint=made.help)
        return Response(made, media_type=NDJSON)

    return router
