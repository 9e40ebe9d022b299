"""The courier: reports of several jobs travel together, and each is answered for itself."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from runner import wire
from runner.courier import TRANSITIONS_MAX, Courier
from runner.problems import LeaseLost, ProtocolError, Rejected, Silent

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
JOBS = [UUID(int=number) for number in range(1, 5)]


def report(seq: int = 1, transitions: int = 1) -> wire.Steps:
    """A report of so many steps that began."""
    steps = tuple(wire.StepStart(index=index, started_at=AT) for index in range(transitions))
    return wire.Steps(runner=UUID(int=0), attempt=1, epoch=1, lease=UUID(int=9), seq=seq, transitions=steps)


class Line:
    """The way to the gateway: requests stand in `sent` and are answered when the test lets them pass."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.problems: dict[UUID, wire.Problem] = {}
        self.fails: dict[str, ProtocolError] = {}
        self.free = asyncio.Event()

    async def post(self, path: str, message: Any, answer: Any) -> Any:
        """Take a request; answer it once the line is free."""
        self.sent.append((path, message))
        await self.free.wait()
        if path in self.fails:
            raise self.fails[path]
        if answer is wire.Accepted:
            return wire.Accepted(through=message.seq + len(message.transitions) - 1, now=AT)
        answers = [
            wire.JobAccepted(problem=self.problems[one.job]) if one.job in self.problems else wire.JobAccepted(through=one.seq)
            for one in message.reports
        ]
        return wire.ManyAccepted(answers=tuple(answers), now=AT)

    async def carry(self, courier: Courier, reports: list[tuple[UUID, wire.Steps]]) -> list[Any]:
        """Report the first alone and the others while it is under way; returns what came of each."""
        tasks = [asyncio.create_task(courier.steps(*reports[0]))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(courier.steps(*one)) for one in reports[1:]]
        await asyncio.sleep(0)
        self.free.set()
        return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def line() -> Line:
    """A line of this test alone."""
    return Line()


async def test_the_first_report_leaves_at_once_and_what_comes_meanwhile_together(line: Line) -> None:
    """One request is under way at a time; nobody waits for company."""
    done = await line.carry(Courier(line.post), [(job, report(seq=7)) for job in JOBS])
    assert [path for path, _ in line.sent] == [f"/jobs/{JOBS[0]}/events", "/jobs/events"]
    assert [one.job for one in line.sent[1][1].reports] == JOBS[1:]
    assert [one.through for one in done] == [7, 7, 7, 7]


async def test_each_report_is_answered_for_itself(line: Line) -> None:
    """A lost lease among them stops its own job and no other."""
    line.problems[JOBS[2]] = wire.Problem(code="lease_lost", title="Lease lost", status=409)
    _, second, third, fourth = await line.carry(Courier(line.post), [(job, report()) for job in JOBS])
    assert isinstance(third, LeaseLost)
    assert (second.through, fourth.through) == (1, 1)


async def test_without_an_answer_all_of_them_hear_so(line: Line) -> None:
    """Each job sends again by itself."""
    line.fails["/jobs/events"] = Silent("no answer")
    first, *others = await line.carry(Courier(line.post), [(job, report()) for job in JOBS])
    assert first.through == 1
    assert [type(one) for one in others] == [Silent] * 3


async def test_a_gateway_that_takes_no_such_message_gets_each_alone(line: Line) -> None:
    """An older one, or one to which they are too much together."""
    line.fails["/jobs/events"] = Rejected(wire.Problem(code="http_404", title="", status=404))
    line.fails[f"/jobs/{JOBS[3]}/events"] = Rejected(wire.Problem(code="bad_step_transition", title="", status=409))
    *good, bad = await line.carry(Courier(line.post), [(job, report()) for job in JOBS])
    assert [one.through for one in good] == [1, 1, 1]
    assert isinstance(bad, Rejected)


async def test_a_request_is_bounded(line: Line) -> None:
    """What is too much for one request follows in the next, in order."""
    sizes = [1, TRANSITIONS_MAX - 1, 2, 1]
    await line.carry(Courier(line.post), [(job, report(transitions=size)) for job, size in zip(JOBS, sizes, strict=True)])
    assert [path for path, _ in line.sent] == [f"/jobs/{JOBS[0]}/events", f"/jobs/{JOBS[1]}/events", "/jobs/events"]


async def test_a_report_that_nobody_waits_for_is_not_sent(line: Line) -> None:
    """Its job has lost the lease meanwhile."""
    courier = Courier(line.post)
    first = asyncio.create_task(courier.steps(JOBS[0], report()))
    await asyncio.sleep(0)
    given_up = asyncio.create_task(courier.steps(JOBS[1], report()))
    await asyncio.sleep(0)
    given_up.cancel()
    line.free.set()
    await first
    await courier.close()
    assert len(line.sent) == 1
