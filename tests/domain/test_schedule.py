"""When entries come due, what of it fires, and that no time is fired twice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ids
from domain import schedule as s
from domain.cron_times import next_time, times
from domain.envelope import Meta
from domain.refusals import REPEAT, Decision, Refusal
from domain.workflow import cron

REPOSITORY = ids.repository_id("default", "github", "acme/pay")
SCHEDULE = ids.schedule_id(REPOSITORY)
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOURLY = s.Entry("ci.yml", "0 * * * *")
QUARTERLY = s.Entry("ci.yml", "*/15 * * * *")
BERLIN = "Europe/Berlin"


def instant(text: str) -> datetime:
    """`2026-03-29 01:00` as an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first(cron_line: str, timezone: str, after: str, count: int) -> list[str]:
    """The next times of a line, in UTC."""
    found = times(cron_line, timezone, instant(after))
    return [f"{at:%m-%d %H:%M}" for at, _ in zip(found, range(count), strict=False)]


def state_of(*events: Any, at: datetime = NOON) -> s.Schedule | None:
    """The state after events that all happened at `at`."""
    state = None
    for event in events:
        state = s.evolve(state, event, Meta(at, "default", "schedule"))
    return state


def known(*entries: s.Entry, until: datetime = NOON) -> s.Schedule:
    """A schedule with these entries, all seen to until then."""
    state = state_of(s.ScheduleReadRequested(REPOSITORY), at=until)
    done = s.decide(state, s.AdvanceSchedule(SCHEDULE, 1, until, "a" * 40, entries))
    assert isinstance(done, Decision)
    return s.evolve(state, done.events[0], Meta(until, "default", "schedule"))


@pytest.mark.parametrize(
    ("line", "timezone", "after", "expected"),
    [
        ("0 6 * * 1", "UTC", "2026-03-02 06:00", ["03-09 06:00", "03-16 06:00"]),
        ("0 6 * * 1", BERLIN, "2026-03-20 06:00", ["03-23 05:00", "03-30 04:00"]),
        ("30 4 1,15 * 5", "UTC", "2026-03-02 06:00", ["03-06 04:30", "03-13 04:30", "03-15 04:30"]),
        ("*/20 0 * jan-mar MON", "UTC", "2026-03-29 06:00", ["03-30 00:00", "03-30 00:20", "03-30 00:40"]),
        ("0 0 31 2 *", "UTC", "2026-03-02 06:00", []),
        ("0 0 29 2 *", "UTC", "2026-03-02 06:00", ["02-29 00:00"]),
    ],
)
def test_an_entry_comes_due_by_the_clock_of_its_zone(line: str, timezone: str, after: str, expected: list[str]) -> None:
    """Five fields of cron; day of month and day of week are either-or where both name days."""
    assert first(line, timezone, after, max(len(expected), 1)) == expected


@pytest.mark.parametrize(
    ("line", "timezone", "after", "expected"),
    [
        # 2026-03-29: 02:00 becomes 03:00 in Berlin, which is 01:00 in UTC
        ("30 2 * * *", BERLIN, "2026-03-28 12:00", ["03-29 01:00", "03-30 00:30"]),
        ("15,45 2 * * *", BERLIN, "2026-03-28 12:00", ["03-29 01:00", "03-30 00:15"]),
        ("30 * * * *", BERLIN, "2026-03-29 00:00", ["03-29 00:30", "03-29 01:30"]),
        ("0 */2 * * *", BERLIN, "2026-03-28 22:30", ["03-28 23:00", "03-29 02:00"]),
        # 2026-10-25: 03:00 becomes 02:00 in Berlin, which is 01:00 in UTC
        ("30 2 * * *", BERLIN, "2026-10-24 12:00", ["10-25 00:30", "10-26 01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25 01:10", ["10-26 01:30"]),
        ("30 * * * *", BERLIN, "2026-10-25 00:00", ["10-25 00:30", "10-25 01:30", "10-25 02:30"]),
        ("0 */2 * * *", BERLIN, "2026-10-24 22:30", ["10-25 00:00", "10-25 01:00", "10-25 03:00"]),
        # half an hour, at Lord Howe
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00", ["10-03 15:30", "10-04 15:15"]),
    ],
)
def test_a_change_of_the_clock_neither_loses_nor_doubles_a_named_time(line: str, timezone: str, after: str, expected: list[str]) -> None:
    """What names its hour comes due once: right after the gap, or at the first of two; what has a star goes by the clock."""
    assert first(line, timezone, after, len(expected)) == expected


FIELD = st.sampled_from(["*", "*/7", "0", "1", "2", "5", "1,3", "2-4", "1-5/2", "3/2"])
LINE = st.tuples(FIELD, FIELD, FIELD.filter(lambda each: each != "0"), FIELD.filter(lambda each: each != "0"), FIELD).map(" ".join)
MOMENT = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
ZONE = st.sampled_from(["UTC", BERLIN, "America/Havana", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago"])


@given(LINE, ZONE, MOMENT)
def test_times_increase_wherever_one_begins(line: str, timezone: str, after: datetime) -> None:
    """What GitHub takes comes due or never; each time is later than the one before, and on a whole minute."""
    assert cron.fault(line) is None
    found = [at for at, _ in zip(times(line, timezone, after), range(5), strict=False)]
    assert found == sorted(set(found))
    assert all(at > after and at.second == at.microsecond == 0 for at in found)
    if found:
        assert next_time(line, timezone, after) == found[0]
        assert next_time(line, timezone, found[0] - timedelta(microseconds=1)) == found[0]


def test_the_latest_time_of_the_last_hour_stands_for_those_before_it() -> None:
    """On time it fires for its own time; after a pause once; after more than an hour not at all, and that is told."""
    state = known(QUARTERLY, HOURLY)
    at = NOON + timedelta(minutes=15)
    assert s.due(state, at - timedelta(seconds=1)) == ([], [])
    assert s.due(state, at) == ([(QUARTERLY, at)], [])
    assert s.due(state, NOON + timedelta(minutes=62)) == (
        [(QUARTERLY, NOON + timedelta(minutes=60)), (HOURLY, NOON + timedelta(minutes=60))],
        [],
    )
    daily = known(s.Entry("ci.yml", "0 13 * * *"))
    assert s.due(daily, NOON + timedelta(hours=2, seconds=-1))[0] == [(daily.entries[0], NOON + timedelta(hours=1))]
    firing, late = s.due(daily, NOON + timedelta(hours=30, minutes=30))
    assert firing == []
    assert [(each.entry, each.at, each.filter) for each in late] == [(daily.entries[0], NOON + timedelta(hours=1), "late")]


def test_what_was_looked_at_in_an_older_version_advances_nothing() -> None:
    """Another process was first, or the files are to be read again; without a stream it is refused."""
    state = known(HOURLY)
    command = s.AdvanceSchedule(SCHEDULE, 1, NOON + timedelta(hours=1), "a" * 40, ())
    assert s.decide(state, command) is REPEAT
    refused = s.decide(None, command)
    assert isinstance(refused, Refusal)
    assert refused.code == "schedule_not_found"


def test_a_request_is_due_at_once_and_an_entry_counts_from_when_it_is_read() -> None:
    """The row is due when it is asked for; what was read fires for no time before."""
    state = known(HOURLY)
    assert (state.due_at, state.asked) == (NOON + timedelta(hours=1), False)
    later = NOON + timedelta(minutes=20)
    asked = s.evolve(state, s.ScheduleReadRequested(REPOSITORY), Meta(later, "default", "admin"))
    assert (asked.due_at, asked.asked) == (later, True)
    assert s.due(asked, later) == ([], [])
    done = s.decide(asked, s.AdvanceSchedule(SCHEDULE, asked.version, later, "b" * 40, (HOURLY, QUARTERLY)))
    assert isinstance(done, Decision)
    after = s.evolve(asked, done.events[0], Meta(later, "default", "schedule"))
    assert after.due_at == NOON + timedelta(minutes=30)
    assert s.due(after, later + timedelta(minutes=1)) == ([], [])


@given(st.lists(st.integers(1, 3 * 3600), min_size=1, max_size=40))
def test_however_the_clock_steps_each_time_fires_at_most_once_and_none_within_an_hour_is_lost(steps: list[int]) -> None:
    """Looked at in any rhythm: times rise, and each entry's newest time of the last hour has always been fired."""
    entries = (QUARTERLY, HOURLY, s.Entry("b.yml", "30 13 * * *", BERLIN))
    state, now, fired = known(*entries), NOON, []
    for seconds in steps:
        now += timedelta(seconds=seconds)
        firing, passed = s.due(state, now)
        fired += firing
        event = s.ScheduleAdvanced(now, "a" * 40, entries, s.next_of(entries, now), (), tuple(passed))
        state = s.evolve(state, event, Meta(now, "default", "schedule"))
        for entry in entries:
            recent = [at for at in iterated(entry, max(NOON, now - s.LATE_MAX)) if at <= now]
            assert not recent or (entry, recent[-1]) in fired
    assert len(set(fired)) == len(fired)


def iterated(entry: s.Entry, after: datetime) -> list[datetime]:
    """The times of the hour after an instant."""
    return [at for at, _ in zip(times(entry.cron, entry.timezone, after), range(6), strict=False)]


def test_an_entry_written_twice_counts_once_and_a_bare_schedule_not() -> None:
    """`on.schedule` as the reader gives it."""
    on = {"schedule": [{"cron": "0 * * * *"}, {"cron": "0 * * * *", "timezone": "UTC"}, {"cron": "0 * * * *", "timezone": BERLIN}]}
    assert s.entries_in("ci.yml", on) == (HOURLY, s.Entry("ci.yml", "0 * * * *", BERLIN))
    assert s.entries_in("ci.yml", {"schedule": {}}) == s.entries_in("ci.yml", {"push": {}}) == ()
