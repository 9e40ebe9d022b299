"""A webhook delivery: taken in once, then answered once with the runs that it starts and the reasons of those it does not.

The stream is named by the forge's own id of the delivery, so however often and wherever it arrives, it is one. Intake
only records; what it starts is decided later and committed together with the runs, so a crash between leaves either
nothing or all. It must never hold the payload: that is a blob, named by its digest.
"""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.envelope import Meta
from domain.refusals import REPEAT, Decision, Refusal
from domain.run.commands import TriggerRun
from domain.schedule import RequestScheduleRead

BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 2.0, 600.0
GIVEN_UP_AFTER = timedelta(days=1)


class StartedRun(msgspec.Struct, frozen=True, gc=False):
    """A run that the delivery started. workflow: its path; event: as `on` names it."""

    workflow: str
    event: str
    run: UUID


class Unstarted(msgspec.Struct, frozen=True, gc=False):
    """A workflow that it did not start. filter: the part of `on` that rejected it, or "disabled" or "invalid"."""

    workflow: str
    event: str
    filter: str
    reason: str


class WebhookReceived(msgspec.Struct, frozen=True, gc=False):
    """A forge's delivery is stored. event: what its header says; key: the forge's id of it; payload: digest of its bytes.

    repository: None where the payload names none.
    """

    provider: str
    event: str
    key: str
    repository: UUID | None
    repository_name: str
    payload: str
    payload_bytes: int


class WebhookIgnored(msgspec.Struct, frozen=True, gc=False):
    """It can start nothing, and why."""

    reason: str


class WebhookAnswered(msgspec.Struct, frozen=True, gc=False):
    """What became of it, workflow by workflow. The runs begin in the same commit."""

    runs: tuple[StartedRun, ...]
    unstarted: tuple[Unstarted, ...]


class WebhookDeferred(msgspec.Struct, frozen=True, gc=False):
    """It could not be answered yet: its forge is away. attempts: so far."""

    attempts: int
    reason: str
    retry_at: datetime


class WebhookFailed(msgspec.Struct, frozen=True, gc=False):
    """It was not answered within a day and never will be."""

    attempts: int
    reason: str


DeliveryEvent = WebhookReceived | WebhookIgnored | WebhookAnswered | WebhookDeferred | WebhookFailed


class ReceiveWebhook(msgspec.Struct, frozen=True, gc=False):
    """Take a delivery in. ignored: why it can start nothing, "": it may start runs."""

    delivery: UUID
    received: WebhookReceived
    ignored: str = ""


class IgnoreDelivery(msgspec.Struct, frozen=True, gc=False):
    """It can start nothing."""

    delivery: UUID
    reason: str


class AnswerDelivery(msgspec.Struct, frozen=True, gc=False):
    """Start these runs and say what did not start. schedules: to be read again, because it changes what they say."""

    delivery: UUID
    runs: tuple[TriggerRun, ...]
    unstarted: tuple[Unstarted, ...]
    schedules: tuple[RequestScheduleRead, ...] = ()


class DeferDelivery(msgspec.Struct, frozen=True, gc=False):
    """It cannot be answered now."""

    delivery: UUID
    reason: str


DeliveryCommand = ReceiveWebhook | IgnoreDelivery | AnswerDelivery | DeferDelivery


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A delivery's state. status: "received", "deferred", "ignored", "answered" or "failed"; the last three are final.

    reason: of the last event that gave one. runs: how many it started.
    """

    facts: WebhookReceived
    received_at: datetime
    status: str = "received"
    reason: str = ""
    runs: int = 0
    attempts: int = 0
    retry_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether it still waits for its answer."""
        return self.status in ("received", "deferred")


def decide(state: Delivery | None, command: DeliveryCommand, meta: Meta) -> Decision | Refusal:
    """A delivery that was taken in before is a repeat; one that has its answer keeps it."""
    if isinstance(command, ReceiveWebhook):
        if state is None:
            return Decision((command.received, WebhookIgnored(command.ignored)) if command.ignored else (command.received,))
        if state.facts == command.received:
            return REPEAT
        message = f"delivery {command.received.key} came before with another payload"
        return Refusal(
            "delivery_reused", message, state="present", help="a forge repeats a delivery with the same bytes, or gives a new id"
        )
    if state is None:
        return Refusal("delivery_not_found", f"there is no delivery {command.delivery}", state="absent")
    if not state.open:
        return REPEAT
    match command:
        case IgnoreDelivery():
            return Decision((WebhookIgnored(command.reason),))
        case AnswerDelivery():
            runs = tuple(StartedRun(run.workflow_path, run.event, run.run) for run in command.runs)
            return Decision((WebhookAnswered(runs, command.unstarted),), (*command.schedules, *command.runs))
        case DeferDelivery():
            attempts = state.attempts + 1
            if meta.at >= state.received_at + GIVEN_UP_AFTER:
                return Decision((WebhookFailed(attempts, command.reason),))
            return Decision((WebhookDeferred(attempts, command.reason, meta.at + _pause(command.delivery, attempts)),))


def evolve(state: Delivery | None, event: DeliveryEvent, meta: Meta) -> Delivery:
    """How each event changes a delivery."""
    if isinstance(event, WebhookReceived):
        return Delivery(event, meta.at)
    assert state is not None, "a delivery's stream begins with WebhookReceived"  # noqa: S101 - a fact, not a check
    match event:
        case WebhookIgnored():
            return replace(state, status="ignored", reason=event.reason, retry_at=None)
        case WebhookAnswered():
            return replace(state, status="answered", reason="", runs=len(event.runs), retry_at=None)
        case WebhookDeferred():
            return replace(state, status="deferred", reason=event.reason, attempts=event.attempts, retry_at=event.retry_at)
        case WebhookFailed():
            return replace(state, status="failed", reason=event.reason, attempts=event.attempts, retry_at=None)


def _pause(delivery: UUID, attempts: int) -> timedelta:
    """Doubled each time, capped, plus up to a fifth, which comes from the id: many that wait for one forge do not ask at once."""
    base = min(BACKOFF_SECONDS * 2 ** min(attempts - 1, 32), BACKOFF_SECONDS_MAX)
    share = hashlib.sha256(delivery.bytes + attempts.to_bytes(4, "big")).digest()[0] / 256
    return timedelta(seconds=base * (1 + share / 5))
