"""The store's time as this runner sees it: its own monotonic clock plus an offset learned from answers.

A wall clock that jumps changes nothing here, because it is never read. Thread-safe by replacing one tuple at a time.
"""

import time
from datetime import UTC, datetime, timedelta

TRUST_SECONDS = 60.0
"""A sample this old gives way to a newer one even when that was measured less sharply: clocks drift apart."""


class StoreClock:
    """Give it every answer that holds `now`; ask it for the time."""

    def __init__(self) -> None:
        self.sample = (time.monotonic(), time.monotonic(), datetime.fromtimestamp(0, UTC))
        self.aligned = False
        self.latest = datetime.fromtimestamp(0, UTC)

    def align(self, sent: float, received: float, now: datetime) -> None:
        """The server read `now` at some moment between `sent` and `received` (monotonic seconds)."""
        old_sent, old_received, _ = self.sample
        sharper = received - sent <= old_received - old_sent
        if not self.aligned or sharper or received - old_received > TRUST_SECONDS:
            self.sample = (sent, received, now)
            self.aligned = True

    def now(self) -> datetime:
        """The store's time, in UTC, wrong by at most half the round trip of the best sample.

        It never goes back: where a sharper sample says that it is earlier, time stands still until it has caught up, since
        no step ends before it began.
        """
        sent, received, now = self.sample
        self.latest = max(self.latest, now + timedelta(seconds=time.monotonic() - (sent + received) / 2))
        return self.latest

    def earliest(self, instant: datetime) -> float:
        """The earliest moment of the monotonic clock at which the store's clock can have shown `instant`."""
        sent, _, now = self.sample
        return sent + (instant - now).total_seconds()
