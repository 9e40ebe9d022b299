"""Reports of steps that run beside each other."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from runner import wire
from runner.report import Reporter
from runner.spool import Left, Spool

AT = datetime(2026, 3, 1, tzinfo=UTC)


class Accepting:
    """A gateway's client that accepts every batch at once, and says so to whoever waits."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.accepted = asyncio.Event()

    async def steps(self, _job: Any, message: wire.Steps) -> wire.Accepted:
        self.sent += [transition.index for transition in message.transitions]
        self.accepted.set()
        return wire.Accepted(through=len(self.sent), now=AT)


async def test_a_transition_noted_while_another_report_ends_is_sent_before_its_own_flush_returns(tmp_path: Path) -> None:
    """The sender has just finished and nobody has noticed yet: a second step must not take its end for its own."""
    client = Accepting()
    fence = wire.Fence(runner=uuid4(), attempt=1, epoch=1, lease=uuid4())
    job = uuid4()
    reporter = Reporter(client, job, fence, Spool(tmp_path, Left(job, "job", fence)))  # type: ignore[arg-type] # of the client it needs `steps`

    async def second() -> list[int]:
        await client.accepted.wait()
        reporter.add(wire.StepStart(index=1, started_at=AT))
        await reporter.flush()
        return list(client.sent)

    other = asyncio.ensure_future(second())
    await asyncio.sleep(0)  # it waits for the first batch
    reporter.add(wire.StepStart(index=0, started_at=AT))
    await reporter.flush()
    assert await other == [0, 1]
    await reporter.close()
