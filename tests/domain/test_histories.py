"""Generated histories: whatever is asked in whatever order, the invariants hold, and faults in the rules are found."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from msgspec.structs import replace

from commands import catalogue
from domain import concurrency
from domain.events import REGISTER
from domain.job import attempt, decide, events, fence
from domain.job.state import Done
from domain.refusals import Decision
from domain.run import admission, advance, call
from tests.domain.world import DEADLINES, World

HISTORIES = 1000
STEPS = 18
REACHED_MIN = 20
REFUSALS = (
    "not_queued",
    "labels_do_not_match",
    "lease_lost",
    "sequence_gap",
    "bad_step_transition",
    "not_started",
    "result_contradicts_steps",
    "already_done",
    "job_not_found",
    "run_exists",
    "run_not_found",
    "run_completed",
    "run_not_completed",
    "nothing_failed",
    "job_skipped",
    "job_not_in_attempt",
    "foreign_job",
    "workflow_disabled",
    "workflow_not_found",
    "version_mismatch",
    "repository_not_found",
    "runner_not_found",
    "runner_retired",
    "bad_slots",
    "too_many_slots",
    "not_this_runner",
    "registration_not_found",
    "registration_used",
    "registration_expired",
    "labels_not_granted",
    "group_not_granted",
    "bad_registration",
    "bad_group",
    "subscription_not_found",
    "bad_subscription",
    "token_not_found",
    "token_over",
    "bad_token",
    "idempotency_key_reused",
    "schedule_not_found",
    "commit_status_not_found",
)
STATES = (
    "job queued",
    "job acquired",
    "job running",
    "job backing_off",
    *(f"job done ({end})" for end in ("success", "failure", "cancelled", "timed_out")),
    *(f"run {end}" for end in ("open", "success", "failure", "cancelled")),
)


@pytest.mark.timeout(600)
def test_a_thousand_histories_keep_the_invariants(capsys: pytest.CaptureFixture[str]) -> None:
    """1,000 histories over all commands; every event type, refusal, state and deadline is reached at least 20 times."""
    reached: Counter[str] = Counter()

    class Histories(RuleBasedStateMachine):
        """Each rule lets a few things happen; the checker judges the whole log at the end."""

        @initialize(seed=st.integers(0, 2**32))
        def begin(self, seed: int) -> None:
            self.world = World(random.Random(seed).randrange)

        @rule()
        def happen(self) -> None:
            for _ in range(5):
                self.world.step()

        def teardown(self) -> None:
            if hasattr(self, "world"):
                assert self.world.breaches() == []
                reached.update(self.world.reached)

    run_state_machine_as_test(  # type: ignore[no-untyped-call]  # Hypothesis leaves it without types
        Histories,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
    wanted = [
        *(f"event {name}" for name in REGISTER),
        *(f"refusal {code}" for code in REFUSALS),
        *STATES,
        *(f"deadline {kind}" for kind in DEADLINES),
    ]
    with capsys.disabled():
        rows = "\n".join(f"  {reached[what]:>8,}  {what}" for what in sorted({*wanted, *reached}))
        print(f"\nreached in {HISTORIES} generated histories:\n{rows}")  # noqa: T201 - the table is the point
    rare = [what for what in wanted if reached[what] < REACHED_MIN]
    assert rare == []


def _ignore_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "_reason", lambda state, _command: None if fence.name(state) in ("acquired", "running") else "over")


def _retry_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "_retry_at", lambda _state, _end, _reason, now: now)


def _queue_before_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advance, "_is_ready", lambda _run, node: node.phase == "pending")


def _end_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = catalogue.AGGREGATES["job"]

    def evolve(stream: Any, state: Any, event: Any, meta: Any) -> Any:
        return state if isinstance(state, Done) else honest.evolve(stream, state, event, meta)

    def reported(state: Any, report: Any, now: Any) -> Any:
        answer = attempt.reported(state, report, now)
        return (*answer, answer[-1]) if isinstance(answer, tuple) and isinstance(answer[-1], events.JobSucceeded) else answer

    monkeypatch.setitem(catalogue.AGGREGATES, "job", catalogue.Aggregate(honest.decide, evolve))
    monkeypatch.setattr(decide, "reported", reported)


def _let_everybody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = admission.admit

    def admit(run: Any, node: Any) -> Any:
        waiting = {job: replace(held, limit=9) for job, held in node.held.items()}
        return honest(run, replace(node, held=waiting))

    monkeypatch.setattr(admission, "admit", admit)


def _two_holders(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = concurrency._claim
    monkeypatch.setattr(concurrency, "_claim", lambda _group, command: honest(concurrency.Group(), command))


def _open_before_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "may_open", lambda _run, _prefix: True)


def _never_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "_release", lambda _group, _command: Decision())


@pytest.mark.parametrize(
    ("plant", "invariants"),
    [
        (_ignore_epochs, {2}),
        (_retry_for_ever, {4}),
        (_queue_before_needs, {5}),
        (_end_twice, {3}),
        (_let_everybody_in, {5}),
        (_two_holders, {5}),
        (_never_let_go, {5}),
        (_open_before_the_group, {5}),
    ],
    ids=[
        "no epoch check",
        "retry above the maximum",
        "queued before needs",
        "two terminal events",
        "max-parallel exceeded",
        "a group with two holders",
        "a group that is never released",
        "a call that does not wait for its group",
    ],
)
def test_a_planted_fault_is_found(plant: Any, invariants: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker finds each fault that is planted in decide, under the number of the invariant that it breaks."""
    plant(monkeypatch)
    for seed in range(200):
        world = World(random.Random(seed).randrange)
        for _ in range(80):
            world.step()
        found = {breach.invariant for breach in world.breaches()}
        if found & invariants:
            return
    pytest.fail("200 histories, and the fault was not found")
