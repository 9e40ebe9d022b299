"""Invariants 5 and 6: nothing is queued before its needs are met; a run attempt completes once, after all its jobs."""

from collections.abc import Iterator
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.invariants.job import Account, Finding, JobLedger
from domain.job import events as job
from domain.run import events as e
from domain.workflow.calls import caller_of, prefix_of

InAttempt = (
    e.RunPlanned
    | e.RunHeld
    | e.RunAdmitted
    | e.NodeExpanded
    | e.NodeCalled
    | e.CallHeld
    | e.CallAdmitted
    | e.CallCancellationRequested
    | e.CallConcluded
    | e.JobHeld
    | e.JobAdmitted
    | e.RunClockStopped
    | e.RunClockResumed
    | e.NodeSkipped
    | e.NodeFailed
    | e.JobConcluded
    | e.RunCancellationRequested
    | e.RunCompleted
)
"""The events that belong to one run attempt."""


class Progress(msgspec.Struct):
    """One run attempt as the checker sees it. results: node or call to its result once all its jobs are concluded.

    done: the results of its jobs that are over; carried: those of an earlier run attempt that it takes over.
    calls: of each node that calls a workflow, the nodes of each call by its prefix. held: jobs that may not be queued;
    limits: how many jobs of a node may be under way; waiting: the whole run is held.
    declared: how many concurrency groups a call, by its prefix, has to hold, and groups: how many it does not yet; asked:
    the calls whose end is wanted.
    """

    nodes: dict[str, e.PlannedNode]
    carried: dict[UUID, str] = {}
    done: dict[UUID, str] = {}
    open: dict[str, dict[UUID, str]] = {}
    results: dict[str, str] = {}
    calls: dict[str, dict[str, tuple[str, ...]]] = {}
    held: dict[UUID, str] = {}
    limits: dict[str, int] = {}
    declared: dict[str, int] = {}
    groups: dict[str, int] = {}
    asked: set[str] = set()
    waiting: bool = False
    cancelled: bool = False
    conclusion: str = ""


class RunLedger:
    """All runs of a log."""

    def __init__(self, jobs: JobLedger) -> None:
        self._jobs = jobs
        self._runs: dict[tuple[UUID, int], Progress] = {}
        self._reruns: dict[tuple[UUID, int], e.RunRerunRequested] = {}
        self._node_of: dict[UUID, tuple[UUID, int, str]] = {}

    def see(self, event: Recorded) -> Iterator[Finding]:
        """The findings about one event of a run, or about the queueing of one of its jobs."""
        data = event.data
        if isinstance(data, job.JobQueued):
            yield from self._queued(event)
            return
        if isinstance(data, e.RunRerunRequested):
            yield from self._rerun(event.stream, data)
            return
        if not isinstance(data, InAttempt):
            return
        if isinstance(data, e.RunPlanned):
            yield from self._planned(event.stream, data)
            return
        run = self._runs.get((event.stream, data.run_attempt))
        if run is None:
            yield 6, f"{event.type} of run attempt {data.run_attempt}, which was never planned"
            return
        if run.conclusion:
            yield 6, f"{event.type} after the run attempt completed"
        yield from self._apply(run, event)

    def _rerun(self, run: UUID, data: e.RunRerunRequested) -> Iterator[Finding]:
        before = self._runs.get((run, data.run_attempt - 1))
        if (run, data.run_attempt) in self._reruns:
            yield 6, f"run attempt {data.run_attempt} was asked for twice"
        if before is None or not before.conclusion:
            yield 6, f"run attempt {data.run_attempt} was asked for before run attempt {data.run_attempt - 1} had completed"
        foreign = [str(job) for job in data.carried if before is not None and job not in before.done]
        if foreign:
            yield 6, f"run attempt {data.run_attempt} carries jobs over that are not done: {', '.join(foreign)}"
        self._reruns[run, data.run_attempt] = data

    def _planned(self, run: UUID, data: e.RunPlanned) -> Iterator[Finding]:
        progress = Progress({node.key: node for node in data.nodes})
        if (run, data.run_attempt) in self._runs:
            yield 6, f"run attempt {data.run_attempt} was planned twice"
        again = self._reruns.get((run, data.run_attempt))
        before = self._runs.get((run, data.run_attempt - 1))
        if data.run_attempt > 1 and (again is None or before is None):
            yield 6, f"run attempt {data.run_attempt} was planned and nobody had asked for it"
        elif again is not None and before is not None:
            progress.carried = {job: before.done[job] for job in again.carried if job in before.done}
            progress.done = dict(progress.carried)
            progress.results = {key: before.results[key] for key in progress.nodes if key not in again.jobs and key in before.results}
            _keep_calls(progress, before, again)
        self._runs[run, data.run_attempt] = progress

    def _apply(self, run: Progress, event: Recorded) -> Iterator[Finding]:
        data = event.data
        match data:
            case e.RunHeld() | e.RunAdmitted():
                run.waiting = isinstance(data, e.RunHeld)
            case e.JobHeld():
                run.held[data.job] = data.reason
                if data.limit:
                    run.limits[data.node] = data.limit
            case e.JobAdmitted():
                if run.held.pop(data.job, None) is None:
                    yield 5, f"job {data.job} was let in and had not been held back"
            case e.NodeExpanded():
                if run.waiting:
                    yield 5, f"node {data.node} was opened while its run waits for a concurrency group"
                yield from self._ready(run, data.node)
                yield from self._entered(run, data.node)
                yield from self._condition(run, data.node)
                run.open[data.node] = {instance.job: run.carried.get(instance.job, "") for instance in data.instances}
                for job, result in run.open[data.node].items():
                    if not result:
                        self._node_of[job] = (event.stream, data.run_attempt, data.node)
                _settle(run, data.node)
            case e.NodeCalled():
                yield from self._ready(run, data.node)
                yield from self._entered(run, data.node)
                yield from self._condition(run, data.node)
                run.calls[data.node] = {call.prefix: tuple(node.key for node in call.nodes) for call in data.calls}
                run.nodes.update((node.key, node) for call in data.calls for node in call.nodes)
                run.declared.update((call.prefix, len(call.groups)) for call in data.calls)
                run.groups.update((call.prefix, len(call.groups)) for call in data.calls)
            case e.CallAdmitted():
                if not run.groups.get(data.call):
                    yield 5, f"call {data.call} was let in and had not been held back"
                run.groups[data.call] = run.groups.get(data.call, 0) - 1
            case e.CallCancellationRequested():
                run.asked.add(data.call)
            case e.CallConcluded():
                yield from self._call_concluded(run, data)
            case e.NodeSkipped() | e.NodeFailed():
                yield from self._ready(run, data.node)
                run.results[data.node] = run.done[data.job] = "skipped" if isinstance(data, e.NodeSkipped) else "failure"
            case e.JobConcluded():
                yield from self._concluded(run, data)
            case e.RunCancellationRequested():
                run.cancelled = True
            case e.RunCompleted():
                yield from self._completed(run, data)
            case _:
                pass

    def _entered(self, run: Progress, node: str) -> Iterator[Finding]:
        """No node opens while a call that it is within waits for a concurrency group."""
        prefix = prefix_of(node)
        while prefix:
            if run.groups.get(prefix):
                yield 5, f"node {node} was opened while the call {prefix} waits for a concurrency group"
            prefix = prefix_of(caller_of(prefix))

    def _ready(self, run: Progress, node: str) -> Iterator[Finding]:
        planned = run.nodes.get(node)
        if planned is None:
            yield 5, f"node {node} is not in the plan"
            return
        if node in run.open or node in run.calls or node in run.results:
            yield 5, f"node {node} was opened twice"
        waiting = [key for key in planned.needs if key not in run.results]
        if waiting:
            yield 5, f"node {node} was opened before its needs {', '.join(waiting)} were done"

    def _condition(self, run: Progress, node: str) -> Iterator[Finding]:
        """A node without an `if:` runs only when everything before it succeeded."""
        planned = run.nodes.get(node)
        if planned is None or planned.condition:
            return
        if run.cancelled:
            yield 5, f"node {node} has no `if:` and was opened in a cancelled run"
        bad = [key for key in planned.needs if run.results.get(key) in ("failure", "cancelled", "skipped")]
        if bad:
            yield 5, f"node {node} has no `if:` and was opened although {', '.join(bad)} did not succeed"

    def _call_concluded(self, run: Progress, data: e.CallConcluded) -> Iterator[Finding]:
        calls = run.calls.get(data.node, {})
        children = calls.get(data.call)
        if children is None or data.call in run.results:
            yield 6, f"{data.call} is not an open call of node {data.node}"
            return
        missing = [key for key in children if key not in run.results]
        if missing:
            yield 6, f"the call {data.call} was concluded before its nodes {', '.join(missing)}"
        expected = _worst([run.results.get(key, "") for key in children])
        if run.groups.get(data.call) or (data.call in run.asked and expected != "success"):
            expected = "cancelled"
        if data.result != expected and not data.message:
            yield 6, f"the call {data.call} is concluded {data.result}; its jobs make it {expected}"
        run.results[data.call] = data.result
        if all(prefix in run.results for prefix in calls):
            run.results[data.node] = _worst([run.results[prefix] for prefix in calls])

    def _queued(self, event: Recorded) -> Iterator[Finding]:
        place = self._node_of.get(event.stream)
        if place is None:
            yield 5, "the job was queued although no node of its run was expanded to it"
            return
        identity, run_attempt, node = place
        run = self._runs[identity, run_attempt]
        if run.conclusion:
            yield 6, "the job was queued after its run attempt completed"
        if event.stream in run.held:
            yield 5, f"the job was queued while it is held back ({run.held[event.stream]})"
        limit = run.limits.get(node, 0)
        if limit:
            under_way = [job for job, result in run.open[node].items() if not result and run.held.get(job) != "max_parallel"]
            if len(under_way) > limit:
                yield 5, f"{len(under_way)} jobs of node {node} are under way, and max-parallel is {limit}"

    def _concluded(self, run: Progress, data: e.JobConcluded) -> Iterator[Finding]:
        jobs = run.open.get(data.node, {})
        if jobs.get(data.job) != "":
            yield 6, f"job {data.job} is not an open job of node {data.node}"
            return
        account = self._jobs.get(data.job)
        if account is None or account.conclusion != data.conclusion:
            said = account.conclusion if account and account.conclusion else "not done"
            yield 6, f"the run says that job {data.job} is {data.conclusion}; the job says {said}"
        if account is not None:
            yield from _as_concluded(account, data)
        jobs[data.job] = run.done[data.job] = data.result
        run.held.pop(data.job, None)
        _settle(run, data.node)

    def _completed(self, run: Progress, data: e.RunCompleted) -> Iterator[Finding]:
        missing = [key for key in run.nodes if key not in run.results]
        if missing:
            yield 6, f"the run completed before its nodes {', '.join(missing)}"
        expected = _worst(list(run.results.values()))
        if run.cancelled and (expected != "success" or run.waiting):
            expected = "cancelled"
        if not missing and data.conclusion != expected:
            yield 6, f"the run is concluded {data.conclusion}; its jobs make it {expected}"
        run.conclusion = data.conclusion


def _as_concluded(account: Account, data: e.JobConcluded) -> Iterator[Finding]:
    """Outputs are the job's own; the result is its conclusion, unless `continue-on-error` lets a failure pass."""
    if account.outputs != data.outputs:
        yield 6, f"the run has outputs of job {data.job} that the job does not have"
    if account.spec.key != data.node:
        yield 6, f"job {data.job} of node {account.spec.key} was concluded for node {data.node}"
    result = "failure" if data.conclusion == "timed_out" else data.conclusion
    if result == "failure" and account.spec.continue_on_error:
        result = "success"
    if data.result != result:
        yield 6, f"job {data.job} ended {data.conclusion} and counts as {data.result}"


def _keep_calls(run: Progress, before: Progress, again: e.RunRerunRequested) -> None:
    """A call of which something is carried over is not made again; it is over only if nothing of it runs again."""
    for caller, calls in before.calls.items():
        if any(key in run.nodes for keys in calls.values() for key in keys):
            run.calls[caller] = calls
            run.declared.update((prefix, before.declared.get(prefix, 0)) for prefix in calls)
            run.groups.update((prefix, run.declared[prefix]) for prefix in calls)
            over = [prefix for prefix in calls if not any(key.startswith(f"{prefix}/") for key in again.jobs)]
            run.results.update((prefix, before.results[prefix]) for prefix in over if prefix in before.results)


def _settle(run: Progress, node: str) -> None:
    """The node has its result once all its jobs have theirs."""
    results = list(run.open[node].values())
    if all(results):
        run.results[node] = _worst(results)


def _worst(results: list[str]) -> str:
    for worst in ("failure", "cancelled"):
        if worst in results:
            return worst
    return "skipped" if results and all(result == "skipped" for result in results) else "success"
