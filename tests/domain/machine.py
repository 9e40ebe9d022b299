"""One run of a workflow over the real command side in memory, with runners that let each job end as a test says."""

import random
import re
from typing import Any
from uuid import UUID

import msgspec

from commands.handle import Origin, Outcome
from domain import ids
from domain.envelope import Recorded
from domain.job import commands as c
from domain.run import commands as r
from domain.run.state import Run
from domain.workflow import reader
from domain.workflow.gather import gather
from domain.workflow.model import Workflow
from tests.domain.world import World, drive

WORKFLOW = """
on: push
jobs:
  lint: {runs-on: linux, outputs: {v: "1"}, steps: [{run: a}]}
  test:
    runs-on: linux
    strategy: {fail-fast: false, matrix: {v: [1, 2, 3]}}
    steps: [{run: a}]
  deploy: {needs: [lint, test], runs-on: linux, steps: [{run: a}]}
  report: {needs: deploy, if: always(), runs-on: linux, steps: [{run: a}]}
  never: {if: "false", runs-on: linux, steps: [{run: a}]}
"""


CALLED = """
on: {workflow_call: {inputs: {v: {type: number}}, outputs: {o: {value: "${{ jobs.y.outputs.v }}"}}}}
jobs:
  x: {runs-on: linux, steps: [{run: a}]}
  y: {needs: x, runs-on: linux, outputs: {v: "1"}, steps: [{run: a}]}
"""


def gathered(text: str, called: str) -> Workflow:
    """The workflow with `called.yml`, which it may call."""
    read, problems = reader.read("ci.yml", text)
    assert read is not None, problems
    return gather(read, {"ci.yml": text, "called.yml": called}).workflow


def push(key: str, workflow: Workflow, plan: str, payload: str) -> r.TriggerRun:
    """A push to acme/pay that starts one run. plan, payload: digests of blobs; the payload is `{}`."""
    repository = ids.repository_id("default", "local", "acme/pay")
    return r.TriggerRun(
        run=ids.run_id("default", key),
        repository=repository,
        repository_name="acme/pay",
        workflow=ids.workflow_id("default", repository, "ci.yml"),
        workflow_path="ci.yml",
        event="push",
        ref="refs/heads/main",
        sha="0" * 40,
        source="s",
        source_url="/nowhere",
        plan=plan,
        payload=payload,
        payload_bytes=2,
        request="same",
        workflow_ast=workflow,
    )


class Machine:
    """One run, and runners that let each job end as the test says; jobs are named `key` or `key:instance`."""

    def __init__(self, text: str = WORKFLOW, world: World | None = None, key: str = "one", called: str = CALLED) -> None:
        self.world = world or World(random.Random(0).randrange)
        self.asked = 0
        workflow = gathered(text, called)
        plan = drive(self.world.blobs.put(msgspec.json.encode(workflow)))
        payload = drive(self.world.blobs.put(b"{}"))
        trigger = push(key, workflow, plan, payload)
        self.run = trigger.run
        self.world.send(trigger)

    @property
    def state(self) -> Run:
        """The run as it stands."""
        state: Run = drive(self.world.handler.state(self.run, "run"))
        return state

    def job(self, job: UUID) -> Any:
        """A job as it stands."""
        return drive(self.world.handler.state(job, "job"))

    def name(self, job: UUID) -> str:
        """`key` or `key:instance`."""
        spec = self.job(job).life.spec
        return f"{spec.key}:{spec.matrix['v']}" if spec.matrix else str(spec.key)

    def jobs(self) -> dict[str, UUID]:
        """The jobs of the run attempt by name."""
        return {self.name(job): job for node in self.state.nodes.values() for job in node.jobs}

    def finish(self, **failing: str) -> list[str]:
        """Run what there is to run until nothing is left; returns the names in order. failing: name to conclusion."""
        done: list[str] = []
        while live := self.state.live_jobs():
            name = self.name(live[0])
            conclusion = failing.get(re.sub(r"[:./]", "_", name), "success")
            done.append(name)
            self.end(live[0], conclusion)
        return done

    def end(self, job: UUID, conclusion: str) -> None:
        """A runner takes the job, and it ends so."""
        runner = ids.runner_id("default", "r1")
        self.world.send(c.AcquireJob(job, runner, "r", ("linux",), 30, 120))
        epoch = self.job(job).lease.epoch
        fence = (job, runner, epoch, epoch, ids.lease_id(job, epoch))
        at = self.world.clock.now()
        self.world.send(c.StartJob(*fence))
        steps = (c.StepTransition(0, at), c.StepTransition(0, at, conclusion, conclusion, 0, ended_at=at))
        self.world.send(c.ReportSteps(*fence, 1, steps))
        key = self.job(job).life.spec.key
        outputs = {"v": f"{key} {self.job(job).life.spec.run_attempt} {conclusion}"}
        self.world.send(c.ReportAttempt(*fence, conclusion, "", f"{job}", outputs))  # type: ignore[arg-type]  # conclusions and fences as the test writes them

    def again(self, scope: Any = "all", key: str = "", instance: str = "", actor: str = "someone", number: int = 0) -> Outcome:
        """Somebody asks for another run attempt."""
        self.asked += 1
        origin = Origin("default", actor, command=ids.command_id("rerun", str(number or self.asked)))
        outcome: Outcome = drive(self.world.handler.handle(r.RerunRun(self.run, scope, key, instance), origin))
        return outcome

    def history(self, stream: UUID) -> list[Recorded]:
        """The events of a stream."""
        return [event for event in self.world.log if event.stream == stream]
