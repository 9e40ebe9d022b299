"""A small world for generated histories: the real command side over an in-memory store, with runners that also err.

`draw(n)` gives a number below n: from Hypothesis in the state machine, from a seeded generator in the fault tests. The
coroutines never wait here (nothing in memory does), so they are driven without an event loop.
"""

from collections import Counter
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from commands.followers import following
from commands.handle import Handler, Origin, Outcome
from domain import commit_status, ids, reactions, schedule
from domain import repository_commands as asked
from domain.delivery import AnswerDelivery, DeferDelivery, IgnoreDelivery, ReceiveWebhook, WebhookReceived
from domain.envelope import Recorded
from domain.invariants import Breach, check
from domain.job import commands as c
from domain.job.events import JobCreated, Subject
from domain.job.state import Acquired, Done, Running, name
from domain.registration import CreateRegistration, UseRegistration
from domain.run import commands as r
from domain.run import followers
from domain.run.events import Follower
from domain.run.state import Run
from domain.runner_group import ChangeRunnerGroup
from domain.subscription import ChangeSubscription, CreateSubscription, DeleteSubscription
from domain.token import CreateToken, NoteTokenUse, RevokeToken
from domain.workflow import reader
from domain.workflow.gather import gather
from domain.workflow.model import Workflow
from tests.fakes import FixedClock, MemoryBlobs, MemoryEventStore

WORKFLOWS = {
    "chain": """
on: push
jobs:
  lint: {runs-on: linux, steps: [{run: a, timeout-minutes: 1}, {run: b}]}
  test:
    needs: lint
    runs-on: linux
    env: {LEDGERMILL_RETRY: "max=2 on=lost,failed,timed_out backoff=5s"}
    strategy: {matrix: {v: [1, 2]}}
    steps: [{run: a}]
  report: {needs: [lint, test], if: always(), runs-on: linux, steps: [{run: a}]}
  deploy: {needs: test, runs-on: gpu, steps: [{run: a}]}
""",
    "short": """
on: push
jobs:
  only: {runs-on: linux, timeout-minutes: 1, cancel-timeout-minutes: 1, steps: [{run: a}]}
""",
    "beside": """
on: push
jobs:
  only:
    runs-on: linux
    steps:
      - {id: server, run: a, background: true, timeout-minutes: 1}
      - {id: other, run: a, background: true, timeout-minutes: 2}
      - {run: a}
      - {cancel: server}
      - {wait: other}
""",
    "conditions": """
on: push
jobs:
  a: {runs-on: [linux, gpu], steps: [{run: a, timeout-minutes: 1}]}
  never: {needs: a, if: "github.event.nope == 'x'", runs-on: linux, steps: [{run: a}]}
  rescue: {needs: a, if: failure(), runs-on: linux, steps: [{run: a}]}
  broken: {needs: a, runs-on: linux, strategy: {matrix: "${{ fromJSON(needs.a.outputs.list) }}"}, steps: [{run: a}]}
""",
    "narrow": """
on: push
jobs:
  wide:
    runs-on: linux
    strategy: {max-parallel: 2, matrix: {v: [1, 2, 3, 4]}}
    steps: [{run: a, timeout-minutes: 1}]
  slow:
    runs-on: linux
    strategy: {max-parallel: 1, fail-fast: false, matrix: {v: [1, 2]}}
    concurrency: "slot-${{ matrix.v }}"
    steps: [{run: a, timeout-minutes: 1}]
""",
    "alone": """
on: push
concurrency: {group: Deploy, cancel-in-progress: "${{ github.run_number == '3' }}"}
jobs:
  a: {runs-on: linux, steps: [{run: a, timeout-minutes: 1}]}
  b: {needs: a, if: always(), runs-on: linux, concurrency: deploy, steps: [{run: a, timeout-minutes: 1}]}
""",
    "in turn": """
on: push
concurrency: {group: deploy, queue: max}
jobs:
  a: {runs-on: linux, concurrency: {group: slot-1, queue: max}, steps: [{run: a, timeout-minutes: 1}]}
""",
    "calls": """
on: push
jobs:
  wide: {strategy: {max-parallel: 1, matrix: {v: [1, 2]}}, uses: ./called.yml, with: {v: "${{ matrix.v }}"}}
  after: {needs: wide, if: always(), runs-on: linux, steps: [{run: a, timeout-minutes: 1}]}
""",
    "calls in turn": """
on: push
jobs:
  one: {concurrency: slot-1, uses: ./alone.yml, with: {group: "${{ github.run_number == '2' && 'slot-1' || 'deploy' }}"}}
  wide:
    strategy: {fail-fast: true, matrix: {v: [1, 2, 3]}}
    concurrency: {group: "slot-${{ matrix.v }}", cancel-in-progress: "${{ github.run_number == '4' }}"}
    uses: ./alone.yml
    with: {group: "deploy-${{ matrix.v }}"}
  after: {needs: [one, wide], if: always(), runs-on: linux, steps: [{run: a, timeout-minutes: 1}]}
""",
    "follower": """
on: {workflow_run: {workflows: [short, follower], types: [completed]}}
jobs:
  only: {runs-on: linux, steps: [{run: a}]}
""",
    "called.yml": """
on: {workflow_call: {inputs: {v: {type: number}}, outputs: {o: {value: "${{ fromJSON(jobs.a.outputs.list) }}"}}}}
jobs:
  a: {runs-on: linux, steps: [{run: a}]}
  b: {needs: a, if: always(), runs-on: linux, concurrency: "slot-${{ inputs.v }}", steps: [{run: a}]}
""",
    "alone.yml": """
on: {workflow_call: {inputs: {group: {type: string}}}}
concurrency: "${{ inputs.group }}"
jobs:
  a: {runs-on: linux, steps: [{run: a}]}
  deeper: {needs: a, uses: ./called.yml, with: {v: 2}, concurrency: deeper}
""",
}
DEADLINES: tuple[Any, ...] = ("step", "cancel", "job", "accept", "lease", "queue", "retry", "run")
SECONDS = (*(1, 5, 29, 31, 121, 700, 90_000) * 4, 40 * 86_400)
ORIGIN = Origin("default", "someone", command=ids.command_id("test", "1"))


@cache
def gathered(path: str) -> tuple[Workflow, bytes]:
    """A workflow with what it calls, and its plan. Read once: every history triggers the same few."""
    read, problems = reader.read(path, WORKFLOWS[path])
    assert read is not None, problems
    workflow = gather(read, WORKFLOWS).workflow
    return workflow, msgspec.json.encode(workflow)


def drive(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("nothing here may wait")


class World:
    """One store with its history so far, and counts of what was reached."""

    def __init__(self, draw: Callable[[int], int]) -> None:
        self.draw = draw
        self.store = MemoryEventStore()
        self.blobs = MemoryBlobs()
        self.clock = FixedClock()
        self.handler = Handler(self.store, self.clock, self.blobs)
        self.handler.subscribe(self.events_of)
        self.log: list[Recorded] = []
        self.jobs: list[UUID] = []
        self.specs: dict[UUID, JobCreated] = {}
        self.skipped: list[UUID] = []
        self.runs: list[UUID] = []
        self.runners = [ids.runner_id("default", f"r{n}") for n in range(3)]
        self.reached: Counter[str] = Counter()
        self.reruns = 0
        self.last: Any = (None, ORIGIN)

    def events_of(self, events: tuple[Recorded, ...]) -> None:
        """Keep the log, and know the jobs and runs that appear in it."""
        self.log.extend(events)
        for event in events:
            self.reached[f"event {event.type}"] += 1
            if event.type == "JobCreated":
                self.jobs.append(event.stream)
                self.specs[event.stream] = event.data
            if event.type == "JobSkipped":
                self.skipped.append(event.stream)
            if event.type == "RunTriggered":
                self.runs.append(event.stream)

    def send(self, command: Any, origin: Origin = ORIGIN) -> Outcome:
        """Handle one command from outside and count what came of it."""
        self.last = (command, origin)
        known = len(self.log)
        outcome = drive(self.handler.handle(command, origin))
        self.react(known)
        if outcome.refusal:
            self.reached[f"refusal {outcome.refusal.code}"] += 1
        if isinstance(outcome.state, Run):
            self.reached[f"run {outcome.state.conclusion or 'open'}"] += 1
        elif isinstance(command, c.AnyJobCommand):
            self.reached[f"job {name(outcome.state)}"] += 1
        return outcome

    def react(self, known: int) -> None:
        """What the reactor carries out of the events that came after the first `known` ones."""
        while known < len(self.log):
            event = self.log[known]
            known += 1
            if isinstance(event.data, (*reactions.AFTERWARDS, *followers.FOLLOWED)):
                run = drive(self.handler.state(event.stream, "run"))
                commands: tuple[Any, ...] = reactions.afterwards(run, event.data)
                commands += drive(following(self.blobs, self.handler.sources, run, event))
                origin = Origin("default", "system", cause=event.id, correlation=event.meta.correlation)
                drive(self.handler.handle_all(commands, origin))

    def pick(self, items: Any) -> Any:
        """One of them."""
        return items[self.draw(len(items))]

    def step(self) -> None:
        """One thing happens."""
        if not self.runs or self.draw(12) == 0:
            self.trigger()
            return
        getattr(self, self.pick(ACTIONS))()

    def trigger(self) -> None:
        """A push, sometimes one that came before, sometimes of a workflow that is switched off."""
        path = self.pick(tuple(WORKFLOWS)[:-3])
        command = self.triggered(path, f"{path}{self.draw(len(self.runs) + 1)}")
        self.send(asked.RegisterRepository(command.repository, "acme/pay", "local", f"/clone/{self.draw(2)}"))
        self.send(command)

    def triggered(self, path: str, key: str) -> r.TriggerRun:
        """A push that starts a run of the workflow at `path`."""
        workflow, plan = self.stored(path)
        follower, its_plan = self.stored("follower")
        listeners = [(Follower("follower", ids.derive("source").hex, its_plan), follower)]
        payload = drive(self.blobs.put(b"{}"))
        repository = ids.repository_id("default", "local", "acme/pay")
        return r.TriggerRun(
            run=ids.run_id("default", key),
            repository=repository,
            repository_name="acme/pay",
            workflow=ids.workflow_id("default", repository, path),
            workflow_path=path,
            event="push",
            ref="refs/heads/main",
            sha="0" * 40,
            source=ids.derive("source", path, self.draw(2)).hex,
            source_url="/nowhere",
            plan=plan,
            payload=payload,
            payload_bytes=2,
            request="same",
            workflow_ast=workflow,
            followers=followers.fixed(path, 0, listeners),
        )

    def stored(self, path: str) -> tuple[Workflow, str]:
        """A workflow with what it calls, and the digest of its plan."""
        workflow, content = gathered(path)
        return workflow, drive(self.blobs.put(content))

    def switch(self) -> None:
        """A workflow is enabled or disabled, known or not, sometimes only in a version that it had once."""
        repository = ids.repository_id("default", "local", "acme/pay")
        path = self.pick((*tuple(WORKFLOWS)[:2], "unknown"))
        for _ in range(3):
            versions = (1,) if self.draw(4) == 0 else None
            self.send(asked.SetWorkflowEnabled(ids.workflow_id("default", repository, path), self.draw(2) > 0, versions))
        name = self.pick(("acme/pay", "acme/pay", "acme/unknown"))
        change = asked.ChangeRepository(ids.repository_id("default", "local", name), self.pick((None, "", "max=5 on=lost,failed", "max=2")))
        self.send(msgspec.structs.replace(change, new_secret=self.draw(3) == 0, clone_url=self.pick((None, "/clone/2"))))

    def listing(self) -> None:
        """Workflows are listed with a text or without, and removed, sometimes with all of their repository."""
        repository = ids.repository_id("default", "local", self.pick(("acme/pay", "acme/pay", "acme/other")))
        for _ in range(4):
            path = self.pick((*tuple(WORKFLOWS)[:2], "unknown"))
            workflow = ids.workflow_id("default", repository, path)
            versions = (1,) if self.draw(6) == 0 else None
            match self.draw(8):
                case 0:
                    self.send(asked.RemoveRepository(repository, versions))
                case 1 | 2:
                    self.send(asked.RemoveWorkflow(workflow, versions))
                case _:
                    self.send(asked.ListWorkflow(repository, workflow, path, path, self.pick(("", "t1", "t2"))))

    def deliver(self) -> None:
        """A delivery arrives, again, with other bytes; is deferred, answered with a run or none, ignored; or there is none."""
        repository = ids.repository_id("default", "local", "acme/pay")
        for _ in range(4):
            key = str(self.draw(len(self.runs) + 3))
            delivery = ids.delivery_id("default", "github", "acme/pay", key)
            facts = WebhookReceived("github", "push", key, repository, "acme/pay", "b" if self.draw(8) == 0 else "a", 2)
            match self.draw(12):
                case 0 | 1 | 2 | 3 | 4:
                    self.send(ReceiveWebhook(delivery, facts, "a star" if self.draw(8) == 0 else ""))
                case 5 | 6 | 7:
                    self.send(DeferDelivery(delivery, "the forge is away"))
                case 8:
                    self.send(IgnoreDelivery(delivery, "there is nothing"))
                case _:
                    runs = (self.triggered("short", f"webhook{key}"),) if self.draw(2) else ()
                    self.send(AnswerDelivery(delivery, runs, ()))

    def statuses(self) -> None:
        """A commit's status is wanted, again, late; told, put off for a while or for good; or nobody wanted it."""
        repository = ids.repository_id("default", "local", "acme/pay")
        for _ in range(4):
            sha = self.pick(("a" * 40, "a" * 40, "b" * 40))
            status = ids.commit_status_id(repository, sha, "ci")
            after = self.draw(6)
            wanted = commit_status.CommitStatusWanted(
                repository, "acme/pay", sha, "ci", "pending", "it is under way", self.pick(self.runs), 1, after
            )
            final = self.draw(4) == 0
            self.send(
                self.pick(
                    (
                        commit_status.WantCommitStatus(status, wanted),
                        commit_status.NoteCommitStatusTold(status, after),
                        commit_status.DeferCommitStatus(status, after, "the forge is away", 0, final),
                    )
                )
            )

    def schedules(self) -> None:
        """A schedule is read, advanced in time or late, also by two; a workflow is switched off meanwhile; or there is none."""
        repository = ids.repository_id("default", "local", self.pick(("acme/pay", "acme/pay", "acme/other")))
        stream = ids.schedule_id(repository)
        for _ in range(3):
            known: schedule.Schedule | None = drive(self.handler.latest(stream, "schedule"))
            if self.draw(4) == 0:
                self.send(schedule.RequestScheduleRead(stream, repository))
                continue
            now = self.clock.advance(self.pick((30, 400, 4000)))
            firing, passed = schedule.due(known, now) if known is not None else ([], [])
            keys = [(entry, at, schedule.trigger_key(repository, entry, at)) for entry, at in firing]
            runs = tuple(schedule.Firing(entry, at, self.triggered(entry.workflow, key)) for entry, at, key in keys)
            entries = self.pick(((), ENTRIES[:1], ENTRIES, ENTRIES))
            version = known.version if known is not None else 0
            command = schedule.AdvanceSchedule(stream, version, now, "0" * 40, entries, runs, tuple(passed))
            for _ in range(1 + self.draw(2)):
                self.send(command)

    def runner(self) -> None:
        """Runners register, come, go, pause; one is unknown."""
        for _ in range(4):
            runner = self.pick((*self.runners, self.runners[0], ids.runner_id("default", "unknown")))
            if self.draw(2) == 0 and runner in self.runners:
                slots = self.pick((1, 2, 1, 2, 1, 2, 0, 1_000_000))
                self.send(r.RegisterRunner(runner, "r", ("linux",), slots, "linux", "x64", "0"))
                self.send(r.ClaimSlots(runner, self.draw(3), self.draw(2)))
            else:
                changes = ("online", "offline", "pause", "resume") * 3 + ("drain", "retire")
                versions = (1,) if self.draw(6) == 0 else None
                self.send(r.NoteRunner(runner, self.pick(changes), "x", versions))

    def joins(self) -> None:
        """Runners join by registrations, in time or late, once or more often, with labels that they were given or not."""
        for _ in range(3):
            registration = ids.registration_id("default", ids.derive("registration", self.draw(40)))
            if self.draw(3) == 0:
                labels = self.pick((("gpu",), ("gpu",), ("gpu",), ("gpu",), ("a,b",)))
                self.send(CreateRegistration(registration, "d", labels, self.pick(("default", "default", "other"))))
            self.clock.advance(self.pick((1, 1, 400)))
            runner = ids.runner_id("default", f"key {self.draw(4)}")
            key = self.pick(("key", "key", "key", "other"))
            facts = r.RegisterRunner(runner, "r", self.pick(((), (), ("gpu",), ("root",))), 1, "linux", "x64", "0", key=key)
            self.send(UseRegistration(registration, replace(facts, group=self.pick(("", "", "default", "wrong")))))

    def subscriptions(self) -> None:
        """Events are to be sent to some URL or to none; that is stopped, goes on, is signed anew, or ends."""
        for _ in range(6):
            stream = ids.subscription_id("default", ids.derive("subscription", self.draw(6)))
            if self.draw(2) == 0:
                types = self.pick((("RunCompleted",), ("RunCompleted",), ("*",), ()))
                self.send(CreateSubscription(stream, self.pick(("https://a.example/",) * 3 + ("ftp://a.example/",)), types))
            versions = (1,) if self.draw(4) == 0 else None
            self.send(ChangeSubscription(stream, self.pick((None, True, False)), "x", self.draw(2) == 0, versions))
            if self.draw(8) == 0:
                self.send(DeleteSubscription(stream))

    def access(self) -> None:
        """Tokens are made, used, revoked, and outlive their time; a group of runners serves others."""
        for _ in range(3):
            token = ids.token_id("default", ids.derive("token", self.draw(10)))
            if self.draw(2) == 0:
                lifetime = self.pick((None, 3600, 3600, 0))
                self.send(CreateToken(token, "t", self.pick(("admin", "viewer")), "d", lifetime))
            self.send(NoteTokenUse(token))
            if self.draw(4) == 0:
                self.send(RevokeToken(token, "", (1,) if self.draw(3) == 0 else None))
            name = self.pick(("a", "a", ""))
            group = ids.runner_group_id("default", name)
            self.send(ChangeRunnerGroup(group, name, self.pick((None, (token,)))))

    def live(self) -> list[tuple[UUID, Acquired | Running]]:
        """The jobs that a runner holds."""
        states = [(job, drive(self.handler.state(job, "job"))) for job in self.jobs[-12:]]
        return [(job, state) for job, state in states if isinstance(state, Acquired | Running)]

    def acquire(self) -> None:
        """A runner takes a job, or one that is not to be had."""
        job = self.pick((*self.jobs[-6:], self.pick(self.jobs)))
        labels = self.pick((("linux", "gpu"), ("linux", "gpu"), ("linux",)))
        self.send(c.AcquireJob(job, self.pick(self.runners), "r", labels, 30, 120))

    def _fence(self, job: UUID, state: Acquired | Running) -> tuple[Any, ...]:
        """The live fence, now and then a foreign or an old one."""
        lease = state.lease
        fences = [(job, lease.runner, lease.attempt, lease.epoch, lease.lease)] * 12
        fences.append((job, lease.runner, lease.attempt, lease.epoch - 1, lease.lease))
        fences.append((job, self.pick(self.runners), lease.attempt, lease.epoch, ids.lease_id(job, 99)))
        return self.pick(fences)

    def work(self) -> None:
        """A runner goes on with what it holds: it starts, runs steps, reports, and sometimes lies."""
        held = self.live()
        if not held:
            self.acquire()
            return
        job, state = self.pick(held)
        fence = self._fence(job, state)
        if isinstance(state, Acquired) and self.draw(8):
            self.send(c.StartJob(*fence))
            return
        if isinstance(state, Running) and any(step.background for step in state.life.spec.steps) and self.draw(8):
            self.work_beside(fence, state)
            return
        planned = len(state.life.spec.steps)
        done = len(state.done_steps) if isinstance(state, Running) else 0
        if done < planned and self.draw(8):
            seq = 2 * done + 1 + (self.draw(12) == 0)
            at = self.clock.now()
            outcome = self.pick(("success",) * 6 + ("failure", "skipped"))
            index = done + (self.draw(15) == 0)
            made = (Subject(f"dist/{index}.tar", f"{index:064x}"),) if outcome == "success" else ()
            both = (c.StepTransition(index, at), c.StepTransition(index, at, outcome, outcome, 0, ended_at=at, subjects=made))
            self.send(c.ReportSteps(*fence, seq, both if self.draw(2) else both[:1]))
            return
        bad = isinstance(state, Running) and "failure" in state.done_steps.values()
        conclusions = ("failure",) if bad and self.draw(6) else ("success",) * 6 + ("failure", "timed_out", "cancelled")
        outputs = {"list": "[]"} if self.draw(2) else {}
        self.send(c.ReportAttempt(*fence, self.pick(conclusions), "", f"{job}{state.lease.epoch}", outputs))

    def work_beside(self, fence: Any, state: Running) -> None:
        """Some step begins or ends, mostly the earliest that may."""
        left = [step for step in state.life.spec.steps if step.index not in state.done_steps]
        if not left:
            return
        step = left[min(self.draw(len(left)), self.draw(len(left)))]
        at = self.clock.now()
        outcome = "cancelled" if step.id == "server" and self.draw(2) else "success"
        end = c.StepTransition(step.index, at, outcome, outcome, 0, ended_at=at)
        self.send(
            c.ReportSteps(*fence, state.transitions + 1, (end if step.index in state.open_steps else c.StepTransition(step.index, at),))
        )

    def heartbeat(self) -> None:
        """A lease is renewed, by its holder or by somebody else."""
        for job, state in self.live()[:1]:
            self.send(c.RecordHeartbeat(*self._fence(job, state), 30))

    def segments(self) -> None:
        """Log lines are stored; sometimes a segment is missing before them."""
        for job, state in self.live()[:1]:
            number = state.segments + 1 + (self.draw(4) == 0)
            segment = c.Segment(number, 1, 10, 100, "a" * 64)
            self.send(c.StoreLogSegments(*self._fence(job, state), (segment,)))

    def outage(self) -> None:
        """The server extends a lease that it could not hear of."""
        for job, state in self.live()[:1]:
            self.clock.advance(self.pick((1, 31)))
            self.send(c.ExtendLease(job, state.lease.epoch, 30, "outage"))

    def vanish(self) -> None:
        """A runner says that it lost what it held."""
        for job, state in self.live()[:1]:
            self.send(c.ReportLost(job, state.lease.epoch - (self.draw(3) == 0), "runner_restarted"))

    def tick(self) -> None:
        """Time passes, and deadlines are looked at."""
        self.clock.advance(self.pick(SECONDS))
        first = min(self.draw(len(DEADLINES)), self.draw(len(DEADLINES)))  # the first kinds are the rare ones
        going = [job for job in self.jobs[-4:] if not isinstance(drive(self.handler.state(job, "job")), Done)]
        for kind in DEADLINES[first:] + DEADLINES[:first]:
            for about in {"run": self.runs[-4:], "job": self.jobs[-4:]}.get(kind, going):
                outcome = self.send(r.ExpireRun(about) if kind == "run" else c.Expire(about, kind))
                self.reached[f"deadline {kind}"] += bool(outcome.events)

    def cancel_job(self) -> None:
        """Somebody cancels a job, often one that a runner holds."""
        held = [job for job, _ in self.live()]
        job = self.pick(held) if held and self.draw(2) else self.pick(self.jobs)
        self.send(c.CancelJob(job, "by hand", force=self.draw(4) == 0))

    def cancel_run(self) -> None:
        """Somebody cancels a run, and the reactor carries it to the jobs; or a run that is not there."""
        run = self.pick((*self.runs, ids.run_id("default", "unknown")))
        outcome = self.send(r.CancelRun(run, "by hand", force=self.draw(4) == 0))
        if isinstance(outcome.state, Run):
            for job in outcome.state.live_jobs():
                self.send(c.CancelJob(job, "by hand"))

    def rerun(self) -> None:
        """Somebody asks for another run attempt: of all, of what failed, of one job that may be a wrong one."""
        over = [run for run in self.runs if drive(self.handler.state(run, "run")).conclusion]
        run = self.pick(over) if over and self.draw(4) else self.pick(self.runs)
        scope = self.pick(("all", "failed", "failed", "job", "job"))
        jobs = self.skipped if self.draw(2) else self.jobs
        specs = [self.specs[job] for job in jobs if self.specs[job].run == run]
        spec = self.pick(specs) if specs and self.draw(8) else None
        command = r.RerunRun(run, scope, spec.key if spec else "unknown", spec.instance if spec else "")
        self.reruns += self.draw(8) > 0
        self.send(command, Origin("default", "someone", command=ids.command_id("rerun", str(self.reruns))))

    def stranger(self) -> None:
        """Commands about what does not exist, or does not belong."""
        job = ids.job_id(self.pick(self.runs), 1, "unknown", "")
        self.send(c.CancelJob(job, "x"))
        self.send(r.ConcludeJob(self.pick(self.runs), 1, job, "unknown", "success"))

    def refused(self) -> None:
        """A refusal is kept for the audit."""
        self.send(r.RecordRefusal(ids.audit_id("default", "2026-03-01"), "cancel", "x", "already_done", "it is over"))

    def again(self) -> None:
        """The last command arrives a second time, as it does when its answer was lost."""
        self.send(*self.last)

    def late(self) -> None:
        """What a runner that was cut off sends, or had on its way, arrives when the job is over, and perhaps its run too."""
        ended = [job for job in self.jobs[-12:] if isinstance(drive(self.handler.state(job, "job")), Done)]
        if ended:
            job = self.pick(ended)
            runner = self.pick(self.runners)
            fence = (job, runner, 1, 1, ids.lease_id(job, 1))
            lines = (c.Segment(1, 1, 10, 100, "a" * 64),)
            self.send(
                self.pick(
                    (c.ReportAttempt(*fence, "success", "", "late"), c.StoreLogSegments(*fence, lines), c.RecordHeartbeat(*fence, 30))
                )
            )

    def breaches(self) -> list[Breach]:
        """What the checker says about the whole log."""
        return check(self.log)


ENTRIES = (schedule.Entry("short", "*/5 * * * *"), schedule.Entry("short", "7,37 * * * *", "Europe/Berlin"))

ACTIONS = (
    *("acquire",) * 6,
    *("work",) * 14,
    *("tick",) * 4,
    "heartbeat",
    "segments",
    "outage",
    "vanish",
    "cancel_job",
    "cancel_run",
    *("rerun",) * 2,
    "stranger",
    "switch",
    "listing",
    *("deliver",) * 2,
    "schedules",
    *("statuses",) * 2,
    "runner",
    "runner",
    *("joins",) * 2,
    "access",
    "subscriptions",
    "refused",
    "again",
    "late",
)
