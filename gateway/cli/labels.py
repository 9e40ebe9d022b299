"""Labels that no runner has: refused at plan time where a stack of the verb's own is to run the jobs.

The matrix and `runs-on` are evaluated as the server will evaluate them, so `runs-on: ${{ matrix.os }}` is known here. Only
what hangs on another job's outputs is not; `missing` is asked again for those when they are queued. A server lets such
jobs wait for a runner instead, so this is never asked there.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from domain.workflow import plan as plans
from domain.workflow.model import Job, Workflow
from gateway.cli.errors import CliError

if TYPE_CHECKING:
    from gateway.cli.planning import Plan

LATER = ("needs", "failure(", "cancelled(")
"""What a condition reads that is not known before other jobs have run."""


def missing(wanted: Iterable[str], have: Iterable[str]) -> list[str]:
    """The wanted labels that are not among those at hand; case does not count."""
    known = {label.lower() for label in have}
    return [label for label in wanted if label.lower() not in known]


def refuse(plan: "Plan", labels: Iterable[str]) -> None:
    """Raise CliError where a job that would run asks for labels that these runners do not have."""
    have = sorted({label.lower() for label in labels})
    found: dict[str, list[str]] = {}
    contexts = _contexts(plan)
    for path, workflow in plan.chosen.items():
        for node in plans.nodes(workflow, plan.request.jobs):
            job = workflow.jobs[node.key]
            wanted = dict.fromkeys(label for each in _instances(workflow, job, contexts, plan.request.matrix) for label in each)
            for label in missing(wanted, have):
                found.setdefault(label, []).append(f"{path}:{job.place.line}: job {job.key} asks for {label}")
    if found:
        raise unknown(list(found), [place for places in found.values() for place in places], have)


def unknown(wanted: list[str], places: list[str], have: list[str]) -> CliError:
    """The refusal, for plan time and for a job that turned out so later."""
    return CliError(
        "RUN005",
        f"no local runner has the label{'s' if len(wanted) > 1 else ''} {', '.join(wanted)}",
        because="\n  ".join(places),
        help=f"ledgermill run --labels {','.join(wanted)}   (labels here: {', '.join(have)})",
    )


def _instances(
    workflow: Workflow, job: Job, contexts: dict[str, Any], matrix_filter: Mapping[str, tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """The labels of each instance that would run; none where they hang on other jobs' outputs."""
    texts = str((job.runs_on, job.strategy and (job.strategy.matrix, job.strategy.whole)))
    if "${{" in texts and "needs" in texts:
        return []
    verdict = plans.expand(workflow, job.key, contexts, {}, matrix_filter=matrix_filter)
    if isinstance(verdict, plans.Skipped) and any(word in job.condition for word in LATER):
        always = msgspec.structs.replace(workflow, jobs=workflow.jobs | {job.key: msgspec.structs.replace(job, condition="always()")})
        verdict = plans.expand(always, job.key, contexts, {}, matrix_filter=matrix_filter)
    if isinstance(verdict, plans.Called):
        scope = workflow.called[job.uses or ""]
        scope = msgspec.structs.replace(scope, called=workflow.called)
        inner = [contexts | {"inputs": call.inputs} for call in verdict.calls]
        return [labels for each in inner for called in scope.jobs.values() for labels in _instances(scope, called, each, {})]
    if not isinstance(verdict, plans.Expanded):
        return []
    return [instance.labels for instance in verdict.instances]


def _contexts(plan: "Plan") -> dict[str, Any]:
    """What a plan may read before a run has a number."""
    request = plan.request
    github = {
        "event": request.payload,
        "event_name": request.event,
        "ref": request.ref,
        "ref_name": request.ref.removeprefix("refs/heads/").removeprefix("refs/tags/"),
        "sha": request.sha,
        "repository": request.repository.full_name,
        "head_ref": request.head_ref,
        "base_ref": request.base_ref,
    }
    return {"github": github, "inputs": request.inputs, "vars": {}, "needs": {}}
