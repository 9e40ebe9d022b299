"""A control plane that is away: refused is not silent, what cannot be told waits on disk, and is told once, in order."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from runner_test_gateway import job, step

from runner import wire

LEASE_SECONDS = 1.2
NUMBERS = "for i in $(seq {first} {last}); do echo $i; sleep 0.03; done"


@pytest.fixture
def short(bench: Any) -> Any:
    """Leases that end soon."""
    bench.gateway.lease_seconds = LEASE_SECONDS
    bench.gateway.heartbeat_seconds = 0.1
    return bench


def refusing(path: str) -> int:
    """The control plane is away, and says so."""
    return 503


def spooled(bench: Any, name: str) -> Path | None:
    """A file of the only spool, where there is one."""
    return next(bench.work.glob(f"spool/*/{name}"), None)


async def until(condition: Any, seconds: float = 10) -> None:
    """Wait for a change of the runner's folder, which tells nobody."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)


async def printed(bench: Any, message: Any, text: str) -> None:
    """Wait until the gateway has this line."""
    await bench.gateway.until(lambda: text in bench.gateway.text(message.job, "stdout").split("\n"))


async def test_a_job_outlives_its_lease_while_the_control_plane_refuses(short: Any) -> None:
    """Steps end and begin, lines wait on disk; when the server is back it gets everything once, in order, and the disk is clean."""
    message = job(NUMBERS.format(first=1, last=50), NUMBERS.format(first=51, last=100), step(2, NUMBERS.format(first=101, last=150)))
    async with short.agent():
        await short.gateway.put(message)
        await printed(short, message, "3")
        short.gateway.refuse = refusing
        left_at = time.monotonic()
        await until(lambda: spooled(short, "outcome"))
        assert time.monotonic() - left_at > 1.5 * LEASE_SECONDS
        assert len(short.gateway.lines[message.job]) < 60
        short.gateway.refuse = lambda _path: None
        report = await short.gateway.ended(message.job)
        await until(lambda: not list(short.work.glob("spool/*")))
    assert report.conclusion == "success", report
    assert short.gateway.text(message.job, "stdout") == "\n".join(map(str, range(1, 151)))
    assert [line.line for line in short.gateway.lines[message.job]] == list(range(1, len(short.gateway.lines[message.job]) + 1))
    assert [(one.index, isinstance(one, wire.StepEnd)) for one in short.gateway.transitions[message.job]] == [
        (index, end) for index in range(3) for end in (False, True)
    ]


async def test_a_runner_gives_up_when_the_control_plane_is_away_for_too_long(short: Any) -> None:
    """`offline_seconds` after the end of its lease the tree is dead, and nothing is reported afterwards."""
    short.gateway.offline_seconds = 2
    message = job("echo ready; sleep 300")
    async with short.agent() as agent:
        await short.gateway.put(message)
        await printed(short, message, "ready")
        short.gateway.refuse = lambda path: 503 if path.startswith("jobs/") else None
        left_at = time.monotonic()
        await until(lambda: not agent.tasks)
        assert 2 < time.monotonic() - left_at < 10  # it dies within three seconds; cleaning up takes what the machine gives
        short.gateway.refuse = lambda _path: None
        await short.gateway.until(lambda: short.gateway.polls[-1].free_slots == 1)
        assert not list(short.work.glob("spool/*"))
    assert message.job not in short.gateway.completed


async def test_silence_after_a_refusal_ends_the_job_within_a_lease(short: Any) -> None:
    """A refusal is worth one lease: who is cut off after it cannot know that the server has come back."""
    message = job("echo ready; sleep 300")
    async with short.agent() as agent:
        await short.gateway.put(message)
        await printed(short, message, "ready")
        short.gateway.refuse = lambda path: 503 if path.startswith("jobs/") else None
        await asyncio.sleep(2 * LEASE_SECONDS)  # the job outlives its lease by refusals
        assert agent.tasks
        silent_at = time.monotonic()
        short.gateway.hang = lambda path: path.startswith("jobs/")
        await until(lambda: not agent.tasks)
        assert time.monotonic() - silent_at < 3 * LEASE_SECONDS  # it dies within one; cleaning up takes what the machine gives
    assert message.job not in short.gateway.completed


async def test_a_job_with_an_environment_never_outlives_its_lease(short: Any) -> None:
    """What deploys must not run twice at the same time, whatever the control plane says."""
    message = job("echo ready; sleep 300")
    message = replace(message, definition=replace(message.definition, environment="production"))
    async with short.agent() as agent:
        await short.gateway.put(message)
        await printed(short, message, "ready")
        short.gateway.refuse = refusing
        left_at = time.monotonic()
        await until(lambda: not agent.tasks)
        assert time.monotonic() - left_at < 3 * LEASE_SECONDS  # it dies within one, as above


async def test_an_outcome_outlives_the_runner(short: Any) -> None:
    """The runner is killed while its finished job waits for the server: its next life delivers lines, steps and outcome."""
    message = job(NUMBERS.format(first=1, last=30), "echo last")
    await short.gateway.put(message)
    process = await short.process()
    await printed(short, message, "3")
    short.gateway.refuse = refusing
    await until(lambda: spooled(short, "outcome"))
    process.kill()
    await process.wait()
    short.gateway.refuse = lambda _path: None
    polls = len(short.gateway.polls)
    async with short.agent():
        report = await short.gateway.ended(message.job)
        await short.gateway.until(lambda: short.gateway.polls[-1].jobs == ())
    assert report.conclusion == "success", report
    assert (short.gateway.polls[polls].free_slots, short.gateway.polls[polls].jobs) == (0, (message.job,))
    assert short.gateway.text(message.job, "stdout") == "\n".join([*map(str, range(1, 31)), "last"])
    assert len(short.gateway.transitions[message.job]) == 4
    assert not list(short.work.glob("spool/*"))


async def test_a_job_that_was_cut_short_is_told_as_far_as_it_came(short: Any) -> None:
    """Killed with the job at work and the server away: the next life tells the lines, then names the job no more."""
    message = job(NUMBERS.format(first=1, last=10_000))
    await short.gateway.put(message)
    process = await short.process()
    await printed(short, message, "3")
    short.gateway.refuse = refusing
    await until(lambda: (lines := spooled(short, "lines")) is not None and lines.stat().st_size > 1000)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    path = spooled(short, "lines")
    assert path is not None
    with path.open("ab") as file:
        file.write(b'{"line": 99')  # a write that the kill cut short
    kept = path.read_bytes().count(b"\n")
    short.gateway.refuse = lambda _path: None
    before = len(short.gateway.lines[message.job])
    polls = len(short.gateway.polls)
    async with short.agent():
        await short.gateway.until(lambda: len(short.gateway.polls) > polls and short.gateway.polls[-1].jobs == ())
    after = short.gateway.text(message.job, "stdout").split("\n")
    assert after == [str(number) for number in range(1, len(after) + 1)]
    assert len(after) >= before + kept - 100  # lines that the gateway had received were kept until they were stored
    assert message.job not in short.gateway.completed
    assert not list(short.work.glob("spool/*"))


async def test_a_folder_without_sense_is_removed(bench: Any) -> None:
    """What was cut short before it had a lease to deliver under is nothing."""
    (bench.work / "spool" / "0").mkdir(parents=True)
    async with bench.agent():
        await bench.gateway.until(lambda: bench.gateway.polls)
    assert not list(bench.work.glob("spool/*"))
