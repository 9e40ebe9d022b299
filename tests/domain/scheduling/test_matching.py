"""Which runner gets which job, and whose turn it is."""

from collections import defaultdict
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.scheduling.fair_share import Shares
from domain.scheduling.line import Line, ReadyJob
from domain.scheduling.matching import Poller, match, standing
from tests.domain.scheduling import reference

LABELS = st.lists(st.sampled_from(["linux", "x64", "gpu"]), max_size=3, unique=True).map(tuple)


def job(number: int, labels: str = "linux", avoid: int | None = None, *, tenant: str = "t", key: str = "k", lane: str = "") -> ReadyJob:
    line = Line(tenant, key, lane, tuple(labels.split()))
    return ReadyJob(UUID(int=number), line, number, float(number), UUID(int=avoid) if avoid else None)


def poller(number: int, labels: str = "linux", slots: int = 1, since: int = 0) -> Poller:
    return Poller(UUID(int=number), frozenset(labels.split()), slots, since)


def matched(jobs: list[ReadyJob], pollers: list[Poller], shares: Shares | None = None) -> list[tuple[ReadyJob, Poller]]:
    queues: dict[Line, list[ReadyJob]] = defaultdict(list)
    for each in sorted(jobs, key=lambda each: each.position):
        queues[each.line].append(each)
    return match([standing(queues.items(), shares or Shares())], pollers)


def numbers(pairs: list[tuple[ReadyJob, Poller]]) -> list[tuple[int, int]]:
    return [(ready.job.int, found.runner.int) for ready, found in pairs]


def served(jobs: list[ReadyJob], slots: int, shares: Shares | None = None) -> list[int]:
    return [ready.job.int for ready, _ in matched(jobs, [poller(100, slots=slots)], shares)]


def test_the_oldest_job_is_served_first() -> None:
    """One slot, two jobs."""
    assert numbers(matched([job(1), job(2)], [poller(100)])) == [(1, 100)]


def test_a_job_that_nobody_can_take_blocks_nobody() -> None:
    """The older one wants a label that is not there."""
    assert numbers(matched([job(1, "gpu"), job(2)], [poller(100)])) == [(2, 100)]


def test_jobs_spread_over_runners_before_they_pile_up() -> None:
    """The runner with the most free slots comes first, then the one that waited longest."""
    runners = [poller(100, slots=2, since=2), poller(200, since=1)]
    assert numbers(matched([job(1), job(2), job(3)], runners)) == [(1, 100), (2, 200), (3, 100)]


def test_a_retry_prefers_another_runner() -> None:
    """Unless there is none; also among several runners of the same labels."""
    retried = job(1, avoid=100)
    assert numbers(matched([retried], [poller(100, slots=5), poller(200)])) == [(1, 200)]
    assert numbers(matched([retried], [poller(100, slots=5), poller(200, "linux gpu")])) == [(1, 200)]
    assert numbers(matched([retried], [poller(100)])) == [(1, 100)]


def test_a_runner_without_a_free_slot_gets_nothing() -> None:
    """A poll is open also while all slots are taken, for orders."""
    assert matched([job(1)], [poller(100, slots=0)]) == []


def test_tenants_take_turns_and_so_do_the_keys_of_each() -> None:
    """A tenant with two repositories gets no more turns than one with one; within it the repositories take turns."""
    jobs = [*(job(n, key="a") for n in range(1, 5)), *(job(n, key="b") for n in range(5, 9)), *(job(n, tenant="u") for n in range(9, 13))]
    assert served(jobs, 8) == [1, 9, 5, 10, 2, 11, 6, 12]


def test_who_has_less_running_comes_first() -> None:
    """However early the other one's jobs came."""
    shares = Shares()
    shares.begin("t", "a")
    assert served([job(1, key="a"), job(2, key="b"), job(3, key="b")], 3, shares) == [2, 1, 3]


def test_among_equals_who_was_served_longest_ago_comes_first() -> None:
    """A turn that was taken counts also after its job is over."""
    shares = Shares()
    for key, position in (("a", 20), ("b", 10)):
        shares.begin("t", key)
        shares.served("t", key, position)
        shares.end("t", key)
    assert served([job(1, key="a"), job(2, key="b"), job(3, key="c")], 3, shares) == [3, 2, 1]


def test_the_lines_of_a_key_are_served_in_the_order_of_their_places() -> None:
    """Labels and lanes are lines of their own; among them the earliest place comes first, then its position."""
    assert served([job(3, lane="default"), job(1, "", lane="background"), job(2, "linux")], 3) == [1, 2, 3]


JOBS = st.lists(
    st.builds(
        ReadyJob,
        st.uuids(),
        st.builds(Line, st.sampled_from("tu"), st.sampled_from("ab"), st.sampled_from(["default", "background"]), LABELS),
        st.integers(0, 99),
        st.integers(0, 99).map(float),
        st.none() | st.integers(1, 4).map(lambda number: UUID(int=number)),
    ),
    max_size=14,
    unique_by=lambda each: each.job,
)
POLLERS = st.lists(
    st.builds(Poller, st.integers(1, 6).map(lambda number: UUID(int=number)), LABELS.map(frozenset), st.integers(0, 3), st.integers(0, 9)),
    max_size=6,
    unique_by=lambda each: each.runner,
)


@given(JOBS, POLLERS)
def test_every_match_is_allowed_and_none_is_left_out(jobs: list[ReadyJob], pollers: list[Poller]) -> None:
    """Labels fit, slots are not overdrawn, no job twice; and no job is left that a free slot could take."""
    pairs = matched(jobs, pollers)
    used = {found.runner: sum(1 for _, other in pairs if other.runner == found.runner) for found in pollers}
    assert all(set(ready.line.labels) <= found.labels for ready, found in pairs)
    assert all(used[found.runner] <= found.slots for found in pollers)
    assert len({ready.job for ready, _ in pairs}) == len(pairs)
    left = [ready for ready in jobs if ready not in [taken for taken, _ in pairs]]
    free = [found for found in pollers if used[found.runner] < found.slots]
    assert not any(set(ready.line.labels) <= found.labels for ready in left for found in free)


@given(JOBS, POLLERS)
def test_a_job_goes_to_the_runner_that_lost_it_only_when_no_other_fits(jobs: list[ReadyJob], pollers: list[Poller]) -> None:
    """At its turn every other runner with its labels was full."""
    free = {found.runner: found.slots for found in pollers}
    for ready, chosen in matched(jobs, pollers):
        if chosen.runner == ready.avoid:
            assert not [p for p in pollers if free[p.runner] > 0 and set(ready.line.labels) <= p.labels and p.runner != ready.avoid]
        free[chosen.runner] -= 1


@given(JOBS, st.integers(1, 14))
def test_shares_of_one_match_are_even(jobs: list[ReadyJob], slots: int) -> None:
    """When all labels fit, no key gets a second job more than another of its tenant that has one left; nor a tenant."""
    pairs = matched(jobs, [Poller(UUID(int=1), frozenset({"linux", "x64", "gpu"}), slots)])
    got: dict[tuple[str, ...], int] = defaultdict(int)
    left: dict[tuple[str, ...], int] = defaultdict(int)
    for share in [(each.line.tenant,) for each in jobs] + [(each.line.tenant, each.line.fair_key) for each in jobs]:
        left[share] += 1
    for ready, _ in pairs:
        for share in ((ready.line.tenant,), (ready.line.tenant, ready.line.fair_key)):
            got[share] += 1
            left[share] -= 1
    for share, rest in left.items():
        rivals = [other for other in left if len(other) == len(share) and other[:-1] == share[:-1]]
        if rest:
            assert all(got[other] <= got[share] + 1 for other in rivals)


def test_a_runner_takes_jobs_of_its_tenant_and_of_the_repositories_that_it_serves() -> None:
    """Whatever labels it has; a runner without such bounds takes any."""
    jobs = [job(1, tenant="a", key="x"), job(2, tenant="a", key="y"), job(3, tenant="b", key="x")]
    labels = frozenset({"linux"})
    for taker, fitting in (
        (Poller(UUID(int=1), labels, 9), [1, 2, 3]),
        (Poller(UUID(int=1), labels, 9, tenant="a"), [1, 2]),
        (Poller(UUID(int=1), labels, 9, tenant="a", repositories=frozenset({"y"})), [2]),
        (Poller(UUID(int=1), labels, 9, tenant="c"), []),
    ):
        assert sorted(taken.job.int for taken, _ in matched(jobs, [taker])) == fitting


TAKERS = st.lists(
    st.builds(
        Poller,
        st.integers(1, 6).map(lambda number: UUID(int=number)),
        LABELS.map(frozenset),
        st.integers(0, 3),
        st.integers(0, 9),
        st.sampled_from([None, None, "t", "u"]),
        st.sampled_from([None, None, frozenset("a"), frozenset("ab"), frozenset("c")]),
    ),
    max_size=6,
    unique_by=lambda each: each.runner,
)


@given(JOBS, TAKERS, st.lists(st.tuples(st.sampled_from("tu"), st.sampled_from("ab"), st.integers(0, 9), st.booleans()), max_size=8))
def test_the_order_is_that_of_looking_at_every_line(
    jobs: list[ReadyJob], pollers: list[Poller], served: list[tuple[str, str, int, bool]]
) -> None:
    """The same pairs in the same order as the reference finds, whatever runs and whoever was served when."""
    shares = Shares()
    for tenant, key, position, over in served:
        shares.begin(tenant, key)
        shares.served(tenant, key, position)
        if over:
            shares.end(tenant, key)
    queues: dict[Line, list[ReadyJob]] = defaultdict(list)
    for number, each in enumerate(jobs):
        queues[each.line].append(replace(each, position=number))
    found = match([standing(queues.items(), shares)], pollers)
    assert found == reference.match(queues.items(), pollers, shares)
