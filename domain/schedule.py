"""Schedules: which workflows of a repository start by themselves, at which times, and until when that has been seen to.

A repository has one stream. What it says last is an instant, `until`: every time up to it has been fired or passed over.
To advance it is one commit with the runs that it starts, on the version that was looked at; so however many processes
look, and wherever they die, each time is fired once. An entry counts from the moment it is read, never for times before.
Nothing here knows where the files are; who reads them is `commands.schedules`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.cron_times import next_time, times
from domain.envelope import Meta
from domain.refusals import REPEAT, Decision, Refusal
from domain.run.commands import TriggerRun

LATE_MAX = timedelta(hours=1)
"""A time that is older when somebody can fire it is passed over; of several that are not, the latest is fired."""


class Entry(msgspec.Struct, frozen=True):
    """One entry of `on.schedule`. workflow: the file's path."""

    workflow: str
    cron: str
    timezone: str = "UTC"


class FiredTime(msgspec.Struct, frozen=True, gc=False):
    """An entry started a run. at: the time that it stands for, which is earlier than the event's own."""

    entry: Entry
    at: datetime
    run: UUID


class PassedTime(msgspec.Struct, frozen=True, gc=False):
    """An entry started nothing. filter: "late" (nobody was there for an hour), "changed", "disabled" or "invalid"."""

    entry: Entry
    at: datetime
    filter: str
    reason: str


class ScheduleReadRequested(msgspec.Struct, frozen=True, gc=False):
    """The workflow files of the repository may say something else than what is known, and are read again at once."""

    repository: UUID


class ScheduleAdvanced(msgspec.Struct, frozen=True, gc=False):
    """All times up to `until` are seen to. The runs begin in the same commit.

    entries: what the files say, read at commit `sha` (zeros where no commit was). due_at: the next time of any; None: none.
    """

    until: datetime
    sha: str
    entries: tuple[Entry, ...]
    due_at: datetime | None
    fired: tuple[FiredTime, ...]
    passed: tuple[PassedTime, ...]


ScheduleEvent = ScheduleReadRequested | ScheduleAdvanced


class RequestScheduleRead(msgspec.Struct, frozen=True, gc=False):
    """Have the files read again: one of them may have another schedule."""

    schedule: UUID
    repository: UUID


class Firing(msgspec.Struct, frozen=True, gc=False):
    """The run that a time of an entry starts."""

    entry: Entry
    at: datetime
    run: TriggerRun


class AdvanceSchedule(msgspec.Struct, frozen=True, gc=False):
    """See ScheduleAdvanced. version: of the stream that was looked at; on any other this is a repeat."""

    schedule: UUID
    version: int
    until: datetime
    sha: str
    entries: tuple[Entry, ...]
    firings: tuple[Firing, ...] = ()
    passed: tuple[PassedTime, ...] = ()


ScheduleCommand = RequestScheduleRead | AdvanceSchedule


class Schedule(msgspec.Struct, frozen=True, gc=False):
    """A repository's schedule; until, entries, due_at: see ScheduleAdvanced. asked: to be read again; version: of the stream."""

    tenant: str
    repository: UUID
    until: datetime
    due_at: datetime | None
    entries: tuple[Entry, ...] = ()
    asked: bool = True
    version: int = 1


def decide(state: Schedule | None, command: ScheduleCommand) -> Decision | Refusal:
    """To advance what another process has advanced, or what is to be read again, is a repeat: who asked looks again."""
    if isinstance(command, RequestScheduleRead):
        return Decision((ScheduleReadRequested(command.repository),))
    if state is None:
        return Refusal("schedule_not_found", f"there is no schedule {command.schedule}", state="absent")
    if state.version != command.version:
        return REPEAT
    fired = tuple(FiredTime(each.entry, each.at, each.run.run) for each in command.firings)
    due_at = next_of(command.entries, command.until)
    event = ScheduleAdvanced(command.until, command.sha, command.entries, due_at, fired, command.passed)
    return Decision((event,), tuple(each.run for each in command.firings))


def evolve(state: Schedule | None, event: ScheduleEvent, meta: Meta) -> Schedule:
    """How each event changes a schedule."""
    match event:
        case ScheduleReadRequested():
            if state is None:
                return Schedule(meta.tenant, event.repository, meta.at, meta.at)
            return replace(state, due_at=min(state.due_at or meta.at, meta.at), asked=True, version=state.version + 1)
        case ScheduleAdvanced():
            assert state is not None, "a schedule's stream begins with ScheduleReadRequested"  # noqa: S101 - a fact, not a check
            version = state.version + 1
            return replace(state, until=event.until, due_at=event.due_at, entries=event.entries, asked=False, version=version)


def entries_in(path: str, on: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The entries of the workflow file at `path`, whose `on` this is; one that is written twice counts once."""
    listed = on.get("schedule")
    if not isinstance(listed, list):  # `on: schedule` names no time
        return ()
    return tuple(dict.fromkeys(Entry(path, each["cron"], each.get("timezone", "UTC")) for each in listed))


def next_of(entries: Iterable[Entry], after: datetime) -> datetime | None:
    """The earliest time of any entry later than `after`."""
    found = (next_time(entry.cron, entry.timezone, after) for entry in entries)
    return min((at for at in found if at is not None), default=None)


def due(state: Schedule, now: datetime) -> tuple[list[tuple[Entry, datetime]], list[PassedTime]]:
    """What comes due in (until, now]: the entries that fire with the times that they stand for, and what is too late.

    Of the times of an entry within the last hour the latest fires; it stands for those before it. Older ones are told
    once an entry, by the first of them, where none fires.
    """
    firing: list[tuple[Entry, datetime]] = []
    late: list[PassedTime] = []
    for entry in state.entries:
        first = next_time(entry.cron, entry.timezone, state.until)
        if first is None or first > now:
            continue
        latest = None
        for at in times(entry.cron, entry.timezone, max(state.until, now - LATE_MAX)):
            if at > now:
                break
            latest = at
        if latest is not None:
            firing.append((entry, latest))
        else:
            late.append(PassedTime(entry, first, "late", "nobody could fire it for more than an hour"))
    return firing, late


def trigger_key(repository: UUID, entry: Entry, at: datetime) -> str:
    """What makes a run of this time the same run whoever starts it; the workflow's path joins it where the run is made."""
    return f"schedule|{repository}|{entry.cron}|{entry.timezone}|{at.isoformat()}"
