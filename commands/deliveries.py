"""The agent that answers webhook deliveries: what was taken in becomes runs, or the reasons why not.

It follows the log. Deliveries of one repository are answered one after the other in the order of the log, those of
different repositories side by side, so a forge that is away holds up its own repositories only. The answer and its runs
are one commit on the delivery's stream, and that stream has one answer: a crash, a restart or a second agent repeats no
run. The recorded position stays before the oldest delivery without an answer, so a restart finds all of them again.
"""

import logging
from datetime import timedelta
from uuid import UUID

from commands.answering import Answering, Away
from commands.handle import Handler, Origin
from commands.in_lines import InLines
from domain.delivery import DeferDelivery, Delivery, DeliveryCommand
from domain.envelope import Recorded
from domain.ports import Clock, EventStore, Feed, StoreUnavailable, StreamUnreadable

AGENT = "deliveries"
TYPES = frozenset({"WebhookReceived"})

log = logging.getLogger(__name__)


class Deliveries:
    """Runs until cancelled. Several of them on one store are harmless."""

    def __init__(self, handler: Handler, store: EventStore, feed: Feed, clock: Clock, answering: Answering) -> None:
        self._handler = handler
        self._clock = clock
        self._answering = answering
        self._lines = InLines(AGENT, store, feed, TYPES, line=line_of, work=self._answered)

    async def run(self) -> None:
        """Answer every delivery from the recorded position on."""
        await self._lines.run()

    async def _answered(self, event: Recorded) -> float | None:
        """Answer a delivery; seconds to wait where it cannot be answered yet."""
        state: Delivery = await self._handler.latest(event.stream, "delivery")
        if not state.open:
            return None
        if state.retry_at is not None and (left := (state.retry_at - self._clock.now()) / timedelta(seconds=1)) > 0:
            return left
        return await self._try(event, state)

    async def _try(self, event: Recorded, state: Delivery) -> float | None:
        origin = Origin(event.meta.tenant, event.meta.actor, cause=event.id)
        try:
            command: DeliveryCommand = await self._answering.answer(event.stream, event.meta.tenant, state)
        except (StoreUnavailable, StreamUnreadable):
            raise
        except Away as away:
            command = DeferDelivery(event.stream, str(away))
        except Exception as error:
            log.exception("delivery %s could not be answered", event.stream)
            command = DeferDelivery(event.stream, f"{type(error).__name__}: {error}"[:500])
        outcome = await self._handler.handle(command, origin)
        if outcome.refusal is not None:  # a workflow changed between the answer and its commit: look again
            await self._handler.handle(DeferDelivery(event.stream, outcome.refusal.message), origin)
        return None if isinstance(outcome.state, Delivery) and not outcome.state.open else 0.0


def line_of(event: Recorded) -> UUID:
    """The repository that a delivery is about, where it is known."""
    repository: UUID | None = event.data.repository
    return repository or event.stream
