"""When the clock of a run stands still: while nothing of it is under way, and what is left waits.

What waits is held: by a concurrency group, by `max-parallel` behind such jobs, or by the backoff of a retry. The limit
of a run counts its work, so it moves on by as long as the clock stood still. Whoever asks the run for anything asks here
too, after the decision; a claim of a group is answered within the same commit, so what claims is not judged before that.
"""

from uuid import UUID

from msgspec.structs import replace

from domain.concurrency import ClaimConcurrency
from domain.envelope import Meta
from domain.refusals import Decision
from domain.run import events as e
from domain.run.evolve import evolve
from domain.run.state import Run

HOLDS = (e.JobHeld, e.CallHeld)


def told(run: UUID, before: Run | None, decision: Decision, origin: Meta) -> Decision:
    """The decision, and that the clock stops or goes on because of it."""
    waited = before is not None and (before.stopped_at is not None or _waits(before))
    if not waited and not any(isinstance(event, HOLDS) for event in decision.events):
        return decision
    if any(isinstance(command, ClaimConcurrency) for command in decision.commands):
        return decision
    after = before
    for event in decision.events:
        after = evolve(run, after, event, origin)
    assert after is not None, "a run that waits, or holds something back, is there"  # noqa: S101 - a fact, not a check
    return replace(decision, events=(*decision.events, *_turned(after, origin)))


def _turned(run: Run, origin: Meta) -> tuple[e.RunEvent, ...]:
    if run.expires_at is None or run.cancelled or run.conclusion is not None:
        return ()
    if run.stopped_at is None:
        return (e.RunClockStopped(run.run_attempt),) if stands_still(run) else ()
    if stands_still(run):
        return ()
    return (e.RunClockResumed(run.run_attempt, run.expires_at + (origin.at - run.stopped_at)),)


def stands_still(run: Run) -> bool:
    """Whether something of the run waits, and nothing else is under way."""
    under_way = any(not result and job not in node.held for node in run.nodes.values() for job, result in node.jobs.items())
    return not under_way and not run.held and _waits(run)


def _waits(run: Run) -> bool:
    return any(node.held for node in run.nodes.values()) or bool(run.held_calls())
