"""The agent of commit statuses: what a run is and becomes is told to the forge that its repository is of.

It follows the log: a run attempt that was planned or is complete makes its status wanted, and a status that is wanted is
told. It looks at nothing where the forge's token is not known here, and it stands beside everything else: no run waits for
it. One process at a time may tell (see gateway.wiring.roles), or an old status could overtake a new one on its way.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Protocol
from uuid import UUID

import msgspec

from commands.handle import Handler, Origin
from commands.in_lines import InLines
from domain import ids
from domain.commit_status import CommitStatus, CommitStatusWanted, DeferCommitStatus, NoteCommitStatusTold, WantCommitStatus
from domain.envelope import Recorded
from domain.ports import Clock, EventStore, Feed, StoreUnavailable, StreamUnreadable
from domain.repository import Repository, RepositoryRegistered
from domain.run.events import RunCompleted, RunPlanned
from domain.run.state import Run
from domain.webhooks.shape import NO_COMMIT, text

AGENT = "commit statuses"
ACTOR = "system:statuses"
TYPES = frozenset({"RunPlanned", "RunCompleted", "CommitStatusWanted"})
FORGES = ("github", "gitea", "gitlab")
STATES = {"success": "success", "skipped": "success", "failure": "failure", "timed_out": "failure"}
LOOK_SECONDS = 30.0
"""So often a status that waits for its forge is looked at: a newer one may have taken its place."""

log = logging.getLogger(__name__)


class NotTold(Exception):  # noqa: N818 - an outcome with a name of its own
    """The forge does not have it. final: another try would end the same; pause_seconds: what it asks to wait at least."""

    def __init__(self, reason: str, *, final: bool = False, pause_seconds: float = 0) -> None:
        super().__init__(reason)
        self.final = final
        self.pause_seconds = pause_seconds


class Report(msgspec.Struct, frozen=True):
    """What a forge is told. state: see CommitStatusWanted; url: where people see more."""

    sha: str
    context: str
    state: str
    description: str
    url: str


class Forges(Protocol):
    """Where commits' statuses are shown."""

    def knows(self, tenant: str, facts: RepositoryRegistered) -> bool:
        """Whether there is a token for the forge of this repository."""

    async def tell(self, tenant: str, facts: RepositoryRegistered, report: Report) -> None:
        """Set the status. Raises NotTold."""


class Statuses:
    """Runs until cancelled. url: of a run, for people."""

    def __init__(
        self, handler: Handler, store: EventStore, feed: Feed, clock: Clock, *, forges: Forges, url: Callable[[UUID], str]
    ) -> None:
        self._handler = handler
        self._clock = clock
        self._forges = forges
        self._url = url
        self._lines = InLines(AGENT, store, feed, TYPES, line=lambda event: event.stream, work=self._done)

    async def run(self) -> None:
        """Make wanted and tell, from the recorded position on."""
        await self._lines.run()

    async def _done(self, event: Recorded) -> float | None:
        if isinstance(event.data, CommitStatusWanted):
            return await self._tell(event)
        run: Run = await self._handler.since(event.stream, "run", event.version)
        facts = await self._repository(run.tenant, run.facts.repository)
        if facts is not None and (command := await self._wanted(run, event)) is not None:
            origin = Origin(run.tenant, ACTOR, cause=event.id, correlation=event.meta.correlation)
            await self._handler.handle(command, origin)
        return None

    async def _repository(self, tenant: str, repository: UUID) -> RepositoryRegistered | None:
        """The repository's facts, where its forge can be told anything."""
        state: Repository | None = await self._handler.own(tenant, repository, "repository")
        if state is None or state.removed or state.registered.provider not in FORGES:
            return None
        return state.registered if self._forges.knows(tenant, state.registered) else None

    async def _wanted(self, run: Run, event: Recorded) -> WantCommitStatus | None:
        facts = run.facts
        payload = await self._handler.sources.payload(facts.payload) if facts.event.startswith("pull_request") else {}
        sha = sha_of(facts.event, facts.sha, payload)
        if sha == NO_COMMIT:
            return None
        state, description = verdict(facts.number, event.data)
        context = context_of(facts.workflow_path, facts.event)
        wanted = CommitStatusWanted(
            repository=facts.repository,
            repository_name=facts.repository_name,
            sha=sha,
            context=context,
            state=state,
            description=description,
            run=run.run,
            run_attempt=event.data.run_attempt,
            after=event.position,
        )
        return WantCommitStatus(ids.commit_status_id(facts.repository, sha, context), wanted)

    async def _tell(self, event: Recorded) -> float | None:
        """Tell the forge; seconds to wait where it cannot be told yet."""
        state: CommitStatus = await self._handler.latest(event.stream, "commit_status")
        wanted: CommitStatusWanted = event.data
        if not state.open or state.facts.after != wanted.after:
            return None
        if state.retry_at is not None and (left := (state.retry_at - self._clock.now()) / timedelta(seconds=1)) > 0:
            return min(left, LOOK_SECONDS)
        command: Any = NoteCommitStatusTold(event.stream, wanted.after)
        try:
            await self._send(event.meta.tenant, wanted)
        except (StoreUnavailable, StreamUnreadable):
            raise
        except NotTold as reason:
            command = DeferCommitStatus(event.stream, wanted.after, str(reason), reason.pause_seconds, reason.final)
        except Exception as error:
            log.exception("the status of commit %s could not be told", wanted.sha)
            command = DeferCommitStatus(event.stream, wanted.after, f"{type(error).__name__}: {error}"[:500])
        await self._handler.handle(command, Origin(event.meta.tenant, ACTOR, cause=event.id, correlation=event.meta.correlation))
        return 0.0

    async def _send(self, tenant: str, wanted: CommitStatusWanted) -> None:
        facts = await self._repository(tenant, wanted.repository)
        if facts is None:
            raise NotTold("the repository is not registered any more, or the token of its forge is gone")
        report = Report(wanted.sha, wanted.context, wanted.state, wanted.description, self._url(wanted.run))
        await self._forges.tell(tenant, facts, report)


def sha_of(event: str, sha: str, payload: Any) -> str:
    """The commit whose status it is: of a pull request the newest of its own, not the one that merges it for the run."""
    return (text(payload, "pull_request", "head", "sha") if event.startswith("pull_request") else "") or sha


def context_of(workflow_path: str, event: str) -> str:
    """What tells this status from those of other workflows, events and systems; rules of branches name it."""
    return f"ledgermill/{PurePosixPath(workflow_path).stem} ({event})"


def verdict(number: int, event: RunPlanned | RunCompleted) -> tuple[str, str]:
    """State and description of a run attempt that was planned or is complete."""
    named = f"Run #{number}" + (f", attempt {event.run_attempt}" if event.run_attempt > 1 else "")
    if isinstance(event, RunPlanned):
        return "pending", f"{named} is under way"
    return STATES.get(event.conclusion, "error"), f"{named}: {event.conclusion.replace('_', ' ')}"
