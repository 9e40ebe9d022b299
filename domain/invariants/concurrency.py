"""Invariant 5, seen from the concurrency groups: one holder at a time, and none that is over."""

from collections.abc import Iterator
from uuid import UUID

import msgspec

from domain import concurrency as e
from domain.envelope import Recorded
from domain.ids import call_id
from domain.invariants.job import CONCLUSIONS, Finding
from domain.run.events import CallConcluded, CallHeld, JobHeld, RunCompleted, RunHeld, RunRerunRequested

ABOUT_GROUPS = (CallConcluded, CallHeld, JobHeld, RunCompleted, RunHeld, RunRerunRequested, e.ConcurrencyEvent)
"""The events that this account looks at, besides the ends of jobs."""


class Account(msgspec.Struct):
    """One group as the checker sees it. position: of the event that let the holder in."""

    holder: UUID | None = None
    pending: dict[UUID, None] = {}
    position: int = 0


class GroupLedger:
    """All concurrency groups of a log."""

    def __init__(self) -> None:
        self._groups: dict[UUID, Account] = {}
        self._over: dict[UUID, int] = {}
        self._wants: set[tuple[UUID, UUID]] = set()

    def see(self, event: Recorded) -> Iterator[Finding]:
        """The findings about one event of a group; the ends of runs, jobs and calls are noted, and that a run goes on."""
        data = event.data
        if type(data) in CONCLUSIONS or isinstance(data, RunCompleted):
            self._over[event.stream] = event.position
        if isinstance(data, CallConcluded):
            for of in ("job", "workflow"):
                self._over[call_id(event.stream, data.run_attempt, data.call, of)] = event.position
        if isinstance(data, RunRerunRequested):
            self._over.pop(event.stream, None)
        match data:
            case RunHeld():
                self._wants.add((event.stream, data.group))
            case JobHeld() if data.group is not None:
                self._wants.add((data.job, data.group))
            case CallHeld():
                self._wants.add((data.holder, data.group))
            case e.ConcurrencyAcquired(claim=claim) | e.ConcurrencyAwaited(claim=claim) if (claim.holder, event.stream) not in self._wants:
                yield 5, f"{claim.holder} claims concurrency group {claim.name}, which nothing held it back for"
            case _:
                pass
        if isinstance(data, e.ConcurrencyEvent):
            yield from self._apply(self._groups.setdefault(event.stream, Account()), event)

    def _apply(self, group: Account, event: Recorded) -> Iterator[Finding]:
        data = event.data
        match data:
            case e.ConcurrencyAcquired(claim=claim):
                if group.holder is not None:
                    yield 5, f"concurrency group {claim.name} was given to {claim.holder} while {group.holder} holds it"
                first = next(iter(group.pending), claim.holder)
                if first != claim.holder:
                    yield 5, f"concurrency group {claim.name} was given to {claim.holder} before {first}, which waits for it longer"
                group.holder, group.position = claim.holder, event.position
                group.pending.pop(claim.holder, None)
            case e.ConcurrencyAwaited(claim=claim):
                if group.holder is None:
                    yield 5, f"{claim.holder} waits for concurrency group {claim.name}, which nobody holds"
                group.pending[claim.holder] = None
            case e.ConcurrencyReplaced(holder=holder):
                group.pending.pop(holder, None)
            case e.ConcurrencyReleased(holder=holder):
                group.pending.pop(holder, None)
                if group.holder == holder:
                    group.holder = None
            case _:
                pass

    def end(self) -> Iterator[tuple[int, UUID, str]]:
        """(position, group, what is wrong) of each group that is left to a run or job that is over."""
        for stream, group in self._groups.items():
            for holder in (group.holder, *group.pending):
                ended = self._over.get(holder, 0) if holder is not None else 0
                if ended > group.position:
                    yield ended, stream, f"{holder} is over and neither holds nor may await a concurrency group any more"
