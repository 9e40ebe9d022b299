"""Recorded decisions taken again: today's rules agree with every history, and a rule that is changed on purpose is told."""

import random
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from domain.job import again, attempt, decide, events
from domain.retry import RetryPolicy
from tests.domain.world import World
from tests.golden.record import StoredRow, events_of

HISTORIES = sorted((Path(__file__).parents[1] / "golden").glob("*.*.*/*.jsonl"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_histories_of_every_release_are_decided_as_they_were(path: Path) -> None:
    """An upgrade changes nothing that happened."""
    rows = [msgspec.json.decode(line, type=StoredRow) for line in path.read_bytes().splitlines()]
    found = again.again(events_of(rows))
    assert found.differences == ()
    assert found.decisions > 20


def worlds(count: int, steps: int) -> list[World]:
    """Generated histories."""
    made = []
    for seed in range(count):
        world = World(random.Random(seed).randrange)
        for _ in range(steps):
            world.step()
        made.append(world)
    return made


def test_generated_histories_are_decided_as_they_were() -> None:
    """Whatever was asked in whatever order; only refused writes tell too little of their command."""
    for world in worlds(25, 60):
        found = again.again(world.log)
        assert found.differences == ()
        own = [event for event in world.log if isinstance(event.data, events.JobEvent)]
        assert found.passed == sum(event.type == "StaleWriteRejected" for event in own)


def _longer_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "JOB_GRACE_SECONDS", 11)


def _another_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = attempt.backoff
    monkeypatch.setattr(attempt, "backoff", lambda policy, job, index: honest(replace(policy, backoff_seconds=2.5), job, index))


def _no_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "_retry_at", lambda *_: None)


def _nobody_is_refused_for_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "_doubt", lambda _state: "today nothing is believed")


@pytest.mark.parametrize(
    ("change", "command"),
    [
        (_longer_grace, "StartJob"),
        (_another_backoff, "Expire"),
        (_no_retry, "Expire"),
        (_nobody_is_refused_for_doubt, "ReportAttempt"),
    ],
    ids=["grace", "backoff", "no retry", "doubt"],
)
def test_a_changed_rule_is_told(change: object, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command, and what was decided then and would be now."""
    made = worlds(12, 60)
    change(monkeypatch)  # type: ignore[operator]  # a function of the monkeypatch
    found = [each for world in made for each in again.again(world.log).differences]
    assert command in {each.command for each in found}
    assert all(each.recorded != each.now for each in found)
    assert RetryPolicy().backoff_seconds == 1


def test_an_edited_decision_is_told_at_its_position() -> None:
    """A lease that was longer than what was asked cannot be told; an attempt that did not follow can."""
    (world,) = worlds(1, 60)
    acquired = next(event for event in world.log if event.type == "JobAcquired")
    edited = [replace(each, data=replace(each.data, attempt=7)) if each is acquired else each for each in world.log]
    first = again.again(edited).differences[0]
    assert (first.position, first.stream, first.command) == (acquired.position, acquired.stream, "AcquireJob")
