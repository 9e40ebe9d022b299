"""What the write routes share: a command on behalf of a request's caller, and what its refusal is to the client.

Every POST may carry an Idempotency-Key; its scope is tenant, route and target. It must never act without the caller's
identity in the envelope.
"""

import re
import secrets
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from commands.handle import Handler, Origin, Outcome
from commands.trigger import TriggerOutcome
from domain import ids
from domain.envelope import Recorded
from domain.refusals import Refusal
from domain.workflow.diagnostics import Diagnostic, as_json, errors
from gateway.http import Parameter, Request
from gateway.problems import problem, refused
from gateway.refusals import Refusals

KEY_LENGTH_MAX = 255
KEY_PATTERN = f"^[!-~]{{1,{KEY_LENGTH_MAX}}}$"

KEY = Parameter(
    name="Idempotency-Key",
    about="Names this request: sent again with the same body, it acts once and is answered as the first time.",
    kind="string",
    place="header",
    example="deploy-42",
    pattern=KEY_PATTERN,
)
IF_MATCH = Parameter(
    name="If-Match",
    about="The ETag of what is changed, or several, or *; 412 where it has become another one.",
    kind="string",
    place="header",
    example='"3"',
)


class Orders:
    """Carries out the commands of requests."""

    def __init__(self, handler: Handler, refusals: Refusals) -> None:
        self.handler = handler
        self._refusals = refusals

    async def carry_out(self, request: Request, command: Any, target: UUID, origin: Origin | None = None) -> Outcome:
        """Handle one command. Raises the problem that its refusal is; the audit keeps it."""
        outcome = await self.handler.handle(command, origin or self.command_origin(request))
        if outcome.refusal is not None:
            raise await self.refused(request, type(command).__name__, str(target), outcome.refusal)
        return outcome

    async def led_to(self, request: Request, stream: UUID, origin: Origin) -> tuple[Recorded, ...]:
        """What the request of this key did to a stream when it came before; nothing where the client named no key."""
        return await self.handler.led_to(stream, origin.given) if named(request) else ()

    async def refused(self, request: Request, command: str, target: str, refusal: Refusal) -> Exception:
        """The problem to raise for a refusal, which is recorded; one about If-Match is not: the client only has to read again."""
        if refusal.code == "version_mismatch":
            return problem(412, refusal.code, refusal.message, hint=refusal.help or "")
        await self._refusals.record(self.origin(request, "refusal", request.request_id), command, target, refusal)
        if refusal.code == "idempotency_key_reused":
            return problem(422, refusal.code, refusal.message, hint=refusal.help or "")
        return refused(refusal)

    async def check_trigger(self, request: Request, repository: str, outcome: TriggerOutcome) -> None:
        """Raise the problem where an event started nothing because a file is broken, or a run was refused."""
        broken = errors(outcome.diagnostics)
        if broken:
            raise invalid(broken, f"in the workflow files of {repository}; nothing was started")
        if outcome.refusal is not None:
            raise await self.refused(request, "TriggerRun", repository, outcome.refusal)

    def command_origin(self, request: Request) -> Origin:
        """The caller, and the command that the Idempotency-Key of this route and target names."""
        scope = f"{request.identity.tenant}|{request.scope['method']} {request.scope['path']}"
        return self.origin(request, scope, idempotency_key(request))

    def origin(self, request: Request, scope: str, key: str) -> Origin:
        """The caller, and the command that `key` names within `scope`."""
        return Origin(request.identity.tenant, request.identity.actor, request.identity.token, ids.command_id(scope, key))


def invalid(broken: Sequence[Diagnostic], where: str) -> Exception:
    """422: workflow files that nobody can run."""
    return problem(
        422,
        "workflow_invalid",
        f"{len(broken)} error(s) {where}",
        hint="ledgermill lint shows them with their lines",
        errors=tuple(as_json(each) for each in broken),
    )


def reused(what: str) -> Exception:
    """422: the Idempotency-Key named another request before. what: what that one did, as in `cancelled run 7`."""
    detail = f"the key of this request {what} with another body before"
    return problem(422, "idempotency_key_reused", detail, hint="use a new key, or repeat the first body")


REPLAYED = (b"idempotency-replayed", b"true")


def named(request: Request) -> bool:
    """Whether the client named this request, so that it may come again."""
    return b"idempotency-key" in request.headers


def idempotency_key(request: Request) -> str:
    """The Idempotency-Key, or one drawn now."""
    given = request.headers.get(b"idempotency-key")
    if given is None:
        return secrets.token_hex(16)
    key = given.decode("latin-1")
    if re.fullmatch(KEY_PATTERN, key) is None:
        detail = "the Idempotency-Key is empty, too long, or not printable ASCII without spaces"
        place = {"pointer": "/header/Idempotency-Key", "message": detail}
        raise problem(422, "bad_idempotency_key", detail, hint=f"1 to {KEY_LENGTH_MAX} characters", errors=(place,))
    return key


def if_match(request: Request) -> tuple[int, ...] | None:
    """The versions that If-Match names, by our ETags; None where any is welcome. What is no ETag of ours matches nothing."""
    given = request.headers.get(b"if-match", b"*").decode("latin-1").strip()
    if given == "*":
        return None
    tags = [tag.strip() for tag in given.split(",")]
    return tuple(int(tag[1:-1]) for tag in tags if re.fullmatch(r'"[0-9]{1,18}"', tag))


def position_header(position: int) -> tuple[bytes, bytes]:
    """`X-Event-Position`, which a query gives back as `at_least`."""
    return b"x-event-position", str(position).encode()
