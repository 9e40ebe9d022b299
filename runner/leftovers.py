"""Delivers what an earlier life of this runner could not: the lines, transitions and outcome that its spool holds.

An attempt whose outcome is there is told to its end. One that was cut short is only told as far as it came; afterwards
the runner's poll does not name it any more, and the server calls it lost at once.
"""

import asyncio
from contextlib import suppress

from runner import wire
from runner.client import Client
from runner.clock import StoreClock
from runner.lease_keeper import Gateway, LeaseKeeper, Terms, deadline
from runner.logs import LogSpool
from runner.problems import LeaseLost, Rejected
from runner.report import Reporter, until_answered
from runner.spool import Spool


async def deliver(left: Spool, client: Client, gateway: Gateway, clock: StoreClock, terms: Terms) -> None:
    """Tell the server what is in the folder, then remove it. Cancelled, it stays for the next life."""
    loop = asyncio.get_running_loop()
    reporter = Reporter(client, left.left.job, left.left.fence, left)
    lines = LogSpool(reporter.logs, clock, left)
    work = asyncio.ensure_future(tell(left, reporter, lines))
    lost = asyncio.Event()

    def end(_reason: str) -> None:
        loop.call_soon_threadsafe(lost.set)
        loop.call_soon_threadsafe(work.cancel)

    keeper = LeaseKeeper(
        gateway=gateway,
        path=f"/jobs/{left.left.job}/renew",
        message=wire.Renew(**reporter.fence),
        until=deadline(loop.time(), terms.lease),
        terms=terms,
        on_renewed=lambda _until: None,
        on_orders=lambda _orders: None,
        on_lost=end,
    )
    keeper.start()
    try:
        with suppress(LeaseLost, Rejected):
            await work
    except asyncio.CancelledError:
        work.cancel()
        if not lost.is_set():
            raise
    finally:
        keeper.stop()
        lines.close()
    left.remove()


async def tell(left: Spool, reporter: Reporter, lines: LogSpool) -> None:
    """All of it, in order. Raises LeaseLost, Rejected."""
    backlog = left.backlog()
    sender = asyncio.ensure_future(lines.run())
    try:
        if backlog is not None and backlog.unread:
            lines.resume(backlog)
            await lines.flush()
        for message in left.steps():
            await until_answered(lambda: reporter.client.steps(reporter.job, message))  # noqa: B023 - awaited within this turn
        outcome = left.outcome()
        if outcome is not None:
            await reporter.complete(outcome)
    finally:
        sender.cancel()
