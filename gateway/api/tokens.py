"""Access tokens: make, list, revoke. The text of one is in the answer to the request that made it, and nowhere else."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response

from commands.handle import Handler, Origin
from domain import ids
from domain.access import Role, may
from domain.token import LIFETIME_SECONDS_MAX, NAME_LENGTH_MAX, CreateToken, RevokeToken, Token
from gateway import http, secrets
from gateway.api.orders import REPLAYED, idempotency_key, if_match, position_header
from gateway.api.overview import Condition, only, same, selected
from gateway.api.reads import PER_PAGE, AtLeast, Cursor, Id, Listing, Mine, PerPage, least, page, respond
from gateway.openapi import tells
from gateway.problems import problem, refused
from gateway.refusals import Refusals
from projections.select import Order
from projections.tokens import TOKEN_TABLE, TokenRow

DEFAULT_SECONDS = 90 * 86_400
NEWEST_FIRST = Order(("created_at", "id"), descending=True)
TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


# For the document; the domain refuses what does not fit, with a code of its own.
NAME = msgspec.Meta(extra_json_schema={"minLength": 1, "maxLength": NAME_LENGTH_MAX})
LIFETIME = msgspec.Meta(extra_json_schema={"minimum": 1, "maximum": LIFETIME_SECONDS_MAX})
NAMED = msgspec.Meta(extra_json_schema={"pattern": f"^{TENANT.pattern}$"})


class NewToken(msgspec.Struct, frozen=True):
    """`POST /api/v1/tokens`. expires_in_seconds: null: until it is revoked. tenant: another one, which begins with it (operators)."""

    name: Annotated[str, NAME]
    role: Role
    expires_in_seconds: Annotated[int, LIFETIME] | None = DEFAULT_SECONDS
    tenant: Annotated[str, NAMED] | None = None


class MadeToken(msgspec.Struct, frozen=True):
    """A token that was made. token: its text, to be kept now; null where the same request was answered before."""

    id: UUID
    tenant: str
    name: str
    role: Role
    expires_at: datetime | None
    token: str | None
    position: int


class TokenCommands:
    """Serves the write routes."""

    def __init__(self, handler: Handler, refusals: Refusals) -> None:
        self._handler = handler
        self._refusals = refusals

    def routes(self) -> list[http.Route]:
        """The routes' part of the table."""
        path = "/api/v1/tokens"
        return [
            http.Route(
                method="POST",
                path=path,
                least="admin",
                summary="Make a token; its text is in this answer only",
                handle=self.create,
                body=NewToken,
                answers=MadeToken,
                status=201,
            ),
            http.Route(
                method="DELETE",
                path=path + "/{id}",
                least="admin",
                summary="Revoke a token at once",
                handle=self.revoke,
                status=204,
                conditional=True,
            ),
        ]

    async def create(self, request: http.Request, body: NewToken) -> http.Reply:
        """A new token; a repeat of the request makes no other one."""
        origin = self._origin(request, tenant_of(request, body.tenant))
        stream = ids.token_id(origin.tenant, origin.given)
        text = secrets.draw(secrets.ACCESS, stream)
        command = CreateToken(stream, body.name, body.role, secrets.digest(text), body.expires_in_seconds)
        outcome = await self._handler.handle(command, origin)
        if outcome.refusal is not None:
            raise problem(422, outcome.refusal.code, outcome.refusal.message, hint=outcome.refusal.help or "")
        state: Token = outcome.state
        shown = text if outcome.events else None
        made = MadeToken(stream, state.tenant, state.facts.name, state.role, state.facts.expires_at, shown, outcome.position)
        replayed = () if outcome.events else (REPLAYED,)
        return http.answer(made, 201, (position_header(outcome.position), (b"cache-control", b"no-store"), *replayed))

    async def revoke(self, request: http.Request, _body: None) -> http.Reply:
        """It opens nothing from now on, at any gateway within a moment."""
        stream = request.params[0]
        origin = self._origin(request, request.identity.tenant)
        outcome = await self._handler.handle(RevokeToken(stream, "by request", if_match(request)), origin)
        if outcome.refusal is not None and outcome.refusal.code == "version_mismatch":
            raise problem(412, outcome.refusal.code, outcome.refusal.message, hint=outcome.refusal.help or "")
        if outcome.refusal is not None:
            await self._refusals.record(origin, "RevokeToken", str(stream), outcome.refusal)
            raise refused(outcome.refusal)
        return http.Reply(204, headers=(position_header(outcome.position),))

    @staticmethod
    def _origin(request: http.Request, tenant: str) -> Origin:
        scope = f"{request.identity.tenant}|{request.scope['method']} {request.scope['path']}"
        return Origin(tenant, request.identity.actor, request.identity.token, ids.command_id(scope, idempotency_key(request)))


def tenant_of(request: http.Request, wanted: str | None) -> str:
    """The caller's tenant, or the one that an operator names."""
    own = request.identity.tenant
    if wanted is None or wanted == own:
        return own
    if not may(request.identity.role, own, "operator"):
        raise problem(403, "wrong_role", "only an operator may make tokens of another tenant", hint="leave the tenant out")
    if not TENANT.fullmatch(wanted):
        raise problem(422, "bad_tenant", f'"{wanted}" cannot be a tenant', hint="a to z, 0 to 9 and hyphens, at most 63")
    return wanted


def token_routes() -> APIRouter:
    """`GET /api/v1/tokens`."""
    router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])

    @router.get("", summary="List tokens, newest first, without their texts", openapi_extra=least("admin"))
    @tells(Listing[TokenRow], returns=("Link",))
    async def tokens(
        request: Request, reads: Mine, *, at_least: AtLeast = None, per_page: PerPage = PER_PAGE, cursor: Cursor = None
    ) -> Response:
        await reads.reached(at_least, "tokens")
        conditions: Sequence[Condition] = [("tenant = %s", reads.tenant)]
        found = await selected(reads, TOKEN_TABLE, conditions, NEWEST_FIRST, per_page=per_page, cursor=cursor)
        return page(request, found, per_page, shape=same, cursor=NEWEST_FIRST.after)

    @router.get("/{id}", summary="One token, without its text", openapi_extra=least("admin"))
    @tells(TokenRow, returns=("ETag",))
    async def token(reads: Mine, token: Id, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "tokens")
        conditions: list[Condition] = [("tenant = %s", reads.tenant), ("id = %s", token)]
        row = only(await selected(reads, TOKEN_TABLE, conditions, NEWEST_FIRST), "token", token)
        return respond(row, headers={"ETag": f'"{row.version}"'})

    return router
