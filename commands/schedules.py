"""The agent of schedules: reads the workflow files of a repository when a time comes, and starts the runs of that time.

It looks at rows that are due and decides on the stream, so a row that lags, a second agent or a crash repeats no run.
What a time starts is what the default branch, or a listed text, says when it comes. A forge that is away holds up its
own repositories only: they are tried again, less and less often, until their time is too old to be fired.
"""

import asyncio
import logging
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import msgspec

from commands.answering import Answering, Away, Commit, Gone, about, request_of, scheduled
from commands.handle import Handler, Origin
from commands.trigger import triggered_by
from domain import ids, schedule
from domain.ports import Blobs, Clock, DueSchedules, StoreUnavailable, StreamUnreadable, VersionConflict
from domain.repository import Repository
from domain.run.commands import TriggerRun
from domain.schedule import AdvanceSchedule, Entry, Firing, PassedTime, Schedule
from domain.webhooks.incoming import Incoming
from domain.webhooks.shape import NO_COMMIT, branch

ACTOR = "schedule"
EVENT = "schedule"
TICK_SECONDS = 0.5
AT_ONCE_MAX = 8
"""So many repositories are worked on at a time."""
REST_SECONDS, REST_SECONDS_MAX = 2.0, 600.0
NOTHING = Commit(NO_COMMIT, ())

log = logging.getLogger(__name__)


class Rest(msgspec.Struct, frozen=True):
    """A repository that could not be looked at. tries: in a row; until: when it is tried again."""

    tries: int
    until: datetime


class Schedules:
    """Runs until cancelled; any number of them on one store are harmless."""

    def __init__(self, handler: Handler, blobs: Blobs, due: DueSchedules, clock: Clock, answering: Answering) -> None:
        self._handler = handler
        self._blobs = blobs
        self._due = due
        self._clock = clock
        self._answering = answering
        self._busy: set[UUID] = set()
        self._rests: dict[UUID, Rest] = {}

    async def run(self) -> None:
        """Fire every time, at most half a second late while its repository can be read."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    await self._begin(tasks)
                except (StoreUnavailable, OSError) as error:
                    log.warning("schedules wait for the store: %s", error)
                await asyncio.sleep(TICK_SECONDS)

    async def _begin(self, tasks: asyncio.TaskGroup) -> None:
        now = self._clock.now()
        resting = {each for each, rest in self._rests.items() if rest.until > now}
        room = AT_ONCE_MAX - len(self._busy)
        for each in await self._due.due(now, self._busy | resting, room) if room else ():
            self._busy.add(each)
            tasks.create_task(self._look(each))

    async def _look(self, identity: UUID) -> None:
        """Advance a schedule; where that cannot be, let it rest."""
        try:
            problem = await self._advance(identity)
        except Away as away:
            problem = str(away)
        except (StoreUnavailable, StreamUnreadable, VersionConflict) as error:
            problem = str(error)
        except Exception as error:
            log.exception("schedule %s could not be advanced", identity)
            problem = f"{type(error).__name__}: {error}"
        finally:
            self._busy.discard(identity)
        if problem is None:
            self._rests.pop(identity, None)
            return
        tries = self._rests[identity].tries + 1 if identity in self._rests else 1
        seconds = min(REST_SECONDS * 2 ** min(tries - 1, 32), REST_SECONDS_MAX)
        self._rests[identity] = Rest(tries, self._clock.now() + timedelta(seconds=seconds))
        log.warning("schedule %s waits %.0f s: %s", identity, seconds, problem[:500])

    async def _advance(self, identity: UUID) -> str | None:
        """Fire what is due; why that was refused, where it was. Raises Away."""
        state: Schedule | None = await self._handler.latest(identity, "schedule")
        now = self._clock.now()
        if state is None or state.due_at is None or state.due_at > now:
            return None  # the view is behind
        repository: Repository | None = await self._handler.latest(state.repository, "repository")
        command = AdvanceSchedule(identity, state.version, now, NO_COMMIT, ())
        if repository is not None and not repository.removed:
            command = await self._command(command, state, repository)
        outcome = await self._handler.handle(command, Origin(state.tenant, ACTOR))
        return outcome.refusal.message if outcome.refusal is not None else None

    async def _command(self, command: AdvanceSchedule, state: Schedule, repository: Repository) -> AdvanceSchedule:
        """The command with what the files say now and the runs that they start."""
        facts = repository.registered
        event = Incoming(event=EVENT, repository=facts.full_name, ref=branch(facts.default_branch), payload={})
        try:
            commit = await self._answering.commit(state.repository, repository, event)
        except Gone:
            commit = NOTHING
        entries = scheduled(commit.files)
        firing, passed = schedule.due(state, command.until)
        firings = []
        for entry, at in firing:
            if entry not in entries:
                passed.append(PassedTime(entry, at, "changed", f"{entry.workflow} does not say so any more, or cannot be read"))
                continue
            payload = {"schedule": entry.cron, "workflow": entry.workflow, "repository": about(facts)}
            found = await self._run(state, repository, msgspec.structs.replace(event, payload=payload), commit, (entry, at))
            if isinstance(found, PassedTime):
                passed.append(found)
            else:
                firings.append(Firing(entry, at, found))
        return msgspec.structs.replace(command, sha=commit.sha, entries=entries, firings=tuple(firings), passed=tuple(passed))

    async def _run(
        self, state: Schedule, repository: Repository, event: Incoming, commit: Commit, time: tuple[Entry, datetime]
    ) -> TriggerRun | PassedTime:
        """The run of one time, or why there is none."""
        entry, at = time
        own = tuple(file for file in commit.files if file.path == entry.workflow)
        request = msgspec.structs.replace(request_of(repository, event, commit), workflows=own, called=commit.files)
        lookup = self._answering.lookup(state.tenant)
        matches, rejected = await self._answering.verdicts(partial(ids.workflow_id, state.tenant, state.repository), request, lookup)
        if not matches:
            return PassedTime(entry, at, rejected[0].filter, rejected[0].reason)
        (run,) = await triggered_by(
            self._blobs,
            request,
            matches,
            key=schedule.trigger_key(state.repository, entry, at),
            tenant=state.tenant,
            repository=state.repository,
            retry=repository.retry,
            lookup=lookup,
        )
        return run
