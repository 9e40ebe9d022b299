"""Subscriptions: where events of a tenant are sent to as they happen, which ones, and whether they still are.

How far a subscriber has been served is no event, since each delivery would be two of them: see commands.subscribers. The
secret that signs is never here: the stream only counts them.
"""

from collections.abc import Collection
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.refusals import REPEAT, Decision, Refusal, mismatch

EVERYTHING = "*"
"""Stands for all types of events."""
TYPES_MAX = 200
URL_LENGTH_MAX = 2000


class SubscriptionCreated(msgspec.Struct, frozen=True, gc=False):
    """Events of these types that come after this one are sent to the URL. types: names of events, or "*"."""

    url: str
    types: tuple[str, ...]


class SubscriptionSecretSet(msgspec.Struct, frozen=True, gc=False):
    """What is sent is signed with another secret too from now on. number: how many there have been."""

    number: int


class SubscriptionDisabled(msgspec.Struct, frozen=True, gc=False):
    """Nothing is sent until it is enabled; then it goes on where it was."""

    reason: str


class SubscriptionEnabled(msgspec.Struct, frozen=True, gc=False):
    """It is sent again."""


class SubscriptionDeleted(msgspec.Struct, frozen=True, gc=False):
    """Nothing is sent any more."""


SubscriptionEvent = SubscriptionCreated | SubscriptionSecretSet | SubscriptionDisabled | SubscriptionEnabled | SubscriptionDeleted


class CreateSubscription(msgspec.Struct, frozen=True, gc=False):
    """Send events to a URL. Its secret lies outside the log already."""

    subscription: UUID
    url: str
    types: tuple[str, ...]


class ChangeSubscription(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Change it; None: as it is. reason: why it is disabled. new_secret: it has got another one. versions: see SetWorkflowEnabled."""

    subscription: UUID
    enabled: bool | None = None
    reason: str = ""
    new_secret: bool = False
    versions: tuple[int, ...] | None = None


class DeleteSubscription(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Send nothing any more. versions: see SetWorkflowEnabled."""

    subscription: UUID
    versions: tuple[int, ...] | None = None


SubscriptionCommand = CreateSubscription | ChangeSubscription | DeleteSubscription


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """A subscription's state. secrets: how many there have been; version: of its stream."""

    facts: SubscriptionCreated
    enabled: bool = True
    deleted: bool = False
    secrets: int = 1
    version: int = 1


def wants(types: Collection[str], event_type: str) -> bool:
    """Whether events of this type are sent."""
    return event_type in types or EVERYTHING in types


def fault(url: str) -> str | None:
    """What is wrong with the URL of a subscriber, as a sentence; None where nothing is."""
    if not url or len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url:
        return f"it is empty, longer than {URL_LENGTH_MAX} characters, or holds what stands in no URL"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"it cannot be read: {error}"
    if parts.scheme not in ("https", "http"):
        return "it begins with neither https:// nor http://"
    if not host:
        return "it names no host"
    if parts.username is not None or parts.fragment:
        return "it holds a user, or a part that no server is told"
    return None


def decide(state: Subscription | None, command: SubscriptionCommand) -> Decision | Refusal:
    """The answer of a subscription to each command."""
    if isinstance(command, CreateSubscription):
        return _create(state, command)
    if state is None or state.deleted:
        return Refusal("subscription_not_found", f"there is no subscription {command.subscription}", state="absent")
    other = mismatch(f"subscription {command.subscription}", state.version, command.versions)
    if other is not None:
        return other
    match command:
        case ChangeSubscription():
            return _change(state, command)
        case DeleteSubscription():
            return Decision((SubscriptionDeleted(),))


def _create(state: Subscription | None, command: CreateSubscription) -> Decision | Refusal:
    wrong = fault(command.url)
    if wrong is None and not 0 < len(command.types) <= TYPES_MAX:
        wrong = f"it names {len(command.types)} types of events, where 1 to {TYPES_MAX} belong"
    if wrong is not None:
        help_ = "write the URL as https://host/path, and which events it gets"
        return Refusal("bad_subscription", f"the subscription cannot be made: {wrong}", state="absent", help=help_)
    made = SubscriptionCreated(command.url, command.types)
    if state is None:
        return Decision((made,))
    if state.facts == made:
        return REPEAT
    message = "the Idempotency-Key was used for another subscription"
    return Refusal("idempotency_key_reused", message, state="present", help="use a new key for a new subscription")


def _change(state: Subscription, command: ChangeSubscription) -> Decision:
    events: list[SubscriptionEvent] = []
    if command.new_secret:
        events.append(SubscriptionSecretSet(state.secrets + 1))
    if command.enabled is not None and command.enabled != state.enabled:
        events.append(SubscriptionEnabled() if command.enabled else SubscriptionDisabled(command.reason))
    return Decision(tuple(events))


def evolve(state: Subscription | None, event: SubscriptionEvent) -> Subscription:
    """How each event changes a subscription."""
    if isinstance(event, SubscriptionCreated):
        return Subscription(event)
    assert state is not None, "a subscription's stream begins with SubscriptionCreated"  # noqa: S101 - a fact, not a check
    version = state.version + 1
    match event:
        case SubscriptionSecretSet():
            return replace(state, secrets=event.number, version=version)
        case SubscriptionDisabled():
            return replace(state, enabled=False, version=version)
        case SubscriptionEnabled():
            return replace(state, enabled=True, version=version)
        case SubscriptionDeleted():
            return replace(state, deleted=True, version=version)
