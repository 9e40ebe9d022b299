"""Log lines on their way: batches, back-pressure, lines that a gateway lost."""

import asyncio
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from runner_test_gateway import job

from runner import wire
from runner.clock import StoreClock
from runner.logs import BATCH_LINES_MAX, KEPT_BYTES_MAX, LINE_OVERHEAD_BYTES, LogSpool
from runner.problems import Refused
from runner.spool import Left, Spool

LEFT = Left(UUID(int=1), "build", wire.Fence(runner=UUID(int=2), attempt=1, epoch=1, lease=UUID(int=3)))


class Receiver:
    """A gateway's log side: takes lines in order, stores them when told, forgets what it did not store when it restarts."""

    def __init__(self) -> None:
        self.lines: list[wire.Line] = []
        self.stored = 0
        self.batches: list[int] = []
        self.under_way = 0
        self.failing = 0
        self.release = asyncio.Event()
        self.release.set()

    async def send(self, lines: tuple[wire.Line, ...]) -> wire.LogsAccepted:
        """One batch; only one may be under way."""
        assert self.under_way == 0
        self.under_way += 1
        try:
            await self.release.wait()
            if self.failing:
                self.failing -= 1
                raise Refused("away")
            assert lines[0].line <= len(self.lines) + 1
            self.lines += [line for line in lines if line.line > len(self.lines)]
            self.batches.append(len(lines))
            return wire.LogsAccepted(received_through=len(self.lines), stored_through=self.stored)
        finally:
            self.under_way -= 1

    def restart(self) -> None:
        """Lose what is not stored."""
        del self.lines[self.stored :]


@pytest.fixture
def receiver() -> Receiver:
    """The other side."""
    return Receiver()


@pytest.fixture
def disk(tmp_path: Path) -> Spool:
    """Where lines go while the receiver is away."""
    return Spool(tmp_path, LEFT)


async def test_a_flood_grows_the_batches_and_not_their_number(receiver: Receiver, disk: Spool) -> None:
    """Lines that wait while one batch is under way leave together, up to a bound."""
    spool = LogSpool(receiver.send, StoreClock(), disk)
    task = asyncio.ensure_future(spool.run())
    for number in range(5000):
        spool.append(0, "stdout", str(number))
    await spool.flush()
    task.cancel()
    assert [line.text for line in receiver.lines] == [str(number) for number in range(5000)]
    assert max(receiver.batches) <= BATCH_LINES_MAX
    assert len(receiver.batches) < 10


async def test_memory_is_bounded_and_room_comes_back(receiver: Receiver, disk: Spool) -> None:
    """Past the bound the spool says that it is full; when the lines are stored the readers are woken."""
    receiver.release.clear()
    spool = LogSpool(receiver.send, StoreClock(), disk)
    task = asyncio.ensure_future(spool.run())
    woken = asyncio.Event()
    while not spool.full:
        spool.append(0, "stdout", "x" * 10_000)
    assert spool.kept_bytes < KEPT_BYTES_MAX + 20_000
    spool.on_room.append(woken.set)
    receiver.stored = spool.last_line
    receiver.release.set()
    await asyncio.wait_for(woken.wait(), 10)
    await spool.flush()
    assert not spool.full
    assert not spool.kept
    task.cancel()


async def test_lines_that_are_received_and_not_stored_are_kept_and_sent_again(receiver: Receiver, disk: Spool) -> None:
    """A gateway that restarts asks for them by its answer to the next batch."""
    spool = LogSpool(receiver.send, StoreClock(), disk)
    task = asyncio.ensure_future(spool.run())
    for number in range(10):
        spool.append(0, "stdout", str(number))
    await spool.flush()
    assert len(spool.kept) == 10
    receiver.stored = 4
    receiver.restart()
    spool.send_again()
    await spool.flush()
    assert [line.line for line in receiver.lines] == list(range(1, 11))
    task.cancel()


async def test_a_gateway_that_is_away_loses_nothing(receiver: Receiver, disk: Spool) -> None:
    """The same batch is sent until it is taken."""
    receiver.failing = 3
    spool = LogSpool(receiver.send, StoreClock(), disk)
    task = asyncio.ensure_future(spool.run())
    spool.append(0, "stdout", "one")
    await spool.flush()
    assert [line.text for line in receiver.lines] == ["one"]
    task.cancel()


async def test_a_job_whose_log_the_gateway_lost_sends_it_again_before_it_ends(bench: Any) -> None:
    """The completion is refused with logs_missing, twice; each time every kept line comes again."""
    bench.gateway.store_logs = False
    message = job("seq 1 500")

    def forget(path: str) -> None:
        if path.endswith("/complete") and len(forgotten) < 2:
            forgotten.append(path)
            del bench.gateway.lines[message.job][100:]

    forgotten: list[str] = []
    bench.gateway.refuse = forget
    report = await bench.run(message)
    assert report.conclusion == "success"
    assert len(forgotten) == 2
    assert bench.gateway.text(message.job, "stdout") == "\n".join(map(str, range(1, 501)))


async def test_a_gateway_that_takes_no_logs_makes_the_job_wait(bench: Any) -> None:
    """Back-pressure reaches the program: it stands still on a full pipe while heartbeats go on, and no line is lost or out of order."""
    bench.gateway.hold_logs = asyncio.Event()
    bench.gateway.heartbeat_seconds = 0.2
    message = job("seq 200000; echo done")
    async with bench.agent() as agent:
        await bench.gateway.put(message)
        await bench.gateway.until(lambda: message.job in bench.gateway.started)
        running = agent.jobs[message.job]
        give_up_at = asyncio.get_running_loop().time() + 20
        while not running.spool.full:
            assert asyncio.get_running_loop().time() < give_up_at
            await asyncio.sleep(0.01)
        held = running.spool.last_line
        assert running.spool.kept_bytes < KEPT_BYTES_MAX + 20_000 * LINE_OVERHEAD_BYTES
        beats = len(bench.gateway.renewed[message.job])
        await bench.gateway.until(lambda: len(bench.gateway.renewed[message.job]) >= beats + 5)
        assert running.spool.last_line == held < 200_000
        bench.gateway.hold_logs.set()
        report = await bench.gateway.ended(message.job, 60)
    assert report.conclusion == "success"
    printed = [line.text for line in bench.gateway.lines[message.job] if line.stream == "stdout"]
    assert printed == [*map(str, range(1, 200_001)), "done"]


async def test_a_line_of_a_hundred_megabytes(bench: Any, tmp_path: Path) -> None:
    """It comes in pieces, in order, with nothing lost at their ends, and the runner holds little of it at a time."""
    text = "0123456789 \u00fc\u20ac\U0001f600 "  # characters of one to four bytes, so that pieces end inside of them
    count = 100_000_000 // len(text.encode())
    program = tmp_path / "program.py"
    program.write_text(f"import sys\nfor _ in range({count} // 1000): sys.stdout.buffer.write({text!a}.encode() * 1000)\n")
    message = job(f"'{sys.executable}' '{program}'")
    report = await bench.run(message, 100)
    assert report.conclusion == "success"
    pieces = [line.text for line in bench.gateway.lines[message.job] if line.stream == "stdout"]
    assert max(map(len, pieces)) <= 32 * 1024
    whole = "".join(pieces) == text * (count // 1000 * 1000)
    assert whole  # by name: the difference of two such texts would be shown in full


async def test_bytes_that_are_no_text_and_lines_without_an_end(bench: Any) -> None:
    """Invalid UTF-8 becomes U+FFFD, escape sequences stay, a last line without a newline counts, a line of a megabyte comes in pieces."""
    message = job("printf 'a\\377b\\n\\033[1mbold\\033[0m\\nno end'", "head -c 1000000 /dev/zero | tr '\\0' y; echo")
    await bench.run(message)
    first = [line.text for line in bench.gateway.lines[message.job] if line.step == 0 and line.stream == "stdout"]
    second = [line.text for line in bench.gateway.lines[message.job] if line.step == 1 and line.stream == "stdout"]
    assert first == ["a\ufffdb", "\x1b[1mbold\x1b[0m", "no end"]
    assert "".join(second) == "y" * 1_000_000
    assert max(map(len, second)) <= 32 * 1024
