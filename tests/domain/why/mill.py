"""Runs over the real command side in memory, runners that come and go, and a scheduler: enough to be asked why."""

import random
from typing import Any
from uuid import UUID

import msgspec

from commands.handle import Origin
from domain import ids
from domain.job import commands as c
from domain.job import events as e
from domain.job.state import Acquired, Queued, Running, name
from domain.run import commands as r
from domain.scheduling import lanes
from domain.scheduling.fair_share import Shares
from domain.scheduling.line import Line, ReadyJob
from domain.scheduling.matching import Poller, match, order, standing
from domain.why import Holder, JobWhy, Runner, RunWhy, Surroundings, why_job, why_run
from tests.domain.machine import gathered, push
from tests.domain.world import World, drive


class Mill:
    """A world with runs, by the key they were started with, and runners by name."""

    def __init__(self) -> None:
        self.world = World(random.Random(0).randrange)
        self.clock = self.world.clock
        self.runs: dict[str, UUID] = {}
        self.runners: dict[str, UUID] = {}
        self.asked = 0
        self.groups: dict[str, frozenset[str]] = {}
        """The repositories that a runner's group serves, by the runner's name; absent: all."""

    def start(self, text: str, key: str = "one", called: str = "on: workflow_call\njobs: {x: {runs-on: linux, steps: [{run: a}]}}") -> UUID:
        """Push a workflow; the run."""
        workflow = gathered(text, called)
        plan = drive(self.world.blobs.put(msgspec.json.encode(workflow)))
        payload = drive(self.world.blobs.put(b"{}"))
        trigger = push(key, workflow, plan, payload)
        self.world.send(trigger)
        self.runs[key] = trigger.run
        return trigger.run

    def send(self, command: Any, actor: str = "ada") -> Any:
        """A command from outside."""
        self.asked += 1
        outcome = self.world.send(command, Origin("default", actor, command=ids.command_id("test", str(self.asked))))
        assert outcome.refusal is None, outcome.refusal
        return outcome

    def runner(self, named: str = "r1", labels: tuple[str, ...] = ("linux",), slots: int = 1) -> UUID:
        """A runner registers and polls."""
        runner = self.runners[named] = ids.runner_id("default", named)
        self.send(r.RegisterRunner(runner, named, labels, slots, "linux", "x64", "0"))
        self.note(named, "online")
        return runner

    def note(self, named: str, change: Any) -> None:
        """Something happens to a runner."""
        self.send(r.NoteRunner(self.runners[named], change, "x"), actor="grace")

    def fleet(self) -> tuple[Runner, ...]:
        """The runners that are not retired, from their events."""
        found = []
        for runner in self.runners.values():
            state = drive(self.world.handler.state(runner, "runner"))
            if state.duty == "retired":
                continue
            changes = [each for each in self.world.log if each.stream == runner and each.type in ("RunnerPaused", "RunnerDrained")]
            by, at = (changes[-1].meta.actor, changes[-1].meta.at) if changes else ("", None)
            held = tuple(job for job, lease in self.leases() if lease == runner)
            facts = state.facts
            serves = self.groups.get(facts.name)
            group = "special" if serves is not None else ""
            found.append(Runner(runner, facts.name, facts.labels, facts.slots, state.online, state.duty, held, by, at, group, serves))
        return tuple(found)

    def leases(self) -> list[tuple[UUID, UUID]]:
        """(job, runner) of what runners hold."""
        states = [(job, self.state(job)) for job in self.world.jobs]
        return [(job, state.lease.runner) for job, state in states if isinstance(state, Acquired | Running)]

    def state(self, job: UUID) -> Any:
        """A job's state."""
        return drive(self.world.handler.state(job, "job"))

    def queues(self) -> list[tuple[Line, list[ReadyJob]]]:
        """What waits for runners, by line."""
        lines: dict[Line, list[ReadyJob]] = {}
        for event in {each.stream: each for each in self.world.log if each.type in ("JobQueued", "JobRetried")}.values():
            if isinstance(state := self.state(event.stream), Queued):
                line = Line("default", state.life.fair_key, state.life.lane, state.life.spec.labels)
                ready = ReadyJob(event.stream, line, event.position, lanes.place(line.lane, event.meta.at), state.avoid)
                lines.setdefault(line, []).append(ready)
        return list(lines.items())

    def assign(self) -> None:
        """Free slots take what fits, as a gateway would have it."""
        ready = [each for each in self.fleet() if each.takes_jobs]
        pollers = [Poller(each.id, frozenset(each.labels), each.slots - len(each.held), repositories=each.repositories) for each in ready]
        labels = {each.id: each for each in self.fleet()}
        for job, poller in match([standing(self.queues(), Shares())], pollers):
            runner = labels[poller.runner]
            self.send(c.AcquireJob(job.job, runner.id, runner.name, runner.labels, 30, 120))

    def around(self) -> Surroundings:
        """What stands around the runs now."""
        groups = {}
        for event in self.world.log:
            if event.type == "ConcurrencyAcquired":
                group = drive(self.world.handler.state(event.stream, "concurrency"))
                if group.holding is not None and group.holding.holder == event.data.claim.holder:
                    claim, pending = group.holding, tuple(each.holder for each in group.pending)
                    facts = (claim.holder, claim.run, claim.number, claim.workflow_path, event.meta.at, claim.job, claim.node)
                    groups[event.stream] = Holder(*facts, pending)
        turns = order(self.queues(), Shares())
        ahead = {job.job: sum(set(before.line.labels) <= set(job.line.labels) for before in turns[:n]) for n, job in enumerate(turns)}
        return Surroundings(self.clock.now(), self.fleet(), groups, ahead)

    def why(self, key: str = "one") -> RunWhy:
        """Why a run stands as it does."""
        run = self.runs[key]
        found = why_run([event for event in self.world.log if event.meta.correlation == run and self._own(event)], self.around())
        assert found is not None
        return found

    def _own(self, event: Any) -> bool:
        return isinstance(event.data, e.JobEvent) or event.stream in self.runs.values()

    def job(self, job: str, key: str = "one") -> JobWhy:
        """Why a job of a run, by its name, stands as it does; the same alone as within its run."""
        (found,) = [each for each in self.why(key).jobs if each.name == job]
        run = self.runs[key]
        alone = why_job([event for event in self.world.log if event.meta.correlation == run and self._own(event)], found.id, self.around())
        assert alone == found
        return found

    def begin(self, job: str, key: str = "one") -> Any:
        """The runner that took a job starts; its fence."""
        identity = self.job(job, key).id
        lease = self.state(identity).lease
        fence = (identity, lease.runner, lease.attempt, lease.epoch, lease.lease)
        self.send(c.StartJob(*fence))
        return fence

    def step(self, fence: Any, index: int = 0, outcome: str = "", exit_code: int = 0, seconds: float = 1) -> None:
        """A step begins and, with an outcome, ends after some seconds."""
        state = self.state(fence[0])
        began = self.clock.now()
        transitions: list[c.StepTransition] = [c.StepTransition(index, began)] if index not in state.open_steps else []
        if outcome:
            self.clock.advance(seconds)
            transitions.append(c.StepTransition(index, began, outcome, outcome, exit_code, ended_at=self.clock.now()))
        self.send(c.ReportSteps(*fence, state.transitions + 1, tuple(transitions)))

    def report(self, fence: Any, conclusion: Any = "success", **facts: Any) -> None:
        """The runner reports how the attempt ended."""
        self.send(c.ReportAttempt(*fence, conclusion, facts.pop("reason", ""), f"{fence[0]} {fence[3]}", facts.pop("outputs", {}), **facts))

    def perform(self, job: str, outcome: str = "success", key: str = "one") -> None:
        """A runner that took a job does its one step and reports."""
        fence = self.begin(job, key)
        self.step(fence, 0, outcome, 0 if outcome == "success" else 1)
        self.report(fence, outcome)

    def tick(self, job: str, kind: Any, seconds: float, key: str = "one") -> None:
        """Time passes, and a deadline of a job is looked at."""
        identity = self.job(job, key).id
        self.clock.advance(seconds)
        self.world.send(c.Expire(identity, kind), Origin("default", "system"))

    def moves(self, job: str, remove: Any, key: str = "one") -> None:
        """A job stands still until its cause is taken away: then it goes on."""
        before = self.job(job, key)
        self.assign()
        assert self.job(job, key).state == before.state, "it moved although nothing had changed"
        remove()
        self.assign()
        after = self.job(job, key)
        assert after.state != before.state, f"{before.reasons[0].text}; now {name(self.state(after.id))}"
        assert after.reasons[0].code != before.reasons[0].code
