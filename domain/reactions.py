"""Process managers: what one stream's event asks of another stream. Pure `(state, event) -> commands`.

`in_commit`: consequences that belong in the event's own commit, so that nothing half-done is ever visible.
`afterwards`: consequences for streams that other writers may hold; an agent with a position of its own carries them out.
Every command here is a repeat when it was carried out before, so that a restart does no harm.
"""

from typing import Any

from domain.job import events as job
from domain.job.commands import CancelJob
from domain.job.state import BackingOff, Done, Queued
from domain.run import events as run
from domain.run.commands import AdmitJob, CancelCall, ConcludeJob, NoteBackoff
from domain.run.state import Run

ATTEMPT_ENDS = (job.AttemptLost, job.AttemptFailed, job.AttemptTimedOut)
JOB_ENDS = (job.JobSucceeded, job.JobFailed, job.JobTimedOut, job.JobCancelled)


def in_commit(state: Any, event: Any) -> tuple[ConcludeJob | NoteBackoff | AdmitJob, ...]:
    """The end of a job is told to its run in the same commit, and that it waits for a retry. state: the job's after the event."""
    if isinstance(event, ATTEMPT_ENDS) and isinstance(state, BackingOff):
        spec = state.life.spec
        return (NoteBackoff(spec.run, spec.run_attempt, spec.key, state.life.job),)
    if isinstance(event, job.JobRetried) and isinstance(state, Queued):
        spec = state.life.spec
        return (AdmitJob(spec.run, spec.run_attempt, state.life.job),)
    if not isinstance(event, JOB_ENDS) or not isinstance(state, Done):
        return ()
    if isinstance(event, job.JobFailed) and event.attempt == 0:
        return ()  # The node never became a job; the run itself recorded why (NodeFailed).
    spec = state.life.spec
    conclude = ConcludeJob(
        run=spec.run,
        run_attempt=spec.run_attempt,
        job=state.life.job,
        node=spec.key,
        conclusion=state.conclusion,
        continue_on_error=spec.continue_on_error,
        outputs=state.outputs,
    )
    return (conclude,)


def afterwards(state: Any, event: Any) -> tuple[CancelJob | CancelCall, ...]:
    """A cancelled run or call cancels its jobs and waiting calls; a failed instance of a fail-fast matrix cancels its siblings.

    state: the run's, at or after the event.
    """
    if not isinstance(state, Run) or state.conclusion is not None:
        return ()
    match event:
        case run.RunCancellationRequested() if event.run_attempt == state.run_attempt:
            return _ended(state, ("",), event.reason, force=event.force)
        case run.CallCancellationRequested() if event.run_attempt == state.run_attempt:
            return _ended(state, (f"{event.call}/",), event.reason)
        case run.JobConcluded(result="failure") if event.run_attempt == state.run_attempt:
            node = state.nodes[event.node]
            if not node.fail_fast:
                return ()
            reason = "fail-fast: another job of the matrix failed"
            return tuple(CancelJob(sibling, reason) for sibling, result in node.jobs.items() if not result)
        case run.CallConcluded(result="failure") if event.run_attempt == state.run_attempt and state.nodes[event.node].fail_fast:
            prefixes = tuple(f"{prefix}/" for prefix, call in state.nodes[event.node].calls.items() if call.cancelled)
            return _ended(state, prefixes, "fail-fast: another call of the matrix failed")
        case _:
            return ()


def _ended(state: Run, prefixes: tuple[str, ...], reason: str, *, force: bool = False) -> tuple[CancelJob | CancelCall, ...]:
    """The end of all live jobs below these prefixes, and of the calls that wait there and so have none."""
    jobs = (CancelJob(live, reason, force) for live in state.live_jobs(prefixes))
    waiting = (CancelCall(state.run, state.run_attempt, call, reason) for call in state.held_calls(prefixes))
    return (*jobs, *waiting)


AFTERWARDS = (run.RunCancellationRequested, run.CallCancellationRequested, run.JobConcluded, run.CallConcluded)
"""The event types that `afterwards` looks at."""
