"""What a run answers to each command. Pure; the workflow and the payload come in with the command."""

from domain import ids
from domain.concurrency import ReleaseConcurrency
from domain.envelope import Meta
from domain.refusals import REPEAT, Decision, Refusal
from domain.run import admission, standstill
from domain.run import commands as c
from domain.run import events as e
from domain.run.advance import abandon, advance, begin, job_of
from domain.run.evolve import evolve
from domain.run.rerun import plan_again, rerun
from domain.run.run_contexts import Sources
from domain.run.state import RUN_MAX, Run
from domain.workflow import calls, plan

AnyRunCommand = (
    c.StartRun
    | c.ConcludeJob
    | c.CancelRun
    | c.AdmitRun
    | c.AdmitJob
    | c.AdmitCall
    | c.CancelCall
    | c.RerunRun
    | c.PlanRerun
    | c.ExpireRun
    | c.NoteBackoff
    | c.NoteWaiting
)


def decide(state: Run | None, command: AnyRunCommand, origin: Meta) -> Decision | Refusal:
    """The answer of a run in `state`. origin: the envelope that the events will get; the run's actor comes from it."""
    answer = _decide(state, command, origin)
    return answer if isinstance(answer, Refusal) else standstill.told(command.run, state, answer, origin)


def _decide(state: Run | None, command: AnyRunCommand, origin: Meta) -> Decision | Refusal:
    if isinstance(command, c.StartRun):
        return _start(state, command, origin)
    if state is None:
        return Refusal("run_not_found", f"there is no run {command.run}", state="absent")
    match command:
        case c.ConcludeJob():
            return _conclude(state, command, origin)
        case c.CancelRun():
            return _cancel(state, command, origin)
        case c.AdmitRun():
            return _admit(state, command, origin)
        case c.AdmitJob():
            return admission.admitted(state, command)
        case c.AdmitCall() | c.CancelCall():
            return _call(state, command, origin)
        case c.RerunRun():
            return rerun(state, command, origin)
        case c.PlanRerun():
            return plan_again(state, command, origin)
        case c.ExpireRun():
            return _expire(state, origin)
        case c.NoteBackoff():
            return admission.backing_off(state, command)
        case c.NoteWaiting():
            return Decision()


def _start(state: Run | None, command: c.StartRun, origin: Meta) -> Decision | Refusal:
    if state is not None:
        return Refusal("run_exists", f"run {command.run} exists", state="present")
    t = command.trigger
    triggered = e.RunTriggered(
        repository=t.repository,
        repository_name=t.repository_name,
        workflow=t.workflow,
        workflow_path=t.workflow_path,
        name=t.workflow_ast.name or t.workflow_path,
        number=command.number,
        event=t.event,
        ref=t.ref,
        sha=t.sha,
        source=t.source,
        source_url=t.source_url,
        payload=t.payload,
        payload_bytes=t.payload_bytes,
        request=t.request,
        head_ref=t.head_ref,
        base_ref=t.base_ref,
        inputs=t.inputs,
        title=t.title,
        trigger=t.trigger,
        retry=t.retry,
    )
    followed = () if t.followers is None else (t.followers,)
    planned = e.RunPlanned(1, t.plan, plan.nodes(t.workflow_ast, t.jobs), t.matrix, expires_at=origin.at + RUN_MAX)
    run = evolve(command.run, evolve(command.run, None, triggered, origin), planned, origin)
    then = begin(run, Sources(t.workflow_ast, t.payload_json), origin)
    return Decision((triggered, planned, *followed, *then.events), then.commands)


def _conclude(state: Run, command: c.ConcludeJob, origin: Meta) -> Decision | Refusal:
    if command.run_attempt != state.run_attempt:
        return REPEAT
    node = job_of(state, command.job)
    if node is None:
        return Refusal("foreign_job", f"job {command.job} does not belong to run {command.run}", state="present")
    if node.jobs[command.job]:
        return REPEAT
    if command.workflow_ast is None:
        raise ValueError("ConcludeJob needs the workflow that the run names")
    result = plan.job_result(command.conclusion, continue_on_error=command.continue_on_error)
    concluded = e.JobConcluded(state.run_attempt, command.node, command.job, command.conclusion, result, command.outputs)
    after = evolve(state.run, state, concluded, origin)
    then = advance(after, Sources(command.workflow_ast, command.payload_json), origin)
    group = node.groups.get(command.job)
    release = (ReleaseConcurrency(group, command.job),) if group is not None else ()
    return Decision((concluded, *then.events), (*release, *then.commands))


def _admit(state: Run, command: c.AdmitRun, origin: Meta) -> Decision:
    if command.run_attempt != state.run_attempt or not state.held:
        return REPEAT
    if command.workflow_ast is None:
        raise ValueError("AdmitRun needs the workflow that the run names")
    admitted = e.RunAdmitted(state.run_attempt, expires_at=origin.at + RUN_MAX)
    after = evolve(state.run, state, admitted, origin)
    then = advance(after, Sources(command.workflow_ast, command.payload_json), origin)
    return Decision((admitted, *then.events), then.commands)


def _call(state: Run, command: c.AdmitCall | c.CancelCall, origin: Meta) -> Decision:
    """A concurrency group lets a call in, or wants its end; a call that waits is then over at once."""
    node = state.nodes.get(calls.caller_of(command.call))
    call = node.calls.get(command.call) if node is not None else None
    if command.run_attempt != state.run_attempt or node is None or call is None or call.result:
        return REPEAT
    if command.workflow_ast is None:
        raise ValueError("a command about a call needs the workflow that the run names")
    event: e.CallAdmitted | e.CallCancellationRequested
    if isinstance(command, c.CancelCall):
        if call.asked:
            return REPEAT
        event = e.CallCancellationRequested(state.run_attempt, node.planned.key, command.call, command.reason)
    else:
        if not call.held or command.holder != ids.call_id(state.run, state.run_attempt, command.call, call.claims[-1].of):
            return REPEAT
        event = e.CallAdmitted(state.run_attempt, node.planned.key, command.call, command.holder)
    after = evolve(state.run, state, event, origin)
    then = advance(after, Sources(command.workflow_ast, command.payload_json), origin)
    return Decision((event, *then.events), then.commands)


def _cancel(state: Run, command: c.CancelRun, origin: Meta) -> Decision | Refusal:
    if state.conclusion is not None:
        message = f"run {command.run} ended {state.conclusion}; it cannot be cancelled"
        return Refusal("run_completed", message, state=f"completed ({state.conclusion})")
    if state.cancelled and not command.force:
        return REPEAT
    requested = e.RunCancellationRequested(state.run_attempt, command.reason, command.force)
    if not state.held:
        return Decision((requested,))
    then = abandon(evolve(state.run, state, requested, origin))
    return Decision((requested, *then.events), then.commands)


def _expire(state: Run, origin: Meta) -> Decision | Refusal:
    """Re-check the deadline: a tick that comes late, early or twice does no harm. While the run waits no clock runs."""
    over = state.expires_at is not None and origin.at >= state.expires_at and not state.held and state.stopped_at is None
    if not over or state.cancelled or state.conclusion is not None:
        return REPEAT
    return _cancel(state, c.CancelRun(state.run, f"the run has taken longer than {RUN_MAX.days} days"), origin)
