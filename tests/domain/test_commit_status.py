"""A commit status: the newest wish counts, and is told once, refused, or put off less and less often for a day."""

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from domain import commit_status as s
from domain import ids
from domain.envelope import Meta
from domain.refusals import REPEAT, Decision, Refusal
from tests.domain.scenario import NOW, after

REPOSITORY = ids.repository_id("default", "github", "acme/pay")
SHA = "a" * 40
STATUS = ids.commit_status_id(REPOSITORY, SHA, "ledgermill/ci (push)")
RUN = ids.run_id("default", "k")
PENDING = s.CommitStatusWanted(REPOSITORY, "acme/pay", SHA, "ledgermill/ci (push)", "pending", "Run #1 is under way", RUN, 1, 10)
SUCCESS = replace(PENDING, state="success", description="Run #1: success", after=20)


def decided(given: tuple[Any, ...], command: Any, at: datetime = NOW) -> Decision | Refusal:
    """What a status with this history answers at this time; all of it happened at NOW."""
    state = None
    for event in given:
        state = s.evolve(state, event, Meta(NOW, "default", "system:statuses"))
    return s.decide(state, command, Meta(at, "default", "system:statuses"))


def deferred(reason: str = "away", **changes: Any) -> s.DeferCommitStatus:
    """The forge could not be told of PENDING."""
    return replace(s.DeferCommitStatus(STATUS, PENDING.after, reason), **changes)


def test_the_newest_wish_takes_the_place_of_older_ones_and_an_older_one_changes_nothing() -> None:
    """However often and in whatever order the run's events are read."""
    assert decided((), s.WantCommitStatus(STATUS, PENDING)) == Decision((PENDING,))
    assert decided((PENDING,), s.WantCommitStatus(STATUS, SUCCESS)) == Decision((SUCCESS,))
    for wish in (PENDING, SUCCESS):
        assert decided((PENDING, SUCCESS), s.WantCommitStatus(STATUS, wish)) is REPEAT


def test_what_is_told_is_told_once() -> None:
    """A repeat changes nothing, nor does news of a status that was replaced meanwhile."""
    told = s.NoteCommitStatusTold(STATUS, PENDING.after)
    assert decided((PENDING,), told) == Decision((s.CommitStatusTold(PENDING.after, 1),))
    assert decided((PENDING, s.CommitStatusTold(PENDING.after, 1)), told) is REPEAT
    for late in (told, deferred()):
        assert decided((PENDING, SUCCESS), late) is REPEAT


def test_a_forge_that_is_away_is_asked_less_and_less_often_for_a_day() -> None:
    """The pauses double up to ten minutes; what the forge asks for counts where it is more; after a day it is given up."""
    given: tuple[Any, ...] = (PENDING,)
    pauses = []
    for attempts in range(1, 13):
        decision = decided(given, deferred())
        assert isinstance(decision, Decision)
        (event,) = decision.events
        assert isinstance(event, s.CommitStatusDeferred)
        assert event.attempts == attempts
        pauses.append((event.retry_at - NOW).total_seconds())
        given = (*given, event)
    assert pauses[:9] == sorted(pauses[:9])
    assert (2 <= pauses[0] <= 2.4, 600 <= pauses[-1] <= 720) == (True, True)
    assert decided((PENDING,), deferred(pause_seconds=90)) == Decision((s.CommitStatusDeferred(1, "away", after(90)),))
    assert decided(given, deferred(), NOW + timedelta(days=1)) == Decision((s.CommitStatusFailed(13, "away"),))


def test_what_the_forge_refuses_is_not_tried_again() -> None:
    """Until another status is wanted."""
    refused = s.CommitStatusFailed(1, "no such commit")
    assert decided((PENDING,), deferred("no such commit", final=True)) == Decision((refused,))
    assert decided((PENDING, refused), deferred()) is REPEAT
    assert decided((PENDING, refused), s.WantCommitStatus(STATUS, SUCCESS)) == Decision((SUCCESS,))


def test_a_status_that_nobody_wanted_is_not_there() -> None:
    """A refusal."""
    answer = decided((), s.NoteCommitStatusTold(STATUS, 1))
    assert isinstance(answer, Refusal)
    assert answer.code == "commit_status_not_found"
