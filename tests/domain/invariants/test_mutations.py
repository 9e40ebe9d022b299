"""The checker is checked: one event of a generated history is dropped, doubled, moved or edited, and nearly always it is found.

A mutant is made good again as far as a forger could: versions and causes follow on, so that what is found is what the event
means. Fields that no rule determines (texts, digests, times that only grow) are left alone: that they were edited only the
tree over the log's bytes can prove.
"""

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from domain import ids
from domain.envelope import Recorded
from domain.invariants import check
from tests.domain.world import World

HISTORIES = 12
STEPS = 70
MUTANTS = 40
KILLED_MIN = 0.95

GOVERNED = {
    "JobCreated": ("run", "run_attempt", "key", "instance"),
    "JobQueued": ("labels", "expires_at"),
    "JobAcquired": ("attempt", "epoch", "lease"),
    "JobStarted": ("attempt", "epoch"),
    "HeartbeatRecorded": ("attempt", "epoch"),
    "LeaseExtended": ("attempt", "epoch"),
    "StepStarted": ("attempt", "epoch"),
    "StepCompleted": ("attempt", "epoch", "outcome"),
    "LogSegmentStored": ("attempt", "epoch", "segment"),
    "AttemptLost": ("attempt", "epoch", "runner", "retry_index", "reason"),
    "AttemptFailed": ("attempt", "epoch", "runner", "retry_index"),
    "AttemptTimedOut": ("attempt", "epoch", "runner", "retry_index"),
    "JobRetried": ("attempt", "follows"),
    "JobSucceeded": ("attempt", "epoch"),
    "RunNumbered": ("number",),
    "RunTriggered": ("number", "workflow"),
    "RunPlanned": ("run_attempt",),
    "NodeExpanded": ("run_attempt", "node"),
    "NodeSkipped": ("run_attempt", "node"),
    "NodeFailed": ("run_attempt", "node"),
    "JobConcluded": ("run_attempt", "node", "job", "conclusion", "result", "outputs"),
    "RunCompleted": ("run_attempt", "conclusion"),
    "CallConcluded": ("run_attempt", "call"),
    "ConcurrencyAcquired": ("claim",),
}
"""Per event the fields whose value follows from the rest of the log."""

SILENT = {
    "drop": {
        # what leaves the checker's account as it was: nothing else in the log follows from it
        "HeartbeatRecorded", "LeaseExtended", "StaleWriteRejected", "JobCancellationRequested", "LogSegmentStored", "CommandRefused",
        "FollowersFixed", "RunCancellationRequested", "CallCancellationRequested", "ConcurrencyReplaced", "ConcurrencyAwaited",
        "ConcurrencyReleased", "StepStarted", "JobStarted", "CallHeld",
    },
    "double": {
        "StaleWriteRejected", "JobStarted", "JobCancellationRequested", "CommandRefused", "FollowersFixed", "RunCancellationRequested",
        "CallCancellationRequested", "ConcurrencyReplaced", "ConcurrencyReleased", "RunHeld", "RunAdmitted", "JobHeld", "CallHeld",
    },
}  # fmt: skip
"""What may be missing or stand twice without a contradiction in the rest: only its version shows it, which a forger renumbers."""

ABOUT = ("Job", "Attempt", "Run", "Node", "Call", "Step", "Heartbeat", "Lease", "LogSegment", "Concurrency", "StaleWrite", "Followers")


def history(seed: int) -> list[Recorded]:
    """A sound log of runs and jobs."""
    world = World(random.Random(seed).randrange)
    for _ in range(STEPS):
        world.step()
    assert check(world.log) == []
    return world.log


def other(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case datetime():
            return value - timedelta(days=400)
        case UUID():
            return ids.derive("forged", value)
        case "success":
            return "failure"
        case "failure" | "cancelled" | "skipped" | "timed_out":
            return "success"
        case str():
            return f"{value}x"
        case tuple():
            return (*value, "forged")
        case dict():
            return {**value, "forged": "1"}
        case msgspec.Struct():
            return replace(value, holder=ids.derive("forged", value.holder))
        case _:
            raise AssertionError(f"no other value of {value!r}")


def consistent(log: list[Recorded]) -> list[Recorded]:
    """The log with versions, positions and causes that fit, as a forger would leave it."""
    versions: Counter[UUID] = Counter()
    renamed: dict[UUID, UUID] = {}
    made = []
    for position, event in enumerate(log, 1):
        versions[event.stream] += 1
        renamed[event.id] = ids.event_id(event.stream, versions[event.stream])
        cause = event.meta.cause
        meta = replace(event.meta, cause=renamed.get(cause, cause) if cause else None)
        made.append(replace(event, position=position, version=versions[event.stream], meta=meta))
    return made


def mutants(log: list[Recorded], draw: random.Random) -> Any:
    """(kind, event, mutated log), at random."""
    about = [index for index, event in enumerate(log) if event.type.startswith(ABOUT) and not event.type.startswith("Runner")]
    for _ in range(MUTANTS):
        index = draw.choice(about)
        event = log[index]
        kind = draw.choice(("drop", "double", "swap", "edit", "edit"))
        if kind == "drop" and event.type not in SILENT["drop"]:
            yield kind, event.type, consistent([*log[:index], *log[index + 1 :]])
        elif kind == "double" and event.type not in SILENT["double"]:
            yield kind, event.type, consistent([*log[: index + 1], event, *log[index + 1 :]])
        elif kind == "swap":
            # raw: positions tell the order in which a reader saw them
            if index + 1 < len(log):
                yield kind, event.type, [*log[:index], log[index + 1], event, *log[index + 2 :]]
        elif kind == "edit" and event.type in GOVERNED:
            field = draw.choice(GOVERNED[event.type])
            forged = replace(event.data, **{field: other(getattr(event.data, field))})
            yield f"{kind} {field}", event.type, [*log[:index], replace(event, data=forged), *log[index + 1 :]]


@pytest.mark.timeout(300)
def test_the_checker_kills_nearly_all_mutants() -> None:
    """At least 95 of 100; each breach names a position and a stream of the log."""
    draw = random.Random(6)
    made: Counter[tuple[str, str]] = Counter()
    survived: Counter[tuple[str, str]] = Counter()
    for seed in range(HISTORIES):
        for kind, name, log in mutants(history(seed), draw):
            made[kind, name] += 1
            breaches = check(log)
            if not breaches:
                survived[kind, name] += 1
            known = {(event.position, event.stream) for event in log} | {(event.position, None) for event in log}
            assert {(breach.position, None) for breach in breaches} <= known
    rate = 1 - survived.total() / made.total()
    assert made.total() > 200
    assert rate >= KILLED_MIN, f"{rate:.3f} of {made.total()}; survived: {survived.most_common()}"
