"""Why an event did not start a workflow: told from the stream of the webhook delivery that brought it."""

from collections.abc import Sequence

from domain import delivery as d
from domain.envelope import Recorded
from domain.why.reason import FILTERS, About, DeliveryWhy, Reason


def why_delivery(events: Sequence[Recorded]) -> DeliveryWhy | None:
    """What a delivery came to. events: of its stream, in order; None where it is no delivery's."""
    if not events or not isinstance(events[0].data, d.WebhookReceived):
        return None
    first, last = events[0], events[-1]
    facts: d.WebhookReceived = first.data
    state: d.Delivery | None = None
    for event in events:
        if isinstance(event.data, d.DeliveryEvent):
            state = d.evolve(state, event.data, event.meta)
            last = event
    assert state is not None, "the first event was a delivery's"  # noqa: S101 - a fact, not a check
    return DeliveryWhy(
        id=first.stream,
        provider=facts.provider,
        event=facts.event,
        key=facts.key,
        repository=facts.repository_name,
        status=state.status,
        position=last.position,
        received_at=first.meta.at,
        runs=tuple(About("run", run.workflow, run.run) for run in last.data.runs) if isinstance(last.data, d.WebhookAnswered) else (),
        reasons=_reasons(first, last),
    )


def _reasons(first: Recorded, last: Recorded) -> tuple[Reason, ...]:
    data, at, where = last.data, last.meta.at, (last.position,)
    match data:
        case d.WebhookAnswered():
            return tuple(_unstarted(each, last) for each in data.unstarted) or (_started(data, last),)
        case d.WebhookIgnored():
            return (Reason("ignored", data.reason, at, positions=where),)
        case d.WebhookDeferred():
            text = f"it could not be answered yet: {data.reason}"
            return (Reason("deferred", text, first.meta.at, data.retry_at, facts={"attempts": data.attempts}, positions=where),)
        case d.WebhookFailed():
            text = f"it was given up after {data.attempts} attempts: {data.reason}"
            return (
                Reason("given_up", text, at, facts={"attempts": data.attempts}, positions=where, help="have the forge deliver it again"),
            )
        case _:
            return (Reason("not_answered", "it is stored, and its answer is under way", first.meta.at, positions=where),)


def _unstarted(each: d.Unstarted, answered: Recorded) -> Reason:
    text = f"{each.workflow}: {each.reason}" if each.workflow else each.reason
    about = (About("workflow", each.workflow),) if each.workflow else ()
    facts = {"event": each.event, "filter": each.filter, "meaning": FILTERS.get(each.filter, "")}
    return Reason("not_triggered", text, answered.meta.at, about=about, facts=facts, positions=(answered.position,))


def _started(data: d.WebhookAnswered, answered: Recorded) -> Reason:
    return Reason("succeeded", f"it started {len(data.runs)} runs", answered.meta.at, positions=(answered.position,))
