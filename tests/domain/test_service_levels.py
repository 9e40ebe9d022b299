"""What a log says about how well it went: each figure from events made by hand, and none that is a user's word."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from domain.delivery import StartedRun, WebhookAnswered, WebhookReceived
from domain.envelope import Meta, Recorded
from domain.events import NAMES
from domain.histogram import Histogram
from domain.job import events as job
from domain.pools import pool_of
from domain.run import events as run
from domain.service_levels import OPEN_MAX, ServiceLevels

BEGIN = datetime(2026, 11, 21, 14, tzinfo=UTC)
RUN, JOB, RUNNER, DELIVERY = (uuid5(UUID(int=0), name) for name in ("run", "job", "runner", "delivery"))


class Story:
    """Events at seconds from the beginning."""

    def __init__(self) -> None:
        self.levels = ServiceLevels()
        self.position = 0

    def tell(self, seconds: float, data: Any, stream: UUID = JOB, correlation: UUID | None = RUN) -> None:
        self.position += 1
        meta = Meta(BEGIN + timedelta(seconds=seconds), "acme", "system:test", correlation=correlation)
        self.levels.hear([Recorded(self.position, stream, self.position, *NAMES[type(data)], meta, data)])

    def attempt(self, queued: float, acquired: float, number: int = 1) -> None:
        """Ready, handed out, and at once begun."""
        if number == 1:
            self.tell(queued, job.JobQueued("default", "acme", ("ubuntu-latest", "fast"), "r", BEGIN))
        else:
            self.tell(queued, job.JobRetried(number, number - 1, BEGIN))
        self.tell(acquired, job.JobAcquired(number, number, RUNNER, "box", JOB, BEGIN, BEGIN))
        self.tell(acquired, job.JobStarted(number, number, BEGIN))

    def step(self, seconds: float, outcome: str = "success", code: int | None = 0) -> None:
        at = BEGIN + timedelta(seconds=seconds)
        self.tell(seconds, job.StepStarted(1, 1, 0, at))
        self.tell(seconds, job.StepCompleted(1, 1, 0, outcome, outcome, code, "", at, at))


def triggered() -> run.RunTriggered:
    return run.RunTriggered(RUN, "acme/pay", RUN, "ci.yml", "ci", 1, "push", "refs/heads/main", "0" * 40, "s", "", "p", 2, "q")


@pytest.fixture
def story() -> Story:
    return Story()


def told(histogram: Histogram) -> tuple[int, float]:
    return histogram.count, pytest.approx(histogram.total)


def test_a_job_that_ends_well_at_its_first_attempt(story: Story) -> None:
    """Waited 3 s, ran 5 s; the run took 10 s and its first step began 4 s after the push."""
    story.tell(0, triggered(), RUN)
    story.attempt(1, 4)
    story.step(4)
    story.tell(9, job.JobSucceeded(1, 1))
    story.tell(10, run.RunCompleted(1, "success"), RUN)
    levels = story.levels
    assert told(levels.queue_wait["linux",]) == (1, 3)
    assert told(levels.job_run["linux", "success"]) == (1, 5)
    assert told(levels.runs["success",]) == (1, 10)
    assert told(levels.first_step) == (1, 4)
    assert levels.jobs == {("success", "no"): 1}
    assert levels.job_seconds == {"linux": (1, 5)}
    assert not levels._jobs
    assert not levels._runs


def test_a_lost_attempt_and_the_one_after_it(story: Story) -> None:
    """Both waits count; the job succeeded with a retry; a lost attempt says nothing about how long jobs take."""
    story.tell(0, triggered(), RUN)
    story.attempt(0, 1)
    story.step(2)
    story.tell(31, job.AttemptLost(1, 1, RUNNER, "lease_expired", 1, retry_at=BEGIN))
    story.attempt(33, 35, 2)
    story.step(36)
    story.tell(40, job.JobSucceeded(2, 2))
    levels = story.levels
    assert levels.lost == {("lease_expired",): 1}
    assert told(levels.queue_wait["linux",]) == (2, 3)
    assert told(levels.job_run["linux", "lost"]) == (1, 30)
    assert told(levels.first_step) == (1, 2)
    assert levels.queued == {("linux",): 2}
    assert levels.jobs == {("success", "yes"): 1}
    assert levels.job_seconds == {"linux": (1, 5)}


@pytest.mark.parametrize(
    ("ends", "result", "conclusion"),
    [
        ((job.AttemptFailed(1, 1, RUNNER, "step_failed", 1), job.JobFailed(1, "step_failed")), "failure", "failure"),
        ((job.AttemptTimedOut(1, 1, RUNNER, "job_timeout", 1), job.JobTimedOut(1, "job_timeout")), "timed_out", "timed_out"),
        ((job.JobCancelled(1, 1, "asked"),), "cancelled", "cancelled"),
        ((job.AttemptLost(1, 1, RUNNER, "runner_stopped", 1, retry_at=BEGIN), job.JobCancelled(1, 1, "asked")), "lost", "cancelled"),
    ],
)
def test_an_attempt_is_timed_once(story: Story, ends: tuple[Any, ...], result: str, conclusion: str) -> None:
    """Its end and its job's are two events, in one append or, where it waited for another attempt, in two."""
    story.attempt(0, 1)
    for end in ends:
        story.tell(8, end)
    assert {key: told(value) for key, value in story.levels.job_run.items()} == {("linux", result): (1, 7)}
    assert story.levels.jobs == {(conclusion, "no"): 1}


def test_what_never_ran_is_counted_and_not_timed(story: Story) -> None:
    """Skipped, given up in the queue, cancelled while it waited."""
    story.tell(0, job.JobSkipped("condition"))
    story.tell(0, job.JobQueued("default", "acme", (), "r", BEGIN), RUN)
    story.tell(9, job.JobTimedOut(0, "queue_timeout"), RUN)
    story.tell(9, job.JobCancelled(0, 0, "asked"), RUNNER)
    assert story.levels.jobs == {("skipped", "no"): 1, ("timed_out", "no"): 1, ("cancelled", "no"): 1}
    assert not story.levels.job_run
    assert story.levels.queued == {("other",): 1}


@pytest.mark.parametrize("answered_first", [True, False])
def test_the_push_is_what_the_forge_delivered(story: Story, *, answered_first: bool) -> None:
    """However the answer and the run stand in their commit."""
    story.tell(0, WebhookReceived("github", "push", "k", None, "", "p", 2), DELIVERY, None)
    answer = WebhookAnswered((StartedRun("ci.yml", "push", RUN),), ())
    commit = [(answer, DELIVERY), (triggered(), RUN)]
    for data, stream in commit if answered_first else reversed(commit):
        story.tell(5, data, stream)
    story.step(7)
    assert told(story.levels.first_step) == (1, 7)
    assert not story.levels._deliveries


def test_a_rerun_is_timed_and_is_no_push(story: Story) -> None:
    """Its first step was not pushed for."""
    story.tell(0, run.RunRerunRequested(2, "all"), RUN)
    story.step(2)
    story.tell(20, run.RunCompleted(2, "failure"), RUN)
    assert story.levels.first_step.count == 0
    assert told(story.levels.runs["failure",]) == (1, 20)


def test_how_a_step_failed(story: Story) -> None:
    """By its exit code; success counts nowhere."""
    for outcome, code in (("failure", 1), ("failure", 137), ("failure", None), ("success", 0), ("failure", -9)):
        story.step(1, outcome, code)
    assert story.levels.step_failures == {("exit",): 1, ("signal",): 2, ("error",): 1}


def test_what_began_before_is_counted_when_it_ends(story: Story) -> None:
    """Nothing is timed that was not heard from its beginning."""
    story.tell(9, job.JobAcquired(1, 1, RUNNER, "box", JOB, BEGIN, BEGIN))
    story.step(10)
    story.tell(19, job.JobSucceeded(1, 1))
    story.tell(20, run.RunCompleted(1, "success"), RUN)
    assert story.levels.jobs == {("success", "no"): 1}
    assert (story.levels.queue_wait, story.levels.job_run, story.levels.runs) == ({}, {}, {})


def test_a_flood_is_counted_and_takes_no_more_memory() -> None:
    """The first ones are timed, the others counted."""
    levels = ServiceLevels()
    meta = Meta(BEGIN, "acme", "system:test", correlation=RUN)
    queued = job.JobQueued("default", "acme", (), "r", BEGIN)
    levels.hear(Recorded(n, UUID(int=n), 1, "JobQueued", 1, meta, queued) for n in range(OPEN_MAX + 7))
    assert levels.queued["other",] == OPEN_MAX + 7
    assert levels.untimed == 7
    assert len(levels._jobs) == OPEN_MAX


def test_the_mean_follows_what_jobs_take_lately(story: Story) -> None:
    """After a thousand short jobs a thousand long ones count for most of it."""
    for number in range(2_000):
        story.attempt(0, 0)
        story.tell(1 if number < 1_000 else 100, job.JobSucceeded(1, 1))
    count, mean = story.levels.job_seconds["linux"]
    assert count == 1_000
    assert 60 < mean < 100


def test_a_pool_is_one_of_four_words() -> None:
    """Whatever the labels are."""
    labels = {("self-hosted", "Linux"): "linux", ("ubuntu-24.04",): "linux", ("macos-15",): "macos", ("WINDOWS-latest",): "windows"}
    labels |= {("gpu",): "other", (): "other", ("linuxish",): "other"}
    assert {each: pool_of(each) for each in labels} == labels


def test_a_histogram_counts_each_value_in_one_bucket() -> None:
    """A bound belongs to its bucket; a clock that went back counts as nothing."""
    histogram = Histogram((1, 2))
    for value in (-1, 1, 1.5, 3):
        histogram.observe(value)
    assert list(histogram.cumulative()) == [(1, 2), (2, 3), (float("inf"), 4)]
    assert (histogram.count, histogram.total) == (4, 5.5)
