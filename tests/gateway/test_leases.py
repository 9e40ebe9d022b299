"""Which leases a gateway believes in, where it heard of their ends before it knew of them."""

from uuid import UUID

from domain.envelope import Meta, Recorded
from domain.job import events as e
from gateway.leases import HeldLease, Leases
from tests.samples import AT

RUNNER, JOB = UUID(int=1), UUID(int=2)
OF_BEFORE = HeldLease(JOB, RUNNER, 1, 1, 0.0, 0)


def recorded(position: int, data: e.JobEvent) -> Recorded:
    """One event of the job."""
    return Recorded(position, JOB, position, type(data).__name__, 1, Meta(AT, "default", "someone"), data)


LOST = e.AttemptLost(1, 1, RUNNER, "lease_expired", 1)


def leases() -> Leases:
    """None yet."""
    return Leases(lambda _runner: None, lambda: 0.0)


def test_a_lease_that_ended_before_it_was_restored_is_not_held() -> None:
    """The view was read before the end reached it, and the feed has passed the end already: nobody would say it again."""
    known = leases()
    known.on_events([recorded(7, LOST)])
    known.settled(9)
    known.restore([OF_BEFORE])
    assert known.of(RUNNER) == []


def test_a_restored_lease_ends_like_any_other() -> None:
    """And ends are forgotten again once the feed has passed them."""
    known = leases()
    known.restore([OF_BEFORE])
    assert known.of(RUNNER) == [OF_BEFORE]
    known.on_events([recorded(7, LOST)])
    assert known.of(RUNNER) == []
    known.settled(9)
    again = e.JobAcquired(2, 2, RUNNER, "r", UUID(int=3), AT, AT)
    known.on_events([recorded(12, again)])
    assert [lease.epoch for lease in known.of(RUNNER)] == [2]
