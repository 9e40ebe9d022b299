"""Recorded decisions taken again: today's rules agree with every history, and a rule that is changed on purpose is told."""

import hashlib
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from domain.job import again, attempt, decide, events
from domain.retry import RetryPolicy
from domain.run import admission, decisions, specs, standstill
from domain.run import decide as decide_run
from domain.run import events as run_events
from domain.run.decisions import Named
from domain.workflow import plan, reader
from domain.workflow.model import Workflow
from tests.domain.machine import Machine
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


def named(log: list[Any], blobs: dict[str, bytes]) -> Named:
    """The workflows and payloads that the runs of a log name."""
    plans = {event.data.plan for event in log if isinstance(event.data, run_events.RunPlanned)}
    payloads = {event.data.payload for event in log if isinstance(event.data, run_events.RunTriggered)}
    return Named(
        {digest: msgspec.json.decode(blobs[digest], type=Workflow) for digest in plans},
        {digest: msgspec.json.decode(blobs[digest]) for digest in payloads},
    )


def of_release(log: list[Any], folder: Path) -> Named:
    """The same of a recorded history: its workflow files lie beside it; no rule of theirs reads the payload."""
    files = {hashlib.sha256(path.read_bytes()).hexdigest(): path.read_text() for path in folder.glob("*.yml")}
    texts = {path.stem: path.read_text() for path in folder.glob("*.yml")}
    plans, payloads, triggered = {}, {}, {}
    for event in log:
        if isinstance(event.data, run_events.RunTriggered):
            payloads[event.data.payload] = dict[str, Any]()
            triggered[event.stream] = event.data
        if isinstance(event.data, run_events.RunPlanned):
            facts = triggered[event.stream]
            text = files.get(facts.source) or texts[f"{Path(facts.workflow_path).stem}-{facts.source[:8]}"]
            workflow, problems = reader.read(facts.workflow_path, text)
            assert workflow is not None, problems
            plans[event.data.plan] = workflow
    return Named(plans, payloads)


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_runs_of_every_release_are_decided_as_they_were(path: Path) -> None:
    """What was planned, skipped, admitted and concluded then is so today; and the jobs are what they were."""
    log = events_of([msgspec.json.decode(line, type=StoredRow) for line in path.read_bytes().splitlines()])
    found = decisions.again(log, of_release(log, path.with_suffix(".workflows")))
    assert found.differences == ()
    assert (found.decisions, found.passed) == (16, 0)


def test_the_runs_of_generated_histories_are_decided_as_they_were() -> None:
    """Calls, groups, retries, cancellations, clocks that stand still; nothing is passed over."""
    for world in worlds(25, 60):
        found = decisions.again(world.log, named(world.log, world.blobs.content))
        assert found.differences == ()
        assert found.passed == 0


def test_reruns_are_decided_as_they_were() -> None:
    """All jobs, the failed ones, and a single one, which the events do not name."""
    machine = Machine()
    machine.finish(test_2="failure")
    machine.again("failed")
    machine.finish()
    machine.again("job", "deploy")
    machine.finish()
    machine.again("all")
    machine.finish()
    found = decisions.again(machine.world.log, named(machine.world.log, machine.world.blobs.content))
    assert (found.differences, found.passed) == ((), 0)
    assert sum(event.type == "RunRerunRequested" for event in machine.world.log) == 3


def _ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "run_conclusion", lambda _results: "success")


def _no_max_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "holds", lambda *_: [])


def _clock_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "_turned", lambda *_: ())


def _longer_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide_run, "RUN_MAX", decide_run.RUN_MAX * 2)


def _other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "full_name", lambda _run, _node, name: name.upper())


def _no_backoff_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "backing_off", lambda *_: decide_run.REPEAT)


@pytest.mark.parametrize(
    ("change", "command"),
    [
        (_ends_well, "ConcludeJob"),
        (_no_max_parallel, "StartRun"),
        (_clock_goes_on, "NoteWaiting"),
        (_longer_runs, "StartRun"),
        (_other_names, "ConcludeJob"),
        (_no_backoff_told, "NoteBackoff"),
    ],
    ids=["conclusion", "max-parallel", "standstill", "limit", "names", "backoff"],
)
def test_a_changed_rule_of_runs_is_told(change: Any, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command, and what was decided then and would be now: events of the run, or what its jobs are."""
    made = [(world.log, named(world.log, world.blobs.content)) for world in worlds(12, 60)]
    change(monkeypatch)
    found = [each for log, known in made for each in decisions.again(log, known).differences]
    assert command in {each.command for each in found}
    assert all(each.recorded != each.now for each in found)


def test_a_run_whose_workflow_is_gone_is_passed_over() -> None:
    """What opens no nodes is decided again all the same."""
    machine = Machine()
    machine.finish()
    found = decisions.again(machine.world.log, Named({}, {}))
    assert found.differences == ()
    assert found.passed > 5
