"""Which runner gets which job."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.matching import Poller, ReadyJob, match

LABELS = st.frozensets(st.sampled_from(["linux", "x64", "gpu"]), max_size=3)


def job(number: int, labels: str = "linux", avoid: int | None = None) -> ReadyJob:
    return ReadyJob(UUID(int=number), frozenset(labels.split()), number, UUID(int=avoid) if avoid else None)


def poller(number: int, labels: str = "linux", slots: int = 1, since: int = 0) -> Poller:
    return Poller(UUID(int=number), frozenset(labels.split()), slots, since)


def numbers(pairs: list[tuple[ReadyJob, Poller]]) -> list[tuple[int, int]]:
    return [(ready.job.int, found.runner.int) for ready, found in pairs]


def test_the_oldest_job_is_served_first() -> None:
    """One slot, two jobs."""
    assert numbers(match([job(1), job(2)], [poller(100)])) == [(1, 100)]


def test_a_job_that_nobody_can_take_blocks_nobody() -> None:
    """The older one wants a label that is not there."""
    assert numbers(match([job(1, "gpu"), job(2)], [poller(100)])) == [(2, 100)]


def test_jobs_spread_over_runners_before_they_pile_up() -> None:
    """The runner with the most free slots comes first, then the one that waited longest."""
    assert numbers(match([job(1), job(2), job(3)], [poller(100, slots=2, since=2), poller(200, since=1)])) == [(1, 100), (2, 200), (3, 100)]


def test_a_retry_prefers_another_runner() -> None:
    """Unless there is none."""
    retried = job(1, avoid=100)
    assert numbers(match([retried], [poller(100, slots=5), poller(200)])) == [(1, 200)]
    assert numbers(match([retried], [poller(100)])) == [(1, 100)]


def test_a_runner_without_a_free_slot_gets_nothing() -> None:
    """A poll is open also while all slots are taken, for orders."""
    assert match([job(1)], [poller(100, slots=0)]) == []


@given(
    jobs=st.lists(st.builds(ReadyJob, st.uuids(), LABELS, st.integers(0, 99)), max_size=12, unique_by=lambda each: each.job),
    pollers=st.lists(st.builds(Poller, st.uuids(), LABELS, st.integers(0, 3), st.integers(0, 9)), max_size=6, unique_by=lambda p: p.runner),
)
def test_every_match_is_allowed_and_none_is_left_out(jobs: list[ReadyJob], pollers: list[Poller]) -> None:
    """Labels fit, slots are not overdrawn, no job twice; and no job is left that a free slot could take."""
    pairs = match(jobs, pollers)
    used = {found.runner: sum(1 for _, other in pairs if other.runner == found.runner) for found in pollers}
    assert all(ready.labels <= found.labels for ready, found in pairs)
    assert all(used[found.runner] <= found.slots for found in pollers)
    assert len({ready.job for ready, _ in pairs}) == len(pairs)
    left = [ready for ready in jobs if ready not in [taken for taken, _ in pairs]]
    free = [found for found in pollers if used[found.runner] < found.slots]
    assert not any(ready.labels <= found.labels for ready in left for found in free)
