"""Called workflows within a run: where a node of the plan is defined, what a call gives and what it gives back.

A calling job becomes one call, or one for each combination of its matrix; the jobs of the called workflow join the plan as
nodes of their own. Their keys say where they are: `build/test` is the job `test` of what `build` calls, `build.1/test` the
same in the second combination of the matrix of `build` (job ids hold neither `/` nor `.`).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from domain.workflow.dispatch import typed_input
from domain.workflow.evaluation import Concurrency, Evaluator, PlanError
from domain.workflow.model import Job, Workflow
from domain.workflow.values import to_text


class Call(msgspec.Struct, frozen=True):
    """One call of a workflow. prefix: what the keys of its nodes begin with; name: what people see of the calling job.

    groups: the `concurrency` of the calling "job" and that of the called "workflow", where they have one.
    """

    prefix: str
    name: str
    matrix: dict[str, Any]
    inputs: dict[str, Any]
    groups: tuple[tuple[str, Concurrency], ...] = ()


def prefix_of(key: str) -> str:
    """The call that a node belongs to, "" for a job of the file itself."""
    return key.rpartition("/")[0]


def caller_of(prefix: str) -> str:
    """The node whose call this is: `a.0/b` of `a.0/b.1`."""
    outer, slash, last = prefix.rpartition("/")
    return outer + slash + last.partition(".")[0]


def local_key(key: str) -> str:
    """The id of the job in the file that defines it."""
    return key.rpartition("/")[2]


def key_in(prefix: str, local: str) -> str:
    """The key of a job of the workflow that this call is of."""
    return f"{prefix}/{local}" if prefix else local


def definition(workflow: Workflow, key: str) -> tuple[Workflow, Job]:
    """The file and the job that define a node. Raises KeyError when the plan has no such node."""
    scope = workflow
    *callers, local = key.split("/")
    for caller in callers:
        scope = workflow.called[scope.jobs[caller.partition(".")[0]].uses or ""]
    return scope, scope.jobs[local]


def inputs(called: Workflow, job: Job, evaluator: Evaluator, contexts: Mapping[str, Any]) -> dict[str, Any]:
    """The `inputs` context of a call: what the job gives under `with`, typed, completed with defaults. Raises PlanError.

    evaluator: in the contexts of the calling job; contexts: github and vars, which the defaults may read.
    """
    given = {name.lower(): value for name, value in evaluator.value("uses", job.with_).items()}
    found = {}
    for name, declared in ((called.on.get("workflow_call") or {}).get("inputs") or {}).items():
        value = given.get(name.lower())
        if name.lower() not in given:
            if declared.get("required"):
                raise PlanError("WF045", f'the called workflow requires the input "{name}"', "uses")
            value = Evaluator({**contexts, "inputs": {}}).value("uses", declared.get("default"))
        typed, fault = typed_input(declared, value)
        if fault is not None:
            raise PlanError("WF045", f'the input "{name}" of the called workflow cannot be "{to_text(value)[:100]}"', "uses", fault)
        found[name] = typed
    return found


def groups(called: Workflow, job: Job, evaluator: Evaluator, given: dict[str, Any]) -> tuple[tuple[str, Concurrency], ...]:
    """The concurrency groups of a call: the calling job's, then that of the called file. given: the call's inputs. Raises PlanError."""
    try:
        within = Evaluator({**evaluator.base, "inputs": given}).concurrency(called.concurrency)
    except PlanError as error:
        raise PlanError(error.code, f'in the called workflow "{called.path}" {error.message}', "uses", error.help) from None
    found = (("job", evaluator.concurrency(job.concurrency)), ("workflow", within))
    return tuple((of, concurrency) for of, concurrency in found if concurrency is not None)


def outputs(called: Workflow, contexts: Mapping[str, Any]) -> dict[str, str]:
    """The outputs of a call whose jobs are all done. contexts: github, inputs and vars of the call, and `jobs`. Raises PlanError."""
    declared = (called.on.get("workflow_call") or {}).get("outputs") or {}
    evaluator = Evaluator(contexts)
    return {name: evaluator.text("uses", output.get("value") or "") for name, output in declared.items()}
