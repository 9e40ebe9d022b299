"""The fleet's write routes: registration tokens for runners on other machines, and which repositories a group of runners serves."""

from datetime import datetime
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response

from commands.handle import Origin, Outcome
from domain import ids
from domain.registration import DEFAULT_GROUP, CreateRegistration, Registration
from domain.runner_group import ChangeRunnerGroup
from gateway import http, secrets
from gateway.api.orders import REPLAYED, Orders, position_header, reused
from gateway.api.overview import same, selected
from gateway.api.reads import PER_PAGE, AtLeast, Cursor, Listing, Mine, PerPage, least, page
from gateway.openapi import tells
from gateway.problems import problem
from projections.runners import GROUPS, GroupRow
from projections.select import Order

BY_NAME = Order(("name", "id"))


class NewRegistration(msgspec.Struct, frozen=True):
    """`POST /api/v1/runners/registrations`. labels: beside self-hosted, system and architecture. ephemeral: for one job only."""

    labels: tuple[str, ...] = ()
    group: str = DEFAULT_GROUP
    ephemeral: bool = False


class MadeRegistration(msgspec.Struct, frozen=True):
    """One runner may join until expires_at. token: its text; null where the same request was answered before."""

    id: UUID
    token: str | None
    expires_at: datetime
    group: str
    labels: tuple[str, ...]
    ephemeral: bool
    position: int


class ChangeGroup(msgspec.Struct, frozen=True):
    """`POST /api/v1/runners/groups`. repositories: the ids of those that the group serves; null: all of the tenant."""

    name: str
    repositories: tuple[UUID, ...] | None = None


class ChangedGroup(msgspec.Struct, frozen=True):
    """A group as it is now."""

    id: UUID
    name: str
    repositories: tuple[UUID, ...] | None
    position: int


class FleetCommands:
    """Serves the write routes."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def routes(self) -> list[http.Route]:
        """The routes' part of the table."""
        return [
            http.Route(
                method="POST",
                path="/api/v1/runners/registrations",
                least="maintainer",
                summary="Let one runner of another machine join, within ten minutes",
                handle=self.register,
                body=NewRegistration,
                answers=MadeRegistration,
                status=201,
            ),
            http.Route(
                method="POST",
                path="/api/v1/runners/groups",
                least="maintainer",
                summary="Set which repositories a group of runners serves",
                handle=self.change_group,
                body=ChangeGroup,
                answers=ChangedGroup,
            ),
        ]

    async def register(self, request: http.Request, body: NewRegistration) -> http.Reply:
        """A registration token; a repeat of the request makes no other one."""
        origin = self._orders.command_origin(request)
        stream = ids.registration_id(origin.tenant, origin.given)
        text = secrets.draw(secrets.REGISTRATION, stream)
        command = CreateRegistration(stream, secrets.digest(text), body.labels, body.group, body.ephemeral)
        outcome = await self._carried_out(command, origin)
        state: Registration = outcome.state
        made = MadeRegistration(
            id=stream,
            token=text if outcome.events else None,
            expires_at=state.facts.expires_at,
            group=state.facts.group,
            labels=state.facts.labels,
            ephemeral=state.facts.ephemeral,
            position=outcome.position,
        )
        replayed = () if outcome.events else (REPLAYED,)
        return http.answer(made, 201, (position_header(outcome.position), (b"cache-control", b"no-store"), *replayed))

    async def change_group(self, request: http.Request, body: ChangeGroup) -> http.Reply:
        """Whom the group serves from now on; what its runners have begun goes on."""
        origin = self._orders.command_origin(request)
        group = ids.runner_group_id(origin.tenant, body.name)
        before = await self._orders.led_to(request, group, origin)
        if before:
            if before[0].data.repositories != body.repositories:
                raise reused(f"changed group {body.name}")
            position = before[-1].position
            return http.answer(ChangedGroup(group, body.name, body.repositories, position), 200, (position_header(position), REPLAYED))
        outcome = await self._carried_out(ChangeRunnerGroup(group, body.name, body.repositories), origin)
        changed = ChangedGroup(group, body.name, body.repositories, outcome.position)
        return http.answer(changed, 200, (position_header(outcome.position),))

    async def _carried_out(self, command: CreateRegistration | ChangeRunnerGroup, origin: Origin) -> Outcome:
        outcome = await self._orders.handler.handle(command, origin)
        if outcome.refusal is not None:
            raise problem(422, outcome.refusal.code, outcome.refusal.message, hint=outcome.refusal.help or "")
        return outcome


def fleet_routes() -> APIRouter:
    """`GET /api/v1/runners/groups`."""
    router = APIRouter(prefix="/api/v1/runners", tags=["fleet"])

    @router.get("/groups", summary="List the groups of runners whose access was set, by name", openapi_extra=least("viewer"))
    @tells(Listing[GroupRow], returns=("Link",))
    async def groups(
        request: Request, reads: Mine, *, at_least: AtLeast = None, per_page: PerPage = PER_PAGE, cursor: Cursor = None
    ) -> Response:
        await reads.reached(at_least, "runners")
        found = await selected(reads, GROUPS, [("tenant = %s", reads.tenant)], BY_NAME, per_page=per_page, cursor=cursor)
        return page(request, found, per_page, shape=same, cursor=BY_NAME.after)

    return router
