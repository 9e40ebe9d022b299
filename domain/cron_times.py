"""When a cron line comes due, in its time zone. The only module that knows cronsim, whose rules are those of Debian's cron.

A line whose minute and hour both name values keeps to the wall clock: what a change to summer time leaves out comes due
right after the gap, and what a change back repeats comes due the first time only. A line with `*` in one of them goes by
the clock as it stands: an hour that is left out is left out, one that comes twice counts twice.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


def times(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """The instants (UTC) later than `after` at which the line comes due, each later than the one before; none for 31 February.

    cron: one that domain.workflow.cron accepts; timezone: a name of the IANA database.
    """
    try:
        found = CronSim(cron, after.astimezone(UTC if timezone == "UTC" else ZoneInfo(timezone)))
    except CronSimError:  # a day that none of its months has
        return
    for at in found:
        instant = at.astimezone(UTC)
        if instant > after:  # begun within an hour that comes twice, it names times of the first one
            yield instant
            after = instant


def next_time(cron: str, timezone: str, after: datetime) -> datetime | None:
    """The first of `times`."""
    return next(times(cron, timezone, after), None)
