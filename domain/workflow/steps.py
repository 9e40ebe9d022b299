"""What decides a step: whether it runs, and what its end counts as. Pure doors of the runner and of conformance suites."""

from collections.abc import Callable, Mapping
from typing import Any

from domain.workflow.expressions import condition as holds


def status_functions(status: str) -> dict[str, Callable[[], bool]]:
    """success, failure, cancelled and always within a job whose status is "success", "failure" or "cancelled"."""
    return {
        "success": lambda: status == "success",
        "failure": lambda: status == "failure",
        "cancelled": lambda: status == "cancelled",
        "always": lambda: True,
    }


def should_run(
    condition: str,
    job_failed: bool,
    *,
    cancelled: bool = False,
    contexts: Mapping[str, Any] | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> bool:
    """Whether a step with this `if` runs, given what the steps before it did. An empty condition is `success()`.

    job_failed: a step before it failed and was not allowed to. contexts and functions: what else the condition names
    (hashFiles). Raises ExpressionError.
    """
    status = "cancelled" if cancelled else "failure" if job_failed else "success"
    return holds(condition, contexts or {}, {**(functions or {}), **status_functions(status)})


def conclusion(outcome: str, continue_on_error: bool) -> str:
    """What a step's outcome counts as: a failure that may continue is a success; all else stays as it is."""
    return "success" if outcome == "failure" and continue_on_error else outcome
