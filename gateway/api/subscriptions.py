"""Subscriptions: who is sent which events, what came of it, and the routes that make, change and delete them.

The secret that signs goes to a file of its own, and never into an event, an answer or a log.
"""

from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response

from commands.handle import Handler
from domain import egress, ids, outgoing
from domain.egress import Network
from domain.events import REGISTER
from domain.ports import Clock
from domain.subscription import EVERYTHING, TYPES_MAX, ChangeSubscription, CreateSubscription, DeleteSubscription, Subscription, fault
from domain.workflow.suggest import did_you_mean
from gateway import http
from gateway.api.checks import unfit
from gateway.api.commands import Accepted
from gateway.api.orders import REPLAYED, Orders, if_match, position_header, reused
from gateway.api.overview import NEWEST_FIRST, Condition, only, selected
from gateway.api.reads import PER_PAGE, AtLeast, Cursor, Id, Listing, Mine, PerPage, Reads, bad_cursor, least, page, read_cursor, respond
from gateway.openapi import tells
from gateway.ports import Secrets
from projections.select import Order
from projections.sent import END, SentEvent, sent, served
from projections.subscriptions import SUBSCRIPTION_TABLE, SubscriptionRow

BY_POSITION = Order(("position",), descending=True)

# For the document; the checks below refuse what does not fit, with a code of its own.
URL = msgspec.Meta(extra_json_schema={"minLength": 1})
TYPES = msgspec.Meta(extra_json_schema={"minItems": 1, "maxItems": TYPES_MAX})
SECRET = msgspec.Meta(extra_json_schema={"pattern": f"^{outgoing.SECRET_PREFIX}[A-Za-z0-9+/]+=*$"})


class NewSubscription(msgspec.Struct, frozen=True):
    """`POST /api/v1/subscriptions`. types: names of events, or "*". secret: whsec_ and 24 to 64 random bytes in base64."""

    url: Annotated[str, URL]
    types: Annotated[tuple[str, ...], TYPES]
    secret: Annotated[str, SECRET]


class ChangedSubscription(msgspec.Struct, frozen=True):
    """`PATCH /api/v1/subscriptions/{id}`. secret: another one; both sign for a day."""

    enabled: bool | None = None
    secret: Annotated[str, SECRET] | None = None


class SubscriptionShape(msgspec.Struct, frozen=True):
    """A subscription. reason: why it is not enabled; served: the position up to which everything was sent or given up."""

    id: UUID
    url: str
    types: tuple[str, ...]
    enabled: bool
    reason: str
    created_at: datetime
    created_by: str
    position: int
    served: int
    version: int


class SubscriptionCommands:
    """Serves the write routes. allowed: networks that subscribers may be in although they are not public."""

    def __init__(self, orders: Orders, handler: Handler, clock: Clock, *, secrets: Secrets, allowed: tuple[Network, ...]) -> None:
        self._orders = orders
        self._handler = handler
        self._clock = clock
        self._secrets = secrets
        self._allowed = allowed

    def routes(self) -> list[http.Route]:
        """The routes' part of the table."""
        path, one = "/api/v1/subscriptions", "/api/v1/subscriptions/{id}"
        return [
            http.Route(
                method="POST",
                path=path,
                least="maintainer",
                summary="Send events to a URL as they happen",
                handle=self.create,
                body=NewSubscription,
                answers=Accepted,
                status=201,
            ),
            http.Route(
                method="PATCH",
                path=one,
                least="maintainer",
                summary="Enable or disable a subscription, or give it another secret",
                handle=self.change,
                body=ChangedSubscription,
                answers=Accepted,
                conditional=True,
            ),
            http.Route(
                method="DELETE",
                path=one,
                least="maintainer",
                summary="Send nothing more to a subscriber",
                handle=self.delete,
                status=204,
                conditional=True,
            ),
        ]

    async def create(self, request: http.Request, body: NewSubscription) -> http.Reply:
        """A new subscription, which gets what happens from now on; a repeat of the request makes no other one."""
        self._check_url(body.url)
        _check_types(body.types)
        _check_secret(body.secret)
        origin = self._orders.command_origin(request)
        stream = ids.subscription_id(origin.tenant, origin.given)
        known: Subscription | None = await self._handler.own(origin.tenant, stream, "subscription")
        if known is None:
            self._secrets.replace(stream, body.secret, self._clock.now())
        elif not known.deleted and body.secret not in self._secrets.valid(stream, self._clock.now()):
            raise reused("made a subscription")
        outcome = await self._orders.carry_out(request, CreateSubscription(stream, body.url, body.types), stream, origin)
        position = await self._handler.position(stream, 1)
        headers = [position_header(position), (b"location", f"/api/v1/subscriptions/{stream}".encode())]
        return http.answer(Accepted(stream, position), 201, (*headers, *(() if outcome.events else (REPLAYED,))))

    async def change(self, request: http.Request, body: ChangedSubscription) -> http.Reply:
        """Enabled again, it goes on with the first event that it has not got."""
        _check_secret(body.secret)
        stream, versions = request.params[0], if_match(request)
        state: Subscription | None = await self._handler.own(request.identity.tenant, stream, "subscription")
        present = state is not None and not state.deleted and (versions is None or state.version in versions)
        renewed = present and body.secret is not None and self._secrets.replace(stream, body.secret, self._clock.now())
        reason = "" if body.enabled else "by request"
        command = ChangeSubscription(stream, body.enabled, reason, renewed, versions)
        outcome = await self._orders.carry_out(request, command, stream)
        return http.answer(Accepted(stream, outcome.position), 200, (position_header(outcome.position),))

    async def delete(self, request: http.Request, _body: None) -> http.Reply:
        """What is under way at this moment may still arrive."""
        stream = request.params[0]
        outcome = await self._orders.carry_out(request, DeleteSubscription(stream, if_match(request)), stream)
        self._secrets.remove(stream)
        return http.Reply(204, headers=(position_header(outcome.position),))

    def _check_url(self, url: str) -> None:
        """Names are looked up when something is sent, and then again and again; an address can be judged now."""
        hint = "write it as https://host/path"
        wrong = fault(url)
        if wrong is not None:
            raise unfit("bad_url", "/url", f"nothing can be sent to this URL: {wrong}", hint)
        address = egress.literal(http_host(url))
        refusal = None if address is None else egress.refusal(address, self._allowed)
        if refusal is not None:
            raise unfit("address_not_allowed", "/url", refusal, "name a public host, or let the operator allow the network")


def http_host(url: str) -> str:
    """The host of a URL that has one."""
    return urlsplit(url).hostname or ""


def _check_types(types: tuple[str, ...]) -> None:
    if not 0 < len(types) <= TYPES_MAX:
        raise unfit(
            "bad_types", "/types", f"it names {len(types)} types, where 1 to {TYPES_MAX} belong", f'["{EVERYTHING}"] is all of them'
        )
    for number, name in enumerate(types):
        if name != EVERYTHING and name not in REGISTER:
            hint = did_you_mean(name, REGISTER) or f'"{EVERYTHING}" is all of them; /events shows their names'
            raise unfit("unknown_event_type", f"/types/{number}", f'there are no events "{name[:100]}"', hint)


def _check_secret(secret: str | None) -> None:
    if secret is not None and outgoing.key(secret) is None:
        what = f"the secret is not {outgoing.SECRET_PREFIX} and 24 to 64 bytes in base64"
        raise unfit("bad_secret", "/secret", what, 'draw one: echo "whsec_$(openssl rand -base64 32)"')


def subscription_routes() -> APIRouter:
    """`GET /api/v1/subscriptions`, and what came of each."""
    router = APIRouter(prefix="/api/v1/subscriptions", tags=["subscriptions"])

    @router.get("", summary="List subscriptions, the newest first", openapi_extra=least("maintainer"))
    @tells(Listing[SubscriptionShape], returns=("Link",))
    async def subscriptions(
        request: Request, reads: Mine, *, at_least: AtLeast = None, per_page: PerPage = PER_PAGE, cursor: Cursor = None
    ) -> Response:
        await reads.reached(at_least, "subscriptions")
        found = await selected(reads, SUBSCRIPTION_TABLE, _alive(reads), NEWEST_FIRST, per_page=per_page, cursor=cursor)
        shapes = [await _shape(reads, row) for row in found]
        return page(request, shapes, per_page, shape=lambda shape: shape, cursor=NEWEST_FIRST.after)

    @router.get("/{id:uuid}", summary="One subscription", openapi_extra=least("maintainer"))
    @tells(SubscriptionShape, returns=("ETag",))
    async def subscription(reads: Mine, subscription: Id, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "subscriptions")
        row = await _one(reads, subscription)
        return respond(await _shape(reads, row), headers={"ETag": f'"{row.version}"'})

    @router.get("/{id:uuid}/deliveries", summary="What a subscriber was sent, the newest first", openapi_extra=least("maintainer"))
    @tells(Listing[SentEvent], returns=("Link",))
    async def deliveries(
        request: Request, reads: Mine, subscription: Id, *, at_least: AtLeast = None, per_page: PerPage = PER_PAGE, cursor: Cursor = None
    ) -> Response:
        await reads.reached(at_least, "subscriptions")
        await _one(reads, subscription)
        before = _before(cursor)
        async with reads.connections() as connection:
            found = await sent(connection, subscription, before, per_page + 1)
        return page(request, found, per_page, shape=lambda each: each, cursor=BY_POSITION.after)

    return router


def _alive(reads: Reads) -> list[Condition]:
    return [("tenant = %s", reads.tenant), ("deleted_at IS NULL AND %s", True)]


async def _one(reads: Reads, identity: UUID) -> SubscriptionRow:
    found = await selected(reads, SUBSCRIPTION_TABLE, [*_alive(reads), ("id = %s", identity)], NEWEST_FIRST)
    row: SubscriptionRow = only(found, "subscription", identity)
    return row


async def _shape(reads: Reads, row: SubscriptionRow) -> SubscriptionShape:
    async with reads.connections() as connection:
        position = await served(connection, row.id, row.position)
    facts = {name: getattr(row, name) for name in SubscriptionShape.__struct_fields__ if name != "served"}
    return SubscriptionShape(**facts, served=position)


def _before(cursor: str | None) -> int:
    """The position that a page ends before; 422 for a cursor of another list."""
    values = read_cursor(cursor)
    if values is None:
        return END
    if len(values) != 1 or not isinstance(values[0], int) or not 0 <= values[0] <= END:
        raise bad_cursor(cursor)
    return values[0]
