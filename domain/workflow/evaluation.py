"""Evaluating the keys of a job when its node is expanded: matrix, labels, minutes, flags, retry policy.

Every failure is a PlanError that names the key, so that the place in the file can be shown. Contexts that exist only
while a job runs (env, steps, secrets) are not here; the runner has its own evaluation.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from domain.retry import RetryPolicy
from domain.workflow import matrix as matrices
from domain.workflow import retry_policy
from domain.workflow.diagnostics import Diagnostic
from domain.workflow.expression_error import ExpressionError
from domain.workflow.expressions import interpolate
from domain.workflow.model import Job, Place, Step, Workflow
from domain.workflow.values import kind, to_number, to_text

_INSERT = "insert"
MINUTES_MAX = 35 * 24 * 60
"""No limit is longer: a run takes no longer than this."""


class PlanError(Exception):
    """A job cannot be expanded. key: the key of the job that is at fault."""

    def __init__(self, code: str, message: str, key: str, help_: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.key = key
        self.help = help_

    def diagnostic(self, workflow: Workflow, job: Job | None = None) -> Diagnostic:
        """The finding, at the place of the key in the job; of a key of the whole workflow, at its beginning."""
        place = job.places.get(self.key, job.place) if job is not None else Place(1, 1)
        return Diagnostic(
            code=self.code,
            severity="error",
            message=self.message,
            line=place.line,
            column=place.column,
            file=workflow.path,
            help=self.help,
        )


class Concurrency(msgspec.Struct, frozen=True):
    """`concurrency` with its values. name: the group as written by its author; groups are the same without regard to case."""

    name: str
    cancel_in_progress: bool = False
    queue: str = "single"


class EvaluatedStrategy(msgspec.Struct, frozen=True):
    """`strategy` with its values; combinations is empty without a matrix."""

    combinations: list[dict[str, Any]]
    fail_fast: bool
    max_parallel: int | None


class Evaluator:
    """Values of a job's keys in the contexts that exist before it runs."""

    def __init__(self, contexts: Mapping[str, Any]) -> None:
        self._contexts = contexts

    def within(self, matrix: dict[str, Any], strategy: dict[str, Any]) -> "Evaluator":
        """The same with the contexts of one instance."""
        return Evaluator({**self._contexts, "matrix": matrix, "strategy": strategy})

    @property
    def base(self) -> dict[str, Any]:
        """The contexts that every key of a workflow may read, but for its inputs."""
        return {name: value for name, value in self._contexts.items() if name in ("github", "vars")}

    def value(self, key: str, written: Any) -> Any:
        """A value as written, of any shape, with all its expressions evaluated."""
        if isinstance(written, str):
            return self._interpolate(key, written) if "${{" in written else written
        if isinstance(written, dict):
            return self._mapping(key, written)
        if isinstance(written, list | tuple):
            return [self.value(key, item) for item in written]
        return written

    def text(self, key: str, written: str) -> str:
        """A text."""
        return to_text(self.value(key, written))

    def _interpolate(self, key: str, written: str) -> Any:
        try:
            return interpolate(written, self._contexts)
        except ExpressionError as error:
            raise PlanError("WF102", f'the expression of "{key}" failed: {error.message}', key) from None

    def _mapping(self, key: str, written: dict[str, Any]) -> dict[str, Any]:
        """A mapping; a key that is `${{ insert }}` is replaced by the keys of its value."""
        result: dict[str, Any] = {}
        for name, item in written.items():
            if "${{" not in name:
                result[name] = self.value(key, item)
            elif name.strip("${} ") == _INSERT:
                inserted = self.value(key, item)
                if not isinstance(inserted, dict):
                    raise PlanError("WF101", f'"${{{{ insert }}}}" of "{key}" needs a mapping', key)
                result.update(inserted)
            else:
                result[self.text(key, name)] = self.value(key, item)
        return result

    def strategy(self, job: Job) -> EvaluatedStrategy:
        """The job's strategy: one job, failing fast, where it has none."""
        written = job.strategy
        if written is None:
            return EvaluatedStrategy([], fail_fast=True, max_parallel=None)
        parts: dict[str, Any] = {"matrix": written.matrix, "fail-fast": written.fail_fast, "max-parallel": written.max_parallel}
        if written.whole is not None:
            evaluated = self.value("strategy", written.whole)
            if not isinstance(evaluated, dict):
                raise PlanError("WF101", f"the strategy is {kind(evaluated).lower()}, and must be a mapping", "strategy")
            parts.update(evaluated)
        combinations = self._combinations(parts["matrix"]) if parts["matrix"] is not None else []
        parallel = self.value("strategy", parts["max-parallel"])
        return EvaluatedStrategy(
            combinations,
            fail_fast=self._boolean("strategy", "fail-fast", parts["fail-fast"]),
            max_parallel=None if parallel is None else self._whole(parallel),
        )

    def _combinations(self, written: Any) -> list[dict[str, Any]]:
        try:
            return matrices.expand(whole_numbers(self.value("strategy", written)))
        except matrices.MatrixError as error:
            raise PlanError(error.code, error.message, "strategy", error.help) from None

    def _whole(self, value: Any) -> int:
        number = to_number(value)
        if not math.isfinite(number) or number < 1:
            raise PlanError("WF104", f'"max-parallel" is "{to_text(value)[:50]}", and must be a number from 1', "strategy")
        return int(number)

    def labels(self, job: Job) -> tuple[str, ...]:
        """The labels that a runner must have."""
        value = self.value("runs-on", job.runs_on)
        if isinstance(value, Mapping):
            value = value.get("labels", [])
        found = tuple(to_text(item).strip() for item in (value if isinstance(value, list | tuple) else [value]))
        if job.uses is None and job.runs_on_group is None and (not found or not all(found)):
            raise PlanError("WF103", f'"runs-on" of job "{job.key}" comes to no label', "runs-on", "give it a label such as ubuntu-latest")
        return tuple(dict.fromkeys(label for label in found if label))

    def concurrency(self, written: Mapping[str, Any] | str | None) -> Concurrency | None:
        """The concurrency group of a job or of a whole workflow; None where it has none."""
        if written is None:
            return None
        value = self.value("concurrency", written)
        parts: Mapping[str, Any] = value if isinstance(value, Mapping) else {"group": value}
        name = to_text(parts.get("group")).strip()
        if not name:
            help_ = "give the expression a value for every event, as in ${{ github.head_ref || github.run_id }}"
            raise PlanError("WF107", "the concurrency group is empty", "concurrency", help_)
        cancel = self._boolean("concurrency", "cancel-in-progress", parts.get("cancel-in-progress", False))
        queue = to_text(parts.get("queue", "single"))
        if cancel and queue == "max":
            raise PlanError("WF107", '"queue: max" and "cancel-in-progress: true" exclude each other', "concurrency", "choose one of them")
        return Concurrency(name, cancel, queue)

    def minutes(self, job: Job, key: str, written: float | str) -> float:
        """A number of minutes above zero."""
        value = self.value(key, written) if isinstance(written, str) else written
        number = to_number(value)
        if math.isfinite(number) and number > 0:
            return min(number, MINUTES_MAX)
        raise PlanError("WF104", f'"{key}" of job "{job.key}" is "{to_text(value)[:50]}", and must be a number above zero', key)

    def step_seconds(self, job: Job, step: Step) -> float:
        """A step's own limit; 0 where it has none, or one that only the runner can evaluate (or refuse)."""
        if step.timeout_minutes is None:
            return 0
        try:
            return self.minutes(job, "timeout-minutes", step.timeout_minutes) * 60
        except PlanError:
            return 0

    def flag(self, job: Job, key: str, written: bool | str) -> bool:
        """A boolean."""
        return self._boolean(key, f'{key}" of job "{job.key}', written)

    def _boolean(self, key: str, what: str, written: Any) -> bool:
        value = self.value(key, written)
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise PlanError("WF106", f'"{what}" is "{to_text(value)[:50]}", and must be true or false', key)

    def retry(self, job: Job, default: RetryPolicy) -> RetryPolicy:
        """The retry policy of the job's env; what that leaves out is as by default."""
        written = job.env.get(retry_policy.VARIABLE) if isinstance(job.env, dict) else None
        if written is None:
            return default
        try:
            return retry_policy.parse(self.text("env", written), default)
        except ValueError as error:
            raise PlanError("WF105", f'{retry_policy.VARIABLE} of job "{job.key}": {error}', "env") from None


def whole_numbers(value: Any) -> Any:
    """The value with whole doubles as integers, so that an instance's text does not depend on how a number came about."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, Mapping):
        return {name: whole_numbers(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [whole_numbers(item) for item in value]
    return value
