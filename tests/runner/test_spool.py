"""Lines while the control plane comes and goes: none lost, none reordered, memory and disk bounded."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import logs, wire
from runner import spool as disk_spool
from runner.clock import StoreClock
from runner.logs import KEPT_BYTES_MAX, LogSpool
from runner.problems import Refused
from runner.spool import Backlog, Left, Spool, leftovers

LEFT = Left(UUID(int=1), "build", wire.Fence(runner=UUID(int=2), attempt=1, epoch=1, lease=UUID(int=3)))


class Server:
    """Takes lines in order, stores some of them, is away, or restarts without what it did not store."""

    def __init__(self) -> None:
        self.lines: list[wire.Line] = []
        self.stored = 0
        self.away = False

    async def send(self, lines: tuple[wire.Line, ...]) -> wire.LogsAccepted:
        """One batch."""
        if self.away:
            raise Refused("away")
        if lines and lines[0].line <= len(self.lines) + 1:
            self.lines += [line for line in lines if line.line > len(self.lines)]
        return wire.LogsAccepted(received_through=len(self.lines), stored_through=self.stored)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses: what matters here is order."""
    monkeypatch.setattr(logs, "RETRY_SECONDS", (0.001,))
    monkeypatch.setattr(logs, "ASK_SECONDS", 0.001)
    monkeypatch.setattr(logs, "BATCH_SECONDS", 0.001)


def numbers(server: Server) -> list[str]:
    """What arrived."""
    return [line.text for line in server.lines]


def test_lines_come_back_as_they_went(tmp_path: Path) -> None:
    """Text of any kind, over several reads, by another process too."""
    backlog = Backlog(tmp_path / "lines")
    clock = StoreClock()
    texts = ['"quoted" \\ \n\r\t\x1b[31m\u2028 ünï', "", "x" * 40_000] * 40
    for number, text in enumerate(texts, 1):
        backlog.append(wire.Line(line=number, step=0, at=clock.now(), stream="stdout", text=text))
    backlog.close()
    again = Backlog(tmp_path / "lines")
    found: list[wire.Line] = []
    while again.unread:
        found += again.read()
    assert again.last == len(texts)
    assert [line.text for line in found] == texts
    again.remove()
    assert list(tmp_path.iterdir()) == []


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 40)),
        st.tuples(st.sampled_from(["leave", "return", "restart", "store", "turn"]), st.integers(0, 3)),
    ),
    max_size=30,
)


@settings(max_examples=40)
@given(actions=ACTIONS)
def test_whatever_happens_to_the_server_every_line_arrives_once(actions: list[tuple[str, int]], tmp_path_factory: Any) -> None:
    """Any order of lines, outages, restarts that forget, and storing."""
    asyncio.run(_history(actions, tmp_path_factory.mktemp("spool")))


async def _history(actions: list[tuple[str, int]], work: Path) -> None:
    server, disk = Server(), Spool(work, LEFT)
    spool = LogSpool(server.send, StoreClock(), disk)
    task = asyncio.ensure_future(spool.run())
    said = 0
    for action, count in actions:
        match action:
            case "append":
                for _ in range(count):
                    said += 1
                    spool.append(0, "stdout", str(said))
            case "leave":
                server.away = True
            case "return":
                server.away = False
            case "restart":
                del server.lines[server.stored :]
            case "store":
                server.stored = max(server.stored, len(server.lines) - count)
            case "turn":
                await asyncio.sleep(0.002 * count)  # lets the sender, which has timers of its own, come round
    server.away = False
    async with asyncio.timeout(10):
        while numbers(server) != [str(number) for number in range(1, said + 1)]:
            spool.send_again() if spool.last_line > len(server.lines) and spool.sent_through >= spool.last_line else None
            await asyncio.sleep(0.002)
    task.cancel()
    spool.close()
    assert spool.stopped is None


async def test_an_outage_costs_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines go to disk up to its bound; then the job waits; back again it is told when there is room."""
    monkeypatch.setattr(disk_spool, "LINES_BYTES_MAX", 2_000_000)
    server, disk = Server(), Spool(tmp_path, LEFT)
    spool = LogSpool(server.send, StoreClock(), disk)
    task = asyncio.ensure_future(spool.run())
    server.away = True
    spool.append(0, "stdout", "first")
    while not disk.open:
        await asyncio.sleep(0.001)
    while not spool.full:
        spool.append(0, "stdout", "x" * 10_000)
    assert spool.kept_bytes < 1000
    said = spool.last_line
    assert 150 < said < 250
    woken = asyncio.Event()
    spool.on_room.append(woken.set)
    server.away = False
    await spool.flush()
    server.stored = len(server.lines)
    await asyncio.wait_for(woken.wait(), 10)
    assert len(server.lines) == said
    assert not (disk.path / "lines").exists()
    task.cancel()


async def test_a_full_spool_asks_what_has_been_stored(tmp_path: Path) -> None:
    """The gateway had everything but no store for it; nobody would ever send again, and the job would wait for ever."""
    server = Server()
    spool = LogSpool(server.send, StoreClock(), Spool(tmp_path, LEFT))
    task = asyncio.ensure_future(spool.run())
    while not spool.full:
        spool.append(0, "stdout", "x" * 100_000)
    await spool.flush()
    assert spool.kept_bytes >= KEPT_BYTES_MAX
    woken = asyncio.Event()
    spool.on_room.append(woken.set)
    server.stored = len(server.lines)
    await asyncio.wait_for(woken.wait(), 10)
    task.cancel()


async def test_a_full_disk_makes_the_job_wait_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk does not take stays in memory, and is sent when the server is back, whether there is space or not."""
    server, disk = Server(), Spool(tmp_path, LEFT)
    spool = LogSpool(server.send, StoreClock(), disk)
    task = asyncio.ensure_future(spool.run())
    server.away = True
    spool.append(0, "stdout", "0")
    while not disk.open:
        await asyncio.sleep(0.001)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    said = 0
    while not spool.full:
        said += 1
        spool.append(0, "stdout", str(said))
    server.away = False
    await asyncio.wait_for(spool.flush(), 10)
    assert numbers(server) == [str(number) for number in range(said + 1)]
    task.cancel()


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    """Lease, transitions and outcome, as far as they are whole."""
    spool = Spool(tmp_path, LEFT)
    spool.begin()
    fence = {"runner": UUID(int=2), "attempt": 1, "epoch": 1, "lease": UUID(int=3)}
    steps = [wire.Steps(seq=seq, transitions=(wire.StepStart(index=0, started_at=StoreClock().now()),), **fence) for seq in (1, 2)]  # type: ignore[arg-type] # a fence
    for message in steps:
        spool.add_steps(message)
    with (spool.path / "steps").open("ab") as file:
        file.write(b'{"cut')
    complete = wire.Complete(conclusion="success", result="r", **fence)  # type: ignore[arg-type] # a fence
    spool.set_outcome(complete)
    (found,) = leftovers(tmp_path)
    assert (found.left, found.steps(), found.outcome()) == (LEFT, steps, complete)
    found.remove()
    assert leftovers(tmp_path) == []
