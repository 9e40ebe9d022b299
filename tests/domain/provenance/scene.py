"""A run that makes files, over the real command side in memory."""

from typing import Any
from uuid import UUID

from domain import ids
from domain.envelope import Recorded
from domain.job import commands as c
from domain.job.events import Subject
from domain.provenance import Statement, provenance, streams
from domain.refusals import Refusal
from domain.run import commands as r
from tests.domain.why.mill import Mill

ONE = """
on: push
jobs:
  build: {runs-on: linux, steps: [{run: make}, {run: more}]}
"""
WHEEL = Subject("dist/pay-1.0-py3-none-any.whl", "ab" * 32)
KEY = "cd" * 32


class Scene(Mill):
    """A mill whose runners attest."""

    def joined(self, named: str = "far", labels: tuple[str, ...] = ("linux",)) -> UUID:
        """A runner with a key of its own."""
        runner = self.runners[named] = ids.runner_id("default", named)
        self.send(r.RegisterRunner(runner, named, labels, 1, "linux", "x64", "0", key=KEY))
        self.note(named, "online")
        return runner

    def attest(self, fence: Any, index: int, *subjects: Subject, **told: Any) -> None:
        """A step that attests begins and ends."""
        state = self.state(fence[0])
        at = self.clock.now()
        facts = {"outcome": "success", "conclusion": "success", "exit_code": 0, "ended_at": at} | told
        steps = (c.StepTransition(index, at), c.StepTransition(index, at, subjects=subjects, **facts))
        self.send(c.ReportSteps(*fence, state.transitions + 1, steps))

    def built(self, *subjects: Subject, text: str = ONE, job: str = "build", **told: Any) -> UUID:
        """A run whose job attests these in its first step; the job."""
        self.start(text)
        self.assign()
        fence = self.begin(job)
        self.attest(fence, 0, *subjects, **told)
        for step in self.state(fence[0]).life.spec.steps[1:]:
            self.attest(fence, step.index)
        self.report(fence, outputs=told.get("outputs", {}))
        return fence[0]

    def statement(self, job: UUID, log: list[Recorded] | None = None) -> Statement | Refusal:
        """What the log gives."""
        return provenance(streams(log if log is not None else self.world.log), job)


def made(scene: Scene, *subjects: Subject, **told: Any) -> Statement:
    """The statement about a job that attests these."""
    found = scene.statement(scene.built(*subjects, **told))
    assert isinstance(found, Statement), found
    return found
