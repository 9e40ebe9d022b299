"""Repositories and their workflow files: what exists, what changed, and the number of the next run."""

from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.refusals import REPEAT, Decision, Refusal
from domain.run.commands import ChangeRepository, RegisterRepository, SetWorkflowEnabled, StartRun, TriggerRun


class RepositoryRegistered(msgspec.Struct, frozen=True, gc=False):
    """A repository is known. provider: "github", "gitea", "gitlab", "git" or "local"."""

    full_name: str
    provider: str
    clone_url: str
    default_branch: str = "main"


class RepositorySettingsChanged(msgspec.Struct, frozen=True, gc=False):
    """What holds for all runs of the repository from now on. retry: the retry policy of its jobs as text, "": the default."""

    retry: str


class WorkflowRegistered(msgspec.Struct, frozen=True, gc=False):
    """A workflow file is known. source: digest of its text; name: as its `name:` says, else its path."""

    repository: UUID
    path: str
    name: str
    source: str


class WorkflowSourceChanged(msgspec.Struct, frozen=True, gc=False):
    """The file's text is another one."""

    name: str
    source: str


class WorkflowEnabled(msgspec.Struct, frozen=True, gc=False):
    """Its triggers count again."""


class WorkflowDisabled(msgspec.Struct, frozen=True, gc=False):
    """Its triggers are ignored."""


class RunNumbered(msgspec.Struct, frozen=True, gc=False):
    """The workflow's next run has this number."""

    run: UUID
    number: int


WorkflowEvent = WorkflowRegistered | WorkflowSourceChanged | WorkflowEnabled | WorkflowDisabled | RunNumbered


RepositoryEvent = RepositoryRegistered | RepositorySettingsChanged


class Repository(msgspec.Struct, frozen=True, gc=False):
    """A repository's state. retry: see RepositorySettingsChanged; version: of the stream."""

    registered: RepositoryRegistered
    retry: str = ""
    version: int = 1


class Workflow(msgspec.Struct, frozen=True, gc=False):
    """A workflow file's state. runs: the number of the last run; version: of the stream."""

    name: str
    source: str
    enabled: bool = True
    runs: int = 0
    version: int = 1


def decide_repository(state: Repository | None, command: RegisterRepository | ChangeRepository) -> Decision | Refusal:
    """Register a repository or change its settings; what is known already, and the same, gives no event."""
    if isinstance(command, RegisterRepository):
        known = RepositoryRegistered(command.full_name, command.provider, command.clone_url, command.default_branch)
        return REPEAT if state is not None and state.registered == known else Decision((known,))
    if state is None:
        return Refusal("repository_not_found", f"there is no repository {command.repository}", state="absent")
    if command.versions is not None and state.version not in command.versions:
        return _mismatch(f"repository {command.repository}", state.version)
    return REPEAT if state.retry == command.retry else Decision((RepositorySettingsChanged(command.retry),))


def _mismatch(what: str, version: int) -> Refusal:
    message = f"{what} is at version {version}, which If-Match does not name"
    return Refusal("version_mismatch", message, state="changed", help="read it again, then decide on what it is now")


def evolve_repository(state: Repository | None, event: RepositoryEvent) -> Repository:
    """The last registration counts; settings stay."""
    if isinstance(event, RepositoryRegistered):
        return Repository(event) if state is None else replace(state, registered=event, version=state.version + 1)
    assert state is not None, "a repository's stream begins with RepositoryRegistered"  # noqa: S101 - a fact, not a check
    return replace(state, retry=event.retry, version=state.version + 1)


def decide_workflow(state: Workflow | None, command: TriggerRun | SetWorkflowEnabled) -> Decision | Refusal:
    """Number a run (the run itself starts in the same commit), or switch the workflow on or off."""
    match command:
        case TriggerRun():
            return _number(state, command)
        case SetWorkflowEnabled():
            if state is None:
                return Refusal("workflow_not_found", f"there is no workflow {command.workflow}", state="absent")
            if command.versions is not None and state.version not in command.versions:
                return _mismatch(f"workflow {command.workflow}", state.version)
            if state.enabled == command.enabled:
                return REPEAT
            return Decision((WorkflowEnabled() if command.enabled else WorkflowDisabled(),))


def _number(state: Workflow | None, command: TriggerRun) -> Decision | Refusal:
    name = command.workflow_ast.name or command.workflow_path
    events: list[WorkflowEvent] = []
    if state is None:
        events.append(WorkflowRegistered(command.repository, command.workflow_path, name, command.source))
    elif not state.enabled:
        help_ = "enable it: ledgermill workflow enable"
        return Refusal("workflow_disabled", f"workflow {command.workflow_path} is disabled", state="disabled", help=help_)
    elif state.source != command.source:
        events.append(WorkflowSourceChanged(name, command.source))
    number = (state.runs if state else 0) + 1
    events.append(RunNumbered(command.run, number))
    return Decision(tuple(events), (StartRun(command.run, number, command),))


def evolve_workflow(_stream: UUID, state: Workflow | None, event: WorkflowEvent) -> Workflow:
    """How each event changes a workflow."""
    if isinstance(event, WorkflowRegistered):
        return Workflow(event.name, event.source)
    assert state is not None, "a workflow's stream begins with WorkflowRegistered"  # noqa: S101 - a fact, not a check
    version = state.version + 1
    match event:
        case WorkflowSourceChanged():
            return replace(state, name=event.name, source=event.source, version=version)
        case WorkflowEnabled():
            return replace(state, enabled=True, version=version)
        case WorkflowDisabled():
            return replace(state, enabled=False, version=version)
        case RunNumbered():
            return replace(state, runs=event.number, version=version)
