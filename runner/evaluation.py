"""The contexts of a running job, and the evaluation of the workflow's texts against them.

Everything is evaluated on the runner just before it is needed, as on GitHub, because it may depend on earlier steps.
An expression that cannot be evaluated raises `EvaluationError` with the key it stood under.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from domain.workflow import expressions
from domain.workflow.values import to_text

JobStatus = Literal["success", "failure", "cancelled"]


class EvaluationError(Exception):
    """A text of the workflow could not be evaluated. The message names the key and the reason."""


class Contexts:
    """What expressions see. `env` changes with each step; `steps` grows; the others stay."""

    def __init__(self, fixed: Mapping[str, Any], hash_files: Callable[..., str]) -> None:
        self.fixed = dict(fixed)
        self.env: dict[str, str] = {}
        self.steps: dict[str, dict[str, Any]] = {}
        self.status: JobStatus = "success"
        self.hash_files = hash_files

    def as_now(self) -> "Contexts":
        """These contexts, whatever later steps change."""
        now = Contexts(self.fixed, self.hash_files)
        now.env, now.steps, now.status = self.env, dict(self.steps), self.status
        return now

    def names(self, env: Mapping[str, str] | None) -> dict[str, Any]:
        """All contexts, with this `env`."""
        return self.fixed | {"env": self.env if env is None else env, "steps": self.steps, "job": {"status": self.status}}

    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions that depend on the job."""
        return {
            "success": lambda: self.status == "success",
            "failure": lambda: self.status == "failure",
            "cancelled": lambda: self.status == "cancelled",
            "always": lambda: True,
            "hashFiles": self.hash_files,
        }

    def condition(self, condition: str, env: Mapping[str, str] | None = None) -> bool:
        """Whether an `if:` holds; one that names no status function also asks for success()."""
        try:
            return expressions.condition(condition, self.names(env), self.functions())
        except expressions.ExpressionError as error:
            raise EvaluationError(f"if: {error.message}") from error

    def value(self, key: str, written: Any, env: Mapping[str, str] | None = None) -> Any:
        """A value as written: text with `${{ }}` becomes text, text that is one expression becomes its value."""
        if not isinstance(written, str):
            return written
        try:
            return expressions.interpolate(written, self.names(env), self.functions())
        except expressions.ExpressionError as error:
            raise EvaluationError(f"{key}: {error.message}") from error

    def text(self, key: str, written: Any, env: Mapping[str, str] | None = None) -> str:
        """A value as text; an object or array becomes the word GitHub prints for it."""
        return to_text(self.value(key, written, env))

    def mapping(self, key: str, written: Mapping[str, Any] | str, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """An `env:` or `with:`: a mapping of texts, or one expression that gives a mapping."""
        if isinstance(written, str):
            written = self.value(key, written, env)
            if written in (None, ""):
                return {}
            if not isinstance(written, Mapping):
                raise EvaluationError(f"{key}: the expression gives no object")
        return {str(name): self.text(f"{key}.{name}", value, env) for name, value in written.items()}

    def flag(self, key: str, written: bool | str, env: Mapping[str, str] | None = None) -> bool:
        """A boolean; an expression must give one."""
        value = self.value(key, written, env)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise EvaluationError(f"{key}: {value!r} is neither true nor false")
        return value

    def minutes(self, key: str, written: float | str | None, env: Mapping[str, str] | None = None) -> float | None:
        """A number of minutes as seconds, or None."""
        value = self.value(key, written, env)
        if value is None or value == "":
            return None
        try:
            seconds = float(value) * 60
        except (TypeError, ValueError) as error:
            raise EvaluationError(f"{key}: {value!r} is no number of minutes") from error
        return seconds if seconds > 0 else None

    def set_step(self, step: str, outcome: str, conclusion: str, outputs: Mapping[str, str]) -> None:
        """Record how a step ended. A step whose id was generated cannot be named, so it is not kept."""
        if not step.startswith("__"):
            self.steps[step] = {"outputs": dict(outputs), "outcome": outcome, "conclusion": conclusion}
