"""Planning: the nodes of a workflow, and what each becomes once its needs are done.

Pure functions of recorded facts, so that replay plans the same. A node is expanded late, because its matrix, name and
labels may read the outputs of its needs; whatever fails then makes the node Broken, never an exception.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from domain.job.events import PlannedStep, Trace
from domain.retry import RetryPolicy
from domain.run.events import PlannedNode
from domain.workflow import calls, step_order
from domain.workflow import contexts as shaping
from domain.workflow import matrix as matrices
from domain.workflow.calls import Call
from domain.workflow.diagnostics import Diagnostic
from domain.workflow.evaluation import Concurrency, Evaluator, PlanError
from domain.workflow.expression_error import ExpressionError
from domain.workflow.expressions import condition_expression, trace_condition
from domain.workflow.model import Job, Step, Workflow
from domain.workflow.narrowing import with_needs

STEP_NAME_LENGTH_MAX = 200


class Instance(msgspec.Struct, frozen=True):
    """One job that a node becomes. instance: canonical JSON of the matrix values, "" without a matrix."""

    instance: str
    matrix: dict[str, Any]
    name: str
    labels: tuple[str, ...]
    timeout_seconds: float
    cancel_timeout_seconds: float
    continue_on_error: bool
    retry: RetryPolicy
    steps: tuple[PlannedStep, ...]
    concurrency: Concurrency | None = None


class Expanded(msgspec.Struct, frozen=True):
    """The node's condition holds; these are its jobs. trace: the values of the condition's parts.

    max_parallel: how many of them may be under way at once; None: all.
    """

    instances: tuple[Instance, ...]
    trace: tuple[Trace, ...] = ()
    fail_fast: bool = True
    max_parallel: int | None = None


class Called(msgspec.Struct, frozen=True):
    """The node's condition holds; it calls a workflow, once for each combination of its matrix."""

    calls: tuple[Call, ...]
    trace: tuple[Trace, ...] = ()
    fail_fast: bool = True
    max_parallel: int | None = None


class Skipped(msgspec.Struct, frozen=True):
    """The node does not run. reason: "needs" where a job before it did not succeed, else "condition"."""

    reason: str
    condition: str
    trace: tuple[Trace, ...] = ()


class Broken(msgspec.Struct, frozen=True):
    """The node cannot be expanded; it counts as failed."""

    diagnostic: Diagnostic


Contexts = Mapping[str, Any]


def nodes(workflow: Workflow, only: tuple[str, ...] = (), call: Call | None = None) -> tuple[PlannedNode, ...]:
    """The DAG in topological order, as near to the file's order as that allows. only: these jobs and all they need.

    call: the call that these nodes belong to, where the workflow is a called one.
    """
    ordered: dict[str, PlannedNode] = {}
    waiting = [workflow.jobs[key] for key in with_needs(workflow.jobs, only)]
    while waiting:
        ready = [job for job in waiting if all(need in ordered for need in job.needs)]
        assert ready, "the reader refuses needs in a circle"  # noqa: S101 - the impossible is an assertion
        ordered.update((job.key, _node(job)) for job in ready)
        waiting = [job for job in waiting if job.key not in ordered]
    return tuple(ordered.values()) if call is None else tuple(_within(call, node) for node in ordered.values())


def _within(call: Call, node: PlannedNode) -> PlannedNode:
    needs = tuple(calls.key_in(call.prefix, need) for need in node.needs)
    return replace(node, key=calls.key_in(call.prefix, node.key), name=f"{call.name} / {node.name}", needs=needs)


def _node(job: Job) -> PlannedNode:
    strategy = job.strategy
    has_matrix = strategy is not None and (strategy.matrix is not None or strategy.whole is not None)
    return PlannedNode(
        key=job.key,
        name=job.name if job.name and "${{" not in job.name else job.key,
        needs=job.needs,
        condition=job.condition,
        matrix=has_matrix,
    )


def expand(
    workflow: Workflow,
    key: str,
    contexts: Contexts,
    ancestors: Mapping[str, str],
    *,
    cancelled: bool = False,
    matrix_filter: Mapping[str, tuple[str, ...]] | None = None,
    retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
) -> Expanded | Called | Skipped | Broken:
    """What the node `key` becomes now that all its needs are done.

    contexts: github, inputs, vars and needs. ancestors: results of all transitive needs, which the status functions look
    at. matrix_filter: keep only combinations with one of these values (as text) for each axis that they have. retry: the
    policy of jobs that do not set their own.
    """
    root = workflow
    workflow, job = calls.definition(root, key)
    functions = status_functions(ancestors, contexts.get("needs", {}), cancelled=cancelled)
    try:
        holds, trace = trace_condition(job.condition, contexts, functions)
    except ExpressionError as error:
        return Broken(PlanError("WF102", f'the `if` of job "{key}" failed: {error.message}', "if").diagnostic(workflow, job))
    if not holds:
        return _skipped(job, ancestors, trace)
    try:
        return _expanded(root, key, Evaluator(contexts), trace, matrix_filter or {}, retry=retry)
    except PlanError as error:
        return Broken(error.diagnostic(workflow, job))


def status_functions(ancestors: Mapping[str, str], needs: Mapping[str, Any], *, cancelled: bool) -> dict[str, Callable[..., bool]]:
    """success, failure, cancelled and always at the level of jobs; with arguments they look at those needs only."""

    def results(names: tuple[Any, ...]) -> list[str]:
        if not names:
            return list(ancestors.values())
        folded = {key.lower(): str(need.get("result", "")) for key, need in needs.items()}
        return [folded.get(str(name).lower(), "") for name in names]

    return {
        "success": lambda *names: not cancelled and all(result == "success" for result in results(names)),
        "failure": lambda *names: not cancelled and any(result == "failure" for result in results(names)),
        "cancelled": lambda: cancelled,
        "always": lambda: True,
    }


def _skipped(job: Job, ancestors: Mapping[str, str], trace: tuple[Trace, ...]) -> Skipped:
    """Needs are the reason where the condition asks for success of all and one has none."""
    condition = condition_expression(job.condition)
    missing = {name: result for name, result in ancestors.items() if result != "success"}
    if missing and condition.startswith("success()"):
        named = tuple(Trace(text=f"needs.{name}.result", value=f'"{result}"') for name, result in missing.items())
        return Skipped("needs", condition, trace + named)
    return Skipped("condition", condition, trace)


def _expanded(
    root: Workflow,
    key: str,
    evaluator: Evaluator,
    trace: tuple[Trace, ...],
    matrix_filter: Mapping[str, tuple[str, ...]],
    *,
    retry: RetryPolicy,
) -> Expanded | Called | Skipped:
    _, job = calls.definition(root, key)
    strategy = evaluator.strategy(job)
    combinations = strategy.combinations
    if matrix_filter and combinations:
        combinations = [each for each in combinations if _chosen(each, matrix_filter)]
        if not combinations:
            chosen = " ".join(f"{name}:{value}" for name, values in matrix_filter.items() for value in values)
            return Skipped("condition", f"matrix {chosen}", trace)
    total = max(len(combinations), 1)
    places = []
    for index, combination in enumerate(combinations or [{}]):
        context = shaping.strategy(fail_fast=strategy.fail_fast, index=index, total=total, max_parallel=strategy.max_parallel)
        places.append((combination, evaluator.within(combination, context)))
    if job.uses is None:
        instances = tuple(_instance(job, within, combination, retry) for combination, within in places)
        return Expanded(instances, trace, strategy.fail_fast, strategy.max_parallel)
    prefixes = [f"{key}.{index}" for index in range(len(combinations))] or [key]
    found = [_call(root, job, prefix, within, combination) for prefix, (combination, within) in zip(prefixes, places, strict=True)]
    return Called(tuple(found), trace, strategy.fail_fast, strategy.max_parallel)


def _call(root: Workflow, job: Job, prefix: str, evaluator: Evaluator, combination: dict[str, Any]) -> Call:
    called = root.called[job.uses or ""]
    name = _name(job, evaluator, combination)
    inputs = calls.inputs(called, job, evaluator, evaluator.base)
    return Call(prefix, name, combination, inputs, calls.groups(called, job, evaluator, inputs))


def _chosen(combination: dict[str, Any], matrix_filter: Mapping[str, tuple[str, ...]]) -> bool:
    return all(matrices.value_text(combination[name]) in values for name, values in matrix_filter.items() if name in combination)


def _instance(job: Job, evaluator: Evaluator, combination: dict[str, Any], retry: RetryPolicy) -> Instance:
    return Instance(
        instance=matrices.instance_text(combination),
        matrix=combination,
        name=_name(job, evaluator, combination),
        labels=evaluator.labels(job),
        timeout_seconds=evaluator.minutes(job, "timeout-minutes", job.timeout_minutes) * 60,
        cancel_timeout_seconds=evaluator.minutes(job, "cancel-timeout-minutes", job.cancel_timeout_minutes) * 60,
        continue_on_error=evaluator.flag(job, "continue-on-error", job.continue_on_error),
        retry=evaluator.retry(job, retry),
        steps=planned_steps(job, evaluator),
        concurrency=evaluator.concurrency(job.concurrency),
    )


def _name(job: Job, evaluator: Evaluator, combination: dict[str, Any]) -> str:
    """A name with an expression says it all; any other gets the matrix values behind it."""
    if job.name is not None and "${{" in job.name:
        evaluated = evaluator.text("name", job.name).strip()
        if evaluated:
            return evaluated
    return matrices.display_name(job.name if job.name and "${{" not in job.name else job.key, combination)


def planned_steps(job: Job, evaluator: Evaluator) -> tuple[PlannedStep, ...]:
    """The steps of a job in the order in which they are run."""
    steps = step_order.in_order(job.steps)
    return tuple(
        PlannedStep(
            index=step.index,
            id=step.id,
            name=step_name(step),
            background=step.background,
            control=(control := step_order.control(step)),
            targets=step_order.targets(steps, step) if control else (),
            timeout_seconds=evaluator.step_seconds(job, step),
        )
        for step in steps
    )


CONTROL_NAMES = {"wait": "Wait", "wait-all": "Wait for all", "cancel": "Cancel"}
"""What GitHub calls the steps that only wait or cancel."""


def step_name(step: Step) -> str:
    """What people see of a step: its name as written, else `Run` with its action or the first line of its script."""
    if step.name:
        return step.name
    control = step_order.control(step)
    if control:
        return CONTROL_NAMES[control]
    what = step.uses or next((line.strip() for line in (step.run or "").splitlines() if line.strip()), "") or step.id
    return f"Run {what}"[:STEP_NAME_LENGTH_MAX]


def job_result(conclusion: str, continue_on_error: bool) -> str:
    """`needs.*.result` of a job that ended so: success, failure, cancelled or skipped."""
    if conclusion in ("failure", "timed_out"):
        return "success" if continue_on_error else "failure"
    return conclusion


def run_conclusion(results: list[str]) -> str:
    """The conclusion of a run from the results of its jobs: the worst one counts, and all skipped is skipped."""
    for worst in ("failure", "cancelled"):
        if worst in results:
            return worst
    return "skipped" if results and all(result == "skipped" for result in results) else "success"
