"""A concurrency group: who is let in, who waits, who is replaced, who is asked to go."""

from typing import Any

from domain import concurrency as c
from domain import ids
from domain.job.commands import CancelJob
from domain.refusals import Decision
from domain.run.commands import AdmitJob, AdmitRun, CancelRun

REPOSITORY = ids.repository_id("default", "local", "acme/pay")
GROUP = ids.concurrency_group_id(REPOSITORY, "Deploy")


def claim(number: int, job: str = "") -> c.Claim:
    """The claim of run `number`, or of one of its jobs."""
    run = ids.run_id("default", str(number))
    own = ids.job_id(run, 1, job, "") if job else None
    return c.Claim(own or run, "Deploy", REPOSITORY, run, 1, number, "ci.yml", own, job)


ONE, TWO, THREE = claim(1), claim(2), claim(3)


def given(*events: c.ConcurrencyEvent) -> Any:
    """A group with this history; when(command) gives the decision."""
    state = None
    for event in events:
        state = c.evolve(state, event)
    return lambda command: c.decide(state, command)


def wants(who: c.Claim, **options: Any) -> c.ClaimConcurrency:
    """A claim of the group."""
    return c.ClaimConcurrency(GROUP, who, **options)


def test_the_first_is_let_in_at_once() -> None:
    """Nobody holds the group, so the run goes on in the same commit."""
    assert given()(wants(ONE)) == Decision((c.ConcurrencyAcquired(ONE),), (AdmitRun(ONE.run, 1),))


def test_the_second_waits() -> None:
    """It is told nothing: it is held already."""
    assert given(c.ConcurrencyAcquired(ONE))(wants(TWO)) == Decision((c.ConcurrencyAwaited(TWO, ONE.holder),))


def test_the_third_takes_the_place_of_the_second() -> None:
    """One may wait; who waited is cancelled and told by whom."""
    answer = given(c.ConcurrencyAcquired(ONE), c.ConcurrencyAwaited(TWO, ONE.holder))(wants(THREE))
    assert answer.events == (c.ConcurrencyReplaced(TWO.holder, THREE.holder), c.ConcurrencyAwaited(THREE, ONE.holder))
    assert answer.commands == (CancelRun(TWO.run, "replaced by run 3 in concurrency group Deploy"),)


def test_with_queue_max_all_wait_up_to_a_hundred() -> None:
    """Nobody is replaced; who finds a hundred others is cancelled."""
    waiting = [c.ConcurrencyAwaited(claim(number), ONE.holder) for number in range(2, 102)]
    answer = given(c.ConcurrencyAcquired(ONE), *waiting[:-1])(wants(claim(101), queue="max"))
    assert [type(event) for event in answer.events] == [c.ConcurrencyAwaited]
    late = given(c.ConcurrencyAcquired(ONE), *waiting)(wants(claim(102), queue="max"))
    assert late == Decision((), (CancelRun(claim(102).run, "100 others wait for concurrency group Deploy"),))


def test_cancel_in_progress_asks_the_holder_to_go() -> None:
    """The group is not taken away: who comes waits for the end of the holder."""
    answer = given(c.ConcurrencyAcquired(claim(1, "deploy")))(wants(TWO, cancel_in_progress=True))
    assert answer.events == (c.ConcurrencyAwaited(TWO, claim(1, "deploy").holder),)
    assert answer.commands == (CancelJob(claim(1, "deploy").holder, "cancelled by run 2 in concurrency group Deploy"),)


def test_who_lets_go_hands_over_to_who_waits_longest() -> None:
    """In the commit of the end, in the order of arrival."""
    job = claim(2, "deploy")
    history = (c.ConcurrencyAcquired(ONE), c.ConcurrencyAwaited(job, ONE.holder), c.ConcurrencyAwaited(THREE, ONE.holder))
    answer = given(*history)(c.ReleaseConcurrency(GROUP, ONE.holder))
    assert answer.events == (c.ConcurrencyReleased(ONE.holder), c.ConcurrencyAcquired(job))
    assert answer.commands == (AdmitJob(job.run, 1, job.holder),)


def test_who_waits_may_give_up() -> None:
    """It leaves the queue and the holder is not touched."""
    answer = given(c.ConcurrencyAcquired(ONE), c.ConcurrencyAwaited(TWO, ONE.holder))(c.ReleaseConcurrency(GROUP, TWO.holder))
    assert answer == Decision((c.ConcurrencyReleased(TWO.holder),))


def test_repeats_change_nothing() -> None:
    """A claim of who is there, and a release of who is not."""
    there = given(c.ConcurrencyAcquired(ONE), c.ConcurrencyAwaited(TWO, ONE.holder))
    assert there(wants(ONE)) == there(wants(TWO)) == there(c.ReleaseConcurrency(GROUP, THREE.holder)) == Decision()


def test_a_job_that_would_wait_for_its_own_run_is_cancelled() -> None:
    """It would wait for ever: its run holds the group until the job is done."""
    answer = given(c.ConcurrencyAcquired(ONE))(wants(claim(1, "deploy")))
    assert answer == Decision((), (CancelJob(claim(1, "deploy").holder, "deadlock: run 1 itself holds concurrency group Deploy"),))


def test_names_count_without_regard_to_case_and_within_a_repository() -> None:
    """Case makes no difference, so deploy and Deploy are one group; another repository has its own."""
    assert ids.concurrency_group_id(REPOSITORY, "deploy") == GROUP
    assert ids.concurrency_group_id(ids.repository_id("default", "local", "acme/other"), "Deploy") != GROUP
