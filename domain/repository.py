"""Repositories: where they are, what holds for their runs, and which workflows were listed for them.

A repository without listed workflows is answered for by the files at each event's commit. A workflow that is listed with
its text answers instead of the file of that path. The secret of its webhooks is never here: the stream only counts them.
"""

from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import ids
from domain.refusals import REPEAT, Decision, Refusal, mismatch
from domain.repository_commands import (
    ChangeRepository,
    ListWorkflow,
    RegisterRepository,
    RegisterWorkflow,
    RemoveRepository,
    RemoveWorkflow,
    UnlistWorkflow,
)
from domain.schedule import RequestScheduleRead


class RepositoryRegistered(msgspec.Struct, frozen=True, gc=False):
    """A repository is known. provider: "github", "gitea", "gitlab", "git" or "local"."""

    full_name: str
    provider: str
    clone_url: str
    default_branch: str = "main"


class RepositorySettingsChanged(msgspec.Struct, frozen=True, gc=False):
    """What holds for all runs of the repository from now on. retry: the retry policy of its jobs as text, "": the default."""

    retry: str


class WebhookSecretSet(msgspec.Struct, frozen=True, gc=False):
    """The repository's webhooks are signed with another secret from now on. number: how many there have been."""

    number: int


class WorkflowListed(msgspec.Struct, frozen=True, gc=False):
    """A workflow answers the repository's events. text: digest of the text that answers, "": the file at the event's commit."""

    workflow: UUID
    path: str
    text: str


class WorkflowUnlisted(msgspec.Struct, frozen=True, gc=False):
    """It answers no longer by being listed."""

    path: str


class RepositoryRemoved(msgspec.Struct, frozen=True, gc=False):
    """The repository is forgotten; a later registration begins anew."""


RepositoryEvent = (
    RepositoryRegistered | RepositorySettingsChanged | WebhookSecretSet | WorkflowListed | WorkflowUnlisted | RepositoryRemoved
)
RepositoryCommand = RegisterRepository | ChangeRepository | RemoveRepository | ListWorkflow | UnlistWorkflow


class Listed(msgspec.Struct, frozen=True, gc=False):
    """A listed workflow; see WorkflowListed."""

    workflow: UUID
    text: str


class Repository(msgspec.Struct, frozen=True, gc=False):
    """A repository's state. retry: see RepositorySettingsChanged; secrets: how many there have been; workflows: by path.

    version: of the stream.
    """

    registered: RepositoryRegistered
    retry: str = ""
    secrets: int = 0
    workflows: dict[str, Listed] = {}
    removed: bool = False
    version: int = 1


def decide_repository(state: Repository | None, command: RepositoryCommand) -> Decision | Refusal:
    """What is known already, and the same, gives no event."""
    if isinstance(command, RegisterRepository):
        known = RepositoryRegistered(command.full_name, command.provider, command.clone_url, command.default_branch)
        return REPEAT if state is not None and not state.removed and state.registered == known else Decision((known,))
    if isinstance(command, UnlistWorkflow):
        return Decision((WorkflowUnlisted(command.path),)) if state is not None and command.path in state.workflows else REPEAT
    if state is None or state.removed:
        return Refusal("repository_not_found", f"there is no repository {command.repository}", state="absent")
    if isinstance(command, ListWorkflow):
        return _listed(state, command)
    other = mismatch(f"repository {command.repository}", state.version, command.versions)
    if other is not None:
        return other
    if isinstance(command, ChangeRepository):
        return _changed(state, command)
    return Decision((RepositoryRemoved(),), tuple(RemoveWorkflow(each.workflow) for each in state.workflows.values()))


def _listed(state: Repository, command: ListWorkflow) -> Decision:
    """The workflow's own stream is told in any case: it knows whether it has to change."""
    listed = WorkflowListed(command.workflow, command.path, command.text)
    known = state.workflows.get(command.path) == Listed(command.workflow, command.text)
    register = RegisterWorkflow(command.workflow, command.repository, command.path, command.name, command.text)
    return Decision(() if known else (listed,), (register, *_read_again(command.repository)) if command.scheduled else (register,))


def _changed(state: Repository, command: ChangeRepository) -> Decision:
    was = state.registered
    url = was.clone_url if command.clone_url is None else command.clone_url
    branch = was.default_branch if command.default_branch is None else command.default_branch
    events: list[RepositoryEvent] = []
    if (url, branch) != (was.clone_url, was.default_branch):
        events.append(RepositoryRegistered(was.full_name, was.provider, url, branch))
    if command.retry is not None and command.retry != state.retry:
        events.append(RepositorySettingsChanged(command.retry))
    if command.new_secret:
        events.append(WebhookSecretSet(state.secrets + 1))
    return Decision(tuple(events), _read_again(command.repository) if (url, branch) != (was.clone_url, was.default_branch) else ())


def _read_again(repository: UUID) -> tuple[RequestScheduleRead]:
    """The files that may have a schedule are others now."""
    return (RequestScheduleRead(ids.schedule_id(repository), repository),)


def evolve_repository(state: Repository | None, event: RepositoryEvent) -> Repository:
    """The last registration counts; settings stay, but for those of a repository that was removed."""
    if isinstance(event, RepositoryRegistered):
        if state is None:
            return Repository(event)
        return (
            Repository(event, version=state.version + 1) if state.removed else replace(state, registered=event, version=state.version + 1)
        )
    assert state is not None, "a repository's stream begins with RepositoryRegistered"  # noqa: S101 - a fact, not a check
    version = state.version + 1
    match event:
        case RepositorySettingsChanged():
            return replace(state, retry=event.retry, version=version)
        case WebhookSecretSet():
            return replace(state, secrets=event.number, version=version)
        case WorkflowListed():
            return replace(state, workflows=state.workflows | {event.path: Listed(event.workflow, event.text)}, version=version)
        case WorkflowUnlisted():
            left = {path: listed for path, listed in state.workflows.items() if path != event.path}
            return replace(state, workflows=left, version=version)
        case RepositoryRemoved():
            return Repository(state.registered, secrets=state.secrets, removed=True, version=version)
