"""One commit in the making: a command, and every consequence that belongs in the same commit, on a set of streams.

Nothing here writes. What was decided is kept as pending events of immutable `Stream`s, so that a refusal in the middle
takes back the whole command by forgetting the dictionary it worked on.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from commands import catalogue
from commands.streams import Stream, Streams
from domain import ids, reactions
from domain.envelope import Meta
from domain.job import commands as job
from domain.job import events as e
from domain.job.state import Queued
from domain.ports import NewEvent, StreamWrite
from domain.refusals import Decision, Refusal
from domain.run import commands as run
from domain.scheduling import window
from domain.scheduling.line import UNPLACED, ReadyJob

Enrich = Callable[[Any, Any], Awaitable[Any]]
"""(command, state) to the command with the blobs that deciding it needs."""


class ConsequenceRefused(Exception):  # noqa: N818 - an outcome with a name of its own
    """A consequence was refused, so the command that led to it is refused as a whole."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.message)


class Unit:
    """The streams of one commit, in the order in which they were first touched."""

    def __init__(self, streams: Streams, enrich: Enrich, claim: Callable[[tuple[int, UUID]], Awaitable[None]]) -> None:
        self._streams = streams
        self._enrich = enrich
        self._claim = claim
        self.touched: dict[UUID, Stream] = {}
        self._decided: list[tuple[UUID, tuple[NewEvent, ...]]] = []

    async def execute(self, command: Any, meta: Meta) -> Refusal | None:
        """Decide one command with its consequences; on a refusal only its evidence stays."""
        saved = dict(self.touched), list(self._decided)
        try:
            return await self._decide(command, meta, follows=False)
        except ConsequenceRefused as refused:
            self.touched, self._decided = saved
            return refused.refusal

    def writes(self) -> tuple[StreamWrite, ...]:
        """What to append: in the order of the decisions, so that a cause always stands before what it caused."""
        writes = []
        reached: dict[UUID, int] = {}
        for stream, events in self._decided:
            before = reached.get(stream, self.touched[stream].version)
            writes.append(StreamWrite(stream, before, events))
            reached[stream] = before + len(events)
        return tuple(writes)

    def queued(self) -> list[ReadyJob]:
        """The jobs that this commit puts into the queue."""
        return [
            window.ready(stream.state, UNPLACED, event.meta.at)
            for stream in self.touched.values()
            for event in stream.pending[-1:]
            if isinstance(event.data, e.JobQueued | e.JobRetried) and isinstance(stream.state, Queued)
        ]

    async def _decide(self, command: Any, meta: Meta, *, follows: bool) -> Refusal | None:
        kind, stream_id = catalogue.target(command)
        if follows:
            await self._claim(catalogue.place(kind, stream_id))
        stream = await self._stream(kind, stream_id, opening=type(command) in catalogue.OPENING)
        state = stream.seen_by(meta.tenant, kind)
        if state is not stream.state:
            return self._hidden(kind, command, meta, follows=follows)
        command = await self._enrich(command, state)
        meta = _located(meta, stream, command)
        verdict = catalogue.AGGREGATES[kind].decide(state, command, meta)
        if _answers_without_events(verdict) and not stream.fresh and not stream.pending:
            stream = await self._streams.refresh(stream)
            self.touched[stream_id] = stream
            verdict = catalogue.AGGREGATES[kind].decide(stream.state, command, meta)
        if isinstance(verdict, Refusal):
            if follows:
                raise ConsequenceRefused(verdict)
            self._add(stream, tuple(NewEvent(event, meta) for event in verdict.evidence))
            return verdict
        await self._carry_out(stream, verdict, meta)
        return None

    @staticmethod
    def _hidden(kind: str, command: Any, meta: Meta, *, follows: bool) -> Refusal:
        """The answer where the stream is another tenant's or of another kind: what it would be if there were none. Nothing is written."""
        verdict = catalogue.AGGREGATES[kind].decide(None, command, meta)
        if not isinstance(verdict, Refusal):
            verdict = Refusal("not_yours", f"this {kind} cannot be had", state="absent")
        if follows:
            raise ConsequenceRefused(verdict)
        return msgspec.structs.replace(verdict, evidence=())

    async def _carry_out(self, stream: Stream, decision: Decision, meta: Meta) -> None:
        """Take in the events; then the decision's own commands, then what the process managers make of the events."""
        first = stream.version + len(stream.pending) + 1
        stream = self._add(stream, tuple(NewEvent(event, meta) for event in decision.events))
        if decision.commands:
            # A decision without an event of its own hands on what caused it.
            caused = replace(meta, command=None, cause=ids.event_id(stream.id, first)) if decision.events else meta
            for command in decision.commands:
                await self._decide(command, caused, follows=True)
        for number, event in enumerate(decision.events, first):
            for command in reactions.in_commit(stream.state, event):
                await self._decide(command, replace(meta, command=None, cause=ids.event_id(stream.id, number)), follows=True)

    async def _stream(self, kind: str, stream_id: UUID, *, opening: bool) -> Stream:
        if stream_id not in self.touched:
            find = self._streams.open if opening else self._streams.get
            self.touched[stream_id] = await find(kind, stream_id)
        return self.touched[stream_id]

    def _add(self, stream: Stream, events: tuple[NewEvent, ...]) -> Stream:
        if not events:
            return stream
        self._decided.append((stream.id, events))
        self.touched[stream.id] = after = stream.with_pending(events)
        return after


def _answers_without_events(verdict: Decision | Refusal) -> bool:
    return isinstance(verdict, Refusal) or not verdict.events


def _located(meta: Meta, stream: Stream, command: Any) -> Meta:
    """The envelope for this stream: its run, and a cause where no command from outside stands behind it.

    A command that nobody sent (a deadline passed, a runner was matched) is caused by what the stream said last.
    """
    correlation = meta.correlation
    if isinstance(command, job.CreateJob):
        correlation = command.spec.run
    elif stream.kind == "job" and stream.state is not None:
        correlation = stream.state.life.spec.run
    elif stream.kind == "run":
        correlation = stream.id
    elif isinstance(command, run.TriggerRun):
        correlation = command.run
    cause = meta.cause
    said = stream.version + len(stream.pending)
    if cause is None and meta.command is None and said:
        cause = ids.event_id(stream.id, said)
    if correlation == meta.correlation and cause == meta.cause:
        return meta
    return msgspec.structs.replace(meta, correlation=correlation, cause=cause)
