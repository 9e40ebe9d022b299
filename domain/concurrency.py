"""A concurrency group of a repository: one run, job or call of a workflow holds it, others wait for it in the order in which they came.

The group is a stream of its own, so two claims at once are put in order by its version. Whoever claims it is told in the
same commit that it may go on (AdmitRun, AdmitJob, AdmitCall), and whoever ends lets go in the commit of its end; so no crash can
leave a group held by something that is over. It must never look at what a run does: it only knows who claimed it.
"""

from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.job.commands import CancelJob
from domain.refusals import REPEAT, Decision
from domain.run.commands import AdmitCall, AdmitJob, AdmitRun, CancelCall, CancelRun, NoteWaiting

PENDING_MAX = 100
"""How many wait with `queue: max`; who comes then is cancelled, as on GitHub."""


class Claim(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Who claims a group. holder: the run, the job, or the call's id for a group of a call. name: the group's, as written there.

    node: the key of the job's node, or the prefix of the call; neither job nor node: the run itself. The rest is for
    people and messages.
    """

    holder: UUID
    name: str
    repository: UUID
    run: UUID
    run_attempt: int
    number: int
    workflow_path: str
    job: UUID | None = None
    node: str = ""


class ClaimConcurrency(msgspec.Struct, frozen=True, gc=False):
    """Let this run or job in as soon as nobody else is. cancel_in_progress: ask for the end of who is now."""

    group: UUID
    claim: Claim
    cancel_in_progress: bool = False
    queue: str = "single"


class ReleaseConcurrency(msgspec.Struct, frozen=True, gc=False):
    """The run or job is over, whether it held the group or waited for it."""

    group: UUID
    holder: UUID


class ConcurrencyEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The base of all events of a concurrency group's stream."""


class ConcurrencyAcquired(ConcurrencyEvent, frozen=True):
    """The run or job holds the group."""

    claim: Claim


class ConcurrencyAwaited(ConcurrencyEvent, frozen=True):
    """The run or job waits for the group. behind: the holder."""

    claim: Claim
    behind: UUID


class ConcurrencyReplaced(ConcurrencyEvent, frozen=True):
    """Who waited does not any more, because `by` came and only one may wait."""

    holder: UUID
    by: UUID


class ConcurrencyReleased(ConcurrencyEvent, frozen=True):
    """Who held the group, or waited for it, is over."""

    holder: UUID


class Group(msgspec.Struct, frozen=True):
    """A group as it stands. pending: in the order in which they came."""

    holding: Claim | None = None
    pending: tuple[Claim, ...] = ()


Command = ClaimConcurrency | ReleaseConcurrency


def decide(state: Group | None, command: Command) -> Decision:
    """What follows from a claim or a release. Both are consequences of other streams' events, so neither is refused."""
    group = state or Group()
    if isinstance(command, ReleaseConcurrency):
        return _release(group, command)
    if command.claim.holder in {claim.holder for claim in (group.holding, *group.pending) if claim is not None}:
        return REPEAT
    return _claim(group, command)


def _claim(group: Group, command: ClaimConcurrency) -> Decision:
    claim, holding = command.claim, group.holding
    if holding is None:
        return Decision((ConcurrencyAcquired(claim),), (_admit(claim),))
    if _is_part(claim, holding):
        who = f"run {claim.number}" if not holding.node else f"the call {holding.node} of run {claim.number}"
        return Decision((), (_cancel(claim, f"deadlock: {who} itself holds concurrency group {claim.name}"),))
    if command.queue == "max" and len(group.pending) >= PENDING_MAX:
        return Decision((), (_cancel(claim, f"{PENDING_MAX} others wait for concurrency group {claim.name}"),))
    replaced = () if command.queue == "max" else group.pending
    reason = f"replaced by run {claim.number} in concurrency group {claim.name}"
    orders: list[Any] = [_cancel(each, reason) for each in replaced]
    if command.cancel_in_progress:
        orders.append(_cancel(holding, f"cancelled by run {claim.number} in concurrency group {claim.name}"))
    events = [ConcurrencyReplaced(each.holder, claim.holder) for each in replaced]
    if claim.node:  # a run that waits as a whole knows it
        orders.append(NoteWaiting(claim.run))
    return Decision((*events, ConcurrencyAwaited(claim, holding.holder)), tuple(orders))


def _release(group: Group, command: ReleaseConcurrency) -> Decision:
    if group.holding is not None and group.holding.holder == command.holder:
        released = ConcurrencyReleased(command.holder)
        if not group.pending:
            return Decision((released,))
        following = group.pending[0]
        return Decision((released, ConcurrencyAcquired(following)), (_admit(following),))
    if command.holder in {claim.holder for claim in group.pending}:
        return Decision((ConcurrencyReleased(command.holder),))
    return REPEAT


def _is_part(claim: Claim, holding: Claim) -> bool:
    """Whether who claims is part of who holds, which therefore ends later: a job or call of the run, or of the call."""
    if claim.run != holding.run or holding.job is not None:
        return False
    return not holding.node or f"{claim.node}/".startswith(f"{holding.node}/")


def _admit(claim: Claim) -> AdmitRun | AdmitJob | AdmitCall:
    if claim.job is not None:
        return AdmitJob(claim.run, claim.run_attempt, claim.job)
    if claim.node:
        return AdmitCall(claim.run, claim.run_attempt, claim.node, claim.holder)
    return AdmitRun(claim.run, claim.run_attempt)


def _cancel(claim: Claim, reason: str) -> CancelRun | CancelJob | CancelCall:
    if claim.job is not None:
        return CancelJob(claim.job, reason)
    return CancelCall(claim.run, claim.run_attempt, claim.node, reason) if claim.node else CancelRun(claim.run, reason)


def evolve(state: Group | None, event: ConcurrencyEvent) -> Group:
    """How each event changes a group."""
    group = state or Group()
    match event:
        case ConcurrencyAcquired(claim=claim):
            return Group(claim, tuple(each for each in group.pending if each.holder != claim.holder))
        case ConcurrencyAwaited(claim=claim):
            return replace(group, pending=(*group.pending, claim))
        case ConcurrencyReplaced(holder=holder) | ConcurrencyReleased(holder=holder):
            holding = group.holding if group.holding is None or group.holding.holder != holder else None
            return Group(holding, tuple(each for each in group.pending if each.holder != holder))
        case _:
            raise AssertionError(f"{type(event).__name__} is no event of a concurrency group")
