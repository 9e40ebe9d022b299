"""Workflow files: which exist, what changed, whether they answer events, and the number of the next run."""

from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.refusals import REPEAT, Decision, Refusal, mismatch
from domain.repository_commands import RegisterWorkflow, RemoveWorkflow, SetWorkflowEnabled, UnlistWorkflow
from domain.run.commands import StartRun, TriggerRun


class WorkflowRegistered(msgspec.Struct, frozen=True, gc=False):
    """A workflow file is known. source: digest of its text, "" where no commit's was read yet; name: as its `name:` says, else its path."""

    repository: UUID
    path: str
    name: str
    source: str


class WorkflowSourceChanged(msgspec.Struct, frozen=True, gc=False):
    """The file's text is another one."""

    name: str
    source: str


class WorkflowTextSet(msgspec.Struct, frozen=True, gc=False):
    """This text answers events, whatever the file at their commit says. text: its digest, "": the file answers again."""

    text: str


class WorkflowEnabled(msgspec.Struct, frozen=True, gc=False):
    """Its triggers count again."""


class WorkflowDisabled(msgspec.Struct, frozen=True, gc=False):
    """Its triggers are ignored."""


class WorkflowRemoved(msgspec.Struct, frozen=True, gc=False):
    """It is forgotten until it is registered again; its runs stay."""


class RunNumbered(msgspec.Struct, frozen=True, gc=False):
    """The workflow's next run has this number."""

    run: UUID
    number: int


WorkflowEvent = (
    WorkflowRegistered | WorkflowSourceChanged | WorkflowTextSet | WorkflowEnabled | WorkflowDisabled | WorkflowRemoved | RunNumbered
)
WorkflowCommand = TriggerRun | RegisterWorkflow | RemoveWorkflow | SetWorkflowEnabled


class Workflow(msgspec.Struct, frozen=True, gc=False):
    """A workflow file's state. text: see WorkflowTextSet; runs: the number of the last run; version: of the stream."""

    name: str
    source: str
    repository: UUID
    path: str
    text: str = ""
    enabled: bool = True
    removed: bool = False
    runs: int = 0
    version: int = 1


def decide_workflow(state: Workflow | None, command: WorkflowCommand) -> Decision | Refusal:
    """Number a run (the run itself starts in the same commit), make it known, switch it on or off, or forget it."""
    if isinstance(command, TriggerRun):
        return _number(state, command)
    if isinstance(command, RegisterWorkflow):
        return _register(state, command)
    if state is None or state.removed:
        return Refusal("workflow_not_found", f"there is no workflow {command.workflow}", state="absent")
    other = mismatch(f"workflow {command.workflow}", state.version, command.versions)
    if other is not None:
        return other
    match command:
        case SetWorkflowEnabled():
            if state.enabled == command.enabled:
                return REPEAT
            return Decision((WorkflowEnabled() if command.enabled else WorkflowDisabled(),))
        case RemoveWorkflow():
            return Decision((WorkflowRemoved(),), (UnlistWorkflow(state.repository, state.path),))


def _number(state: Workflow | None, command: TriggerRun) -> Decision | Refusal:
    if state is not None and not state.removed and not state.enabled:
        help_ = "enable it: ledgermill workflow enable"
        return Refusal("workflow_disabled", f"workflow {command.workflow_path} is disabled", state="disabled", help=help_)
    name = command.workflow_ast.name or command.workflow_path
    events = _known(state, WorkflowRegistered(command.repository, command.workflow_path, name, command.source))
    number = (state.runs if state else 0) + 1
    return Decision((*events, RunNumbered(command.run, number)), (StartRun(command.run, number, command),))


def _register(state: Workflow | None, command: RegisterWorkflow) -> Decision:
    known = WorkflowRegistered(command.repository, command.path, command.name, command.text)
    events = _known(state, known)
    if command.text != (state.text if state is not None and not state.removed else ""):
        events = (*events, WorkflowTextSet(command.text))
    return Decision(events)


def _known(state: Workflow | None, facts: WorkflowRegistered) -> tuple[WorkflowEvent, ...]:
    """What makes these facts known, as far as they are not. A source that nobody has read yet changes nothing."""
    if state is None or state.removed:
        return (facts,)
    return (WorkflowSourceChanged(facts.name, facts.source),) if facts.source and state.source != facts.source else ()


def evolve_workflow(_stream: UUID, state: Workflow | None, event: WorkflowEvent) -> Workflow:
    """How each event changes a workflow."""
    if isinstance(event, WorkflowRegistered):
        before = (state.runs, state.version + 1) if state else (0, 1)
        return Workflow(event.name, event.source, event.repository, event.path, runs=before[0], version=before[1])
    assert state is not None, "a workflow's stream begins with WorkflowRegistered"  # noqa: S101 - a fact, not a check
    version = state.version + 1
    match event:
        case WorkflowSourceChanged():
            return replace(state, name=event.name, source=event.source, version=version)
        case WorkflowTextSet():
            return replace(state, text=event.text, version=version)
        case WorkflowEnabled():
            return replace(state, enabled=True, version=version)
        case WorkflowDisabled():
            return replace(state, enabled=False, version=version)
        case WorkflowRemoved():
            return replace(state, removed=True, version=version)
        case RunNumbered():
            return replace(state, runs=event.number, version=version)
