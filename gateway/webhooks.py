"""Webhooks in: a forge's delivery is verified over its raw bytes, stored, and only then acknowledged.

Nothing of a workflow is looked at here, so a burst costs one blob and one append each, and nothing that a forge sends can
be lost between its acknowledgement and its runs. Who cannot prove to know the secret is told nothing about what is
registered, and leaves no event. The route is the forge's; `?tenant=` names whose repository it is about.
"""

import re
import secrets
from typing import Any
from uuid import UUID

import msgspec

from commands.handle import Handler, Origin
from domain import ids
from domain.access import FIRST_TENANT
from domain.delivery import Delivery, ReceiveWebhook, WebhookReceived
from domain.ports import Blobs, Clock
from domain.repository import Repository
from domain.webhooks import signature
from domain.webhooks.incoming import NoEvent, Provider, incoming
from domain.webhooks.payload import PayloadError, payload_of
from domain.webhooks.shape import text
from gateway.api.orders import REPLAYED, position_header
from gateway.http import Parameter, Reply, Request, Route, answer
from gateway.ports import Secrets
from gateway.problems import problem

BYTES_MAX = 25 * 1024 * 1024
"""What GitHub sends at most."""

PROVIDERS: tuple[Provider, ...] = ("github", "gitea", "gitlab")
EVENT_HEADERS: dict[Provider, str] = {"github": "x-github-event", "gitea": "x-gitea-event", "gitlab": "x-gitlab-event"}
KEY_HEADERS: dict[Provider, str] = {"github": "x-github-delivery", "gitea": "x-gitea-delivery", "gitlab": "idempotency-key"}
"""Where the forge's own id of a delivery stands, the same when it sends it again. Without it the bytes are their own name."""

PRINTABLE = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,199}")


class Taken(msgspec.Struct, frozen=True):
    """A delivery is stored. status: "received": it will be answered; "ignored": it can start nothing, reason says why."""

    delivery: UUID
    status: str
    reason: str
    position: int


class Webhooks:
    """Serves the three routes. shared: the secrets that count for repositories of the first tenant without one of their own."""

    def __init__(self, handler: Handler, blobs: Blobs, clock: Clock, *, secrets_of: Secrets, shared: tuple[str, ...]) -> None:
        self._handler = handler
        self._blobs = blobs
        self._secrets = secrets_of
        self._clock = clock
        self._shared = shared

    def routes(self) -> list[Route]:
        """This part of the table."""
        return [
            Route(
                method="POST",
                path=f"/api/v1/webhooks/{provider}",
                least="signed",
                summary=f"Take in a delivery of {provider}",
                handle=self._taker(provider),
                body=bytes,
                answers=Taken,
                status=202,
                limit_bytes=BYTES_MAX,
                parameters=_parameters(provider),
            )
            for provider in PROVIDERS
        ]

    def _taker(self, provider: Provider) -> Any:
        async def take(request: Request, body: bytes) -> Reply:
            return await self.take(provider, request, body)

        return take

    async def take(self, provider: Provider, request: Request, body: bytes) -> Reply:
        """Verify, store, acknowledge."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}
        tenant = request.query.get("tenant", FIRST_TENANT)
        given = signature.proof(provider, headers)
        if given is None or not PRINTABLE.fullmatch(tenant):
            raise _unsigned(provider)
        full_name, problem_of_body = _named(provider, body)
        identity = ids.repository_id(tenant, provider, full_name) if full_name else None
        repository: Repository | None = await self._handler.own(tenant, identity, "repository") if identity is not None else None
        if repository is not None and repository.removed:
            repository = None
        if not signature.fits(provider, given, body, self._valid(tenant, identity if repository is not None else None)):
            raise _unsigned(provider)
        if problem_of_body is not None:
            raise problem(400, "bad_payload", f"the payload cannot be read: {problem_of_body}", hint="send the forge's JSON unchanged")
        name = headers.get(EVENT_HEADERS[provider], "")
        if not PRINTABLE.fullmatch(name):
            raise problem(400, "no_event_name", f"there is no header {EVENT_HEADERS[provider]}", hint="it names the event, e.g. push")
        digest = await self._blobs.put(body)
        key = headers.get(KEY_HEADERS[provider], "")
        received = WebhookReceived(
            provider=provider,
            event=name,
            key=key if PRINTABLE.fullmatch(key) else digest,
            repository=identity if repository is not None else None,
            repository_name=full_name,
            payload=digest,
            payload_bytes=len(body),
        )
        ignored = _why_ignored(provider, name, body, full_name, known=repository is not None)
        delivery = ids.delivery_id(tenant, provider, full_name, received.key)
        origin = Origin(tenant, f"webhook:{provider}", command=ids.command_id(f"webhook|{tenant}|{provider}|{full_name}", received.key))
        outcome = await self._handler.handle(ReceiveWebhook(delivery, received, ignored), origin)
        if outcome.refusal is not None:
            raise problem(422, outcome.refusal.code, outcome.refusal.message, hint=outcome.refusal.help or "")
        state: Delivery = outcome.state
        status = state.status if outcome.events or state.status == "ignored" else "received"
        more = () if outcome.events else (REPLAYED,)
        place = (b"location", f"/api/v1/deliveries/{delivery}".encode())
        position = await self._handler.position(delivery, 1)
        return answer(
            Taken(delivery, status, state.reason if status == "ignored" else "", position), 202, (position_header(position), place, *more)
        )

    def _valid(self, tenant: str, repository: UUID | None) -> tuple[str, ...]:
        """The repository's secrets, else the shared ones; where there is none, one that nobody knows."""
        own = self._secrets.valid(repository, self._clock.now()) if repository is not None else ()
        return own or (self._shared if tenant == FIRST_TENANT else ()) or (secrets.token_hex(32),)


def _parameters(provider: Provider) -> tuple[Parameter, ...]:
    """What a delivery carries beside its body."""
    proof = signature.HEADERS[provider][0]
    return (
        Parameter(name="tenant", about="Whose repository it is (default: the first tenant's).", kind="string", example=FIRST_TENANT),
        Parameter(name=proof, about="The proof that the sender knows the secret.", kind="string", place="header", example="sha256=0"),
        Parameter(name=EVENT_HEADERS[provider], about="The event's name.", kind="string", place="header", example="push"),
        Parameter(name=KEY_HEADERS[provider], about="The delivery's id.", kind="string", place="header", example="72d3162e"),
    )


def shared_secrets(setting: str | None) -> tuple[str, ...]:
    """The secrets of the setting: one, or during a rotation two with a blank between."""
    return tuple((setting or "").split())


def _named(provider: Provider, body: bytes) -> tuple[str, str | None]:
    """The repository that the body is about ("" for none), and why the body cannot be read, where it cannot.

    The secret depends on the repository, so this much is read before the signature is looked at.
    """
    try:
        payload = payload_of(body)
    except PayloadError as error:
        return "", str(error)
    full_name = text(payload, "project", "path_with_namespace") if provider == "gitlab" else text(payload, "repository", "full_name")
    return (full_name, None) if full_name.isprintable() and len(full_name) <= 300 else ("", "the name of its repository is no name")


def _why_ignored(provider: Provider, name: str, body: bytes, full_name: str, *, known: bool) -> str:
    found = incoming(provider, name, payload_of(body))
    if isinstance(found, NoEvent):
        return found.reason
    return "" if known else f"the repository {full_name} is not registered: ledgermill repository add"


def _unsigned(provider: Provider) -> Exception:
    wanted = " or ".join(signature.HEADERS[provider])
    return problem(
        401,
        "bad_signature",
        f"{wanted} is missing or was not made with a secret that counts here",
        hint="give the forge the repository's webhook secret: ledgermill repository set REPOSITORY --webhook-secret",
    )
