"""The agent: polls, orders, leases that are lost, its own death."""

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from runner_test_gateway import job, step

from runner import wire
from runner.agent import WorkInUse
from runner.lease_keeper import LeaseKeeper


def processes_of(work: Path) -> list[int]:
    """The living processes of jobs below this working folder."""
    mark = f"RUNNER_TEMP={work}/jobs".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


async def until_gone(work: Path, seconds: float) -> None:
    """Wait until no process of a job is left."""
    give_up_at = time.monotonic() + seconds
    while left := processes_of(work):
        assert time.monotonic() < give_up_at, left
        await asyncio.sleep(0.01)


def deaf(message: str = "ready") -> str:
    """A script that leaves a daemon behind, ignores every polite signal, says so and stays."""
    return f"trap '' TERM INT HUP\n(setsid sh -c 'trap \"\" TERM INT HUP; sleep 300 & sleep 300' &)\necho {message}\nsleep 300"


async def says(bench: Any, message: Any, text: str = "ready") -> None:
    """Wait until a job has printed this."""
    await bench.gateway.until(lambda: text in bench.gateway.text(message.job, "stdout").split("\n"))


async def test_the_poll_is_open_at_all_times(bench: Any) -> None:
    """Also while the only slot is taken, naming the job that takes it; and again with a free slot at once."""
    message = job("echo ready; while ! test -e go; do sleep 0.02; done")
    async with bench.agent():
        await bench.gateway.until(lambda: bench.gateway.polls and bench.gateway.polls[-1].free_slots == 1)
        await bench.gateway.put(message)
        await bench.gateway.until(lambda: bench.gateway.polls[-1].free_slots == 0 and bench.gateway.polls[-1].jobs == (message.job,))
        await says(bench, message)
        (workspace,) = (bench.work / "jobs").glob("*/pay/pay")
        (workspace / "go").touch()
        await bench.gateway.ended(message.job)
        await bench.gateway.until(lambda: bench.gateway.polls[-1].free_slots == 1 and bench.gateway.polls[-1].jobs == ())


async def test_slots_run_jobs_side_by_side(bench: Any) -> None:
    """Two jobs that each wait for the other's file."""
    messages = [job(f"echo > '{bench.work}/{n}'; while ! test -e '{bench.work}/{1 - n}'; do sleep 0.02; done") for n in (0, 1)]
    async with bench.agent(slots=2):
        await bench.gateway.put(*messages)
        for message in messages:
            assert (await bench.gateway.ended(message.job)).conclusion == "success"


async def test_a_runner_comes_back_as_itself_unless_it_is_ephemeral(bench: Any) -> None:
    """The registration id is kept in the working folder."""
    for _ in range(2):
        async with bench.agent():
            await bench.gateway.until(lambda: bench.gateway.polls)
            bench.gateway.polls.clear()
    async with bench.agent(ephemeral=True):
        await bench.gateway.until(lambda: bench.gateway.polls)
    first, second, third = (message.registration for message in bench.gateway.registrations)
    assert first == second != third
    assert bench.gateway.registrations[2].ephemeral
    assert bench.gateway.registrations[0].pid == os.getpid()


async def test_a_working_folder_has_one_runner(bench: Any) -> None:
    """A second agent in the same folder is told so."""
    async with bench.agent():
        await bench.gateway.until(lambda: bench.gateway.polls)
        with pytest.raises(WorkInUse, match="another runner works in"):
            async with bench.agent() as second:
                await second.run()


async def test_once_leaves_after_one_job(bench: Any) -> None:
    """As a process: exit code 0, and the second job stays in the queue."""
    first, second = job("echo 1"), job("echo 2")
    await bench.gateway.put(first, second)
    process = await bench.process("--once")
    assert await asyncio.wait_for(process.wait(), 20) == 0
    assert bench.gateway.completed[first.job].conclusion == "success"
    assert [one.job for one in bench.gateway.queue] == [second.job]


async def test_a_wrong_token_ends_the_runner_with_4(bench: Any) -> None:
    """Waiting would not help."""
    process = await bench.process("--token-file", os.devnull)
    assert await asyncio.wait_for(process.wait(), 20) == 4


async def test_drain_finishes_the_job_and_leaves(bench: Any) -> None:
    """No further poll announces a slot; the process ends by itself."""
    message = job("echo ready; while ! test -e go; do sleep 0.02; done")
    await bench.gateway.put(message)
    process = await bench.process()
    await says(bench, message)
    await bench.gateway.order(wire.Order(kind="drain", order=uuid4()))
    (workspace,) = (bench.work / "jobs").glob("*/pay/pay")
    (workspace / "go").touch()
    assert (await bench.gateway.ended(message.job)).conclusion == "success"
    assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_cancel_stops_the_step_and_runs_the_cleanup(bench: Any) -> None:
    """INT first; a script that listens ends itself; always() and cancelled() steps run, others do not."""
    message = job(
        "trap 'echo got INT; exit 1' INT; echo ready; while true; do sleep 0.05; done",
        "echo never",
        step(2, "echo cleanup", condition="always()"),
        step(3, "echo cancelled", condition="cancelled()"),
        step(4, "echo failure", condition="failure()"),
    )
    async with bench.agent():
        await bench.gateway.put(message)
        await says(bench, message)
        await bench.gateway.order(wire.Order(kind="cancel", order=uuid4(), job=message.job, attempt=1, epoch=1))
        report = await bench.gateway.ended(message.job)
    assert report.conclusion == "cancelled"
    assert bench.gateway.text(message.job, "stdout").split("\n") == ["ready", "got INT", "cleanup", "cancelled"]
    ends = bench.gateway.ends(message.job)
    assert [ends[index].conclusion for index in range(5)] == ["cancelled", "skipped", "success", "success", "skipped"]


async def test_cancel_climbs_down_the_ladder_to_kill(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree that is deaf to INT and TERM is killed after both had their time."""
    monkeypatch.setattr("runner.stopping.INT_SECONDS", 0.2)
    monkeypatch.setattr("runner.stopping.TERM_SECONDS", 0.1)
    message = job(deaf())
    async with bench.agent():
        await bench.gateway.put(message)
        await says(bench, message)
        await bench.gateway.order(wire.Order(kind="cancel", order=uuid4(), job=message.job, attempt=1, epoch=1))
        report = await bench.gateway.ended(message.job)
        assert report.conclusion == "cancelled"
        assert processes_of(bench.work) == []


async def test_an_order_for_another_epoch_is_not_obeyed(bench: Any) -> None:
    """A late order must not stop the next attempt."""
    message = job("echo ready; sleep 0.3; echo done")
    async with bench.agent():
        await bench.gateway.put(message)
        await says(bench, message)
        await bench.gateway.order(wire.Order(kind="force_cancel", order=uuid4(), job=message.job, attempt=1, epoch=0))
        assert (await bench.gateway.ended(message.job)).conclusion == "success"


async def test_force_cancel_runs_nothing_more(bench: Any) -> None:
    """No ladder, no always()."""
    message = job(deaf(), step(1, "echo cleanup", condition="always()"))
    async with bench.agent():
        await bench.gateway.put(message)
        await says(bench, message)
        await bench.gateway.order(wire.Order(kind="force_cancel", order=uuid4(), job=message.job, attempt=1, epoch=1))
        report = await bench.gateway.ended(message.job, 5)
    assert report.conclusion == "cancelled"
    assert "cleanup" not in bench.gateway.text(message.job)


async def test_a_lost_lease_stops_the_job_and_reports_nothing(bench: Any) -> None:
    """The next heartbeat is answered 409: the tree dies, the slot is free again, no late write follows."""
    bench.gateway.heartbeat_seconds = 0.1
    message = job(deaf(), step(1, "echo never", condition="always()"))
    async with bench.agent():
        await bench.gateway.put(message)
        await says(bench, message)
        bench.gateway.lost.add(message.job)
        await bench.gateway.until(lambda: bench.gateway.polls[-1].free_slots == 1)
        assert processes_of(bench.work) == []
    assert message.job not in bench.gateway.completed
    assert list((bench.work / "jobs").iterdir()) == []


async def test_a_job_that_comes_back_waits_until_its_earlier_attempt_has_left(bench: Any) -> None:
    """The server has given up the first attempt and hands the job to the same runner: both would use the same folder."""
    first = job(deaf())
    again = msgspec.structs.replace(
        first,
        attempt=2,
        epoch=2,
        lease=uuid4(),
        definition=job('test ! -e "$RUNNER_TEMP/earlier"; sleep 0.5; echo "$RUNNER_TEMP"/*').definition,
    )
    async with bench.agent(slots=2) as agent:
        await bench.gateway.put(first)
        await says(bench, first)
        (bench.work / "jobs" / first.job.hex / "_temp" / "earlier").touch()
        earlier = processes_of(bench.work)
        bench.gateway.lines[first.job].clear()  # an attempt's log begins with line 1
        await bench.gateway.put(again)
        report = await bench.gateway.ended(first.job)
        assert (report.attempt, report.conclusion) == (2, "success")
        assert not set(earlier) & set(processes_of(bench.work))
        await asyncio.gather(*agent.tasks)
    assert list((bench.work / "jobs").iterdir()) == []


async def test_a_silent_server_makes_the_runner_give_up_before_its_lease_ends(bench: Any) -> None:
    """By its own monotonic clock, counted from before the last renewal that was answered."""
    bench.gateway.heartbeat_seconds = 0.1
    bench.gateway.lease_seconds = 3  # half a second of which is left for dying
    message = job(deaf())
    async with bench.agent():
        await bench.gateway.put(message)
        await says(bench, message)
        await bench.gateway.until(lambda: bench.gateway.renewed[message.job])
        bench.gateway.hang = lambda path: path.startswith("jobs/")
        last = bench.gateway.renewed[message.job][-1]
        await until_gone(bench.work, 20)
        assert time.monotonic() - last < 3


async def test_a_step_that_died_with_its_lease_is_not_reported_as_failed(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guardian kills at the end of the lease; the thread that tells the agent of it may come late on a busy machine."""
    lose = LeaseKeeper.lose
    over = threading.Event()

    def late(keeper: LeaseKeeper, reason: str) -> None:
        over.wait(30)  # the keeper's own thread is held up until the job is over
        lose(keeper, reason)

    monkeypatch.setattr(LeaseKeeper, "lose", late)
    bench.gateway.lease_seconds = 2
    message = job(deaf())
    async with bench.agent() as agent:
        await bench.gateway.put(message)
        await says(bench, message)
        try:
            await asyncio.gather(*agent.tasks)
        finally:
            over.set()
    assert message.job not in bench.gateway.completed


async def test_reports_are_repeated_until_they_are_answered(bench: Any) -> None:
    """A server that is away for a while costs time, nothing else."""
    message = job("echo one", "echo two")
    refused: dict[str, int] = {}

    def sometimes(path: str) -> int | None:
        refused[path] = refused.get(path, 0) + 1
        return 503 if refused[path] in (1, 3) and path.startswith("jobs/") else None

    bench.gateway.refuse = sometimes
    report = await bench.run(message)
    assert report.conclusion == "success"
    assert bench.gateway.text(message.job, "stdout").split("\n") == ["one", "two"]
    assert len(bench.gateway.transitions[message.job]) == 4


async def test_a_killed_agent_takes_its_jobs_with_it_at_once(bench: Any) -> None:
    """SIGKILL: no process of the job is left; the next life finds an empty folder and registers as the same runner."""
    message = job(deaf())
    await bench.gateway.put(message)
    process = await bench.process()
    await says(bench, message)
    process.kill()
    await process.wait()
    await until_gone(bench.work, 5)
    async with bench.agent():
        await bench.gateway.until(lambda: bench.gateway.polls[-1].jobs == () and len(bench.gateway.registrations) == 2)
        assert list((bench.work / "jobs").iterdir()) == []
    assert bench.gateway.registrations[0].registration == bench.gateway.registrations[1].registration


async def test_an_agent_that_is_told_to_stop_cleans_up(bench: Any) -> None:
    """TERM: trees dead, folder empty, exit code 0, nothing reported: the server gives the job to another attempt."""
    message = job(deaf())
    await bench.gateway.put(message)
    process = await bench.process()
    await says(bench, message)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert processes_of(bench.work) == []
    assert list((bench.work / "jobs").iterdir()) == []
    assert message.job not in bench.gateway.completed


async def test_when_agent_and_guardian_are_killed_the_next_life_ends_the_orphans(bench: Any) -> None:
    """What nobody watches any more is found by its environment."""
    message = job(deaf())
    await bench.gateway.put(message)
    process = await bench.process()
    await says(bench, message)
    guardians = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and parent(entry) == process.pid]
    os.kill(process.pid, signal.SIGSTOP)
    for guardian in guardians:
        os.kill(guardian, signal.SIGKILL)
    process.kill()
    await process.wait()
    assert processes_of(bench.work)
    async with bench.agent():
        await bench.gateway.until(lambda: len(bench.gateway.registrations) == 2)
        await until_gone(bench.work, 5)


@pytest.mark.parametrize("slots", [1, 2])
async def test_a_job_that_the_runner_cannot_end_is_told_at_once(bench: Any, monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    """Not with the next poll, which may be a minute away where another slot is free; and the runner goes on with its other work."""

    async def broken(*_: object) -> None:
        raise RuntimeError("a mistake of the runner")

    message, following = job("echo one"), job("echo two")
    async with bench.agent(slots=slots):
        with monkeypatch.context() as patched:
            patched.setattr("runner.step_loop.StepLoop.run", broken)
            await bench.gateway.put(message)
            report = await bench.gateway.ended(message.job)
        assert (report.conclusion, report.reason) == ("cancelled", "runner_stopped")
        await bench.gateway.put(following)
        assert (await bench.gateway.ended(following.job)).conclusion == "success"
    assert not (bench.work / "jobs" / message.job.hex).exists()


def parent(entry: Path) -> int:
    """The parent of a process, 0 for one that is gone."""
    try:
        return int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


async def test_a_job_that_kills_its_guardian_fails_and_leaves_nothing(bench: Any) -> None:
    """The agent adopts the orphans and ends them; the runner goes on with the next job."""
    message, following = job("sleep 300 & kill -9 $PPID; sleep 300"), job("echo next")
    await bench.gateway.put(message, following)
    process = await bench.process()
    report = await bench.gateway.ended(message.job)
    assert (report.conclusion, report.reason) == ("failure", "setup_failed")
    assert (await bench.gateway.ended(following.job)).conclusion == "success"
    await until_gone(bench.work, 5)
    process.terminate()
    await process.wait()


async def test_a_flood_of_output_neither_loses_lines_nor_stops_heartbeats(bench: Any) -> None:
    """200,000 lines as fast as the machine can while processes burn the CPU; renewals go on, all lines arrive in order."""
    bench.gateway.heartbeat_seconds = 0.1
    burn = f"'{sys.executable}' -c 'while True: pass' &\n"
    message = job(burn * 2 + "seq 1 200000")
    await bench.gateway.put(message)
    process = await bench.process()
    report = await bench.gateway.ended(message.job, 90)
    assert report.conclusion == "success"
    assert bench.gateway.text(message.job, "stdout") == "\n".join(map(str, range(1, 200_001)))
    assert len(bench.gateway.renewed[message.job]) >= 2
    process.terminate()
    await process.wait()
