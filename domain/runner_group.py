"""Groups of runners: which repositories the runners of a group serve. A group that nobody has changed serves all of its tenant."""

from uuid import UUID

import msgspec

from domain.refusals import REPEAT, Decision, Refusal
from domain.registration import well_formed

REPOSITORIES_MAX = 1000


class RunnerGroupChanged(msgspec.Struct, frozen=True, gc=False):
    """Whom the group serves from now on. repositories: their ids; None: all of the tenant."""

    name: str
    repositories: tuple[UUID, ...] | None


class ChangeRunnerGroup(msgspec.Struct, frozen=True, gc=False):
    """Set whom the group serves."""

    group: UUID
    name: str
    repositories: tuple[UUID, ...] | None


class RunnerGroup(msgspec.Struct, frozen=True, gc=False):
    """A group's state."""

    name: str
    repositories: tuple[UUID, ...] | None = None


def decide(state: RunnerGroup | None, command: ChangeRunnerGroup) -> Decision | Refusal:
    """The answer of a group."""
    if not well_formed(command.name) or len(command.repositories or ()) > REPOSITORIES_MAX:
        message = f"a group has a name and serves all repositories or up to {REPOSITORIES_MAX} of them"
        return Refusal("bad_group", message, state="absent" if state is None else "present")
    wanted = RunnerGroup(command.name, command.repositories)
    return REPEAT if state == wanted else Decision((RunnerGroupChanged(command.name, command.repositories),))


def evolve(event: RunnerGroupChanged) -> RunnerGroup:
    """The last change counts."""
    return RunnerGroup(event.name, event.repositories)
