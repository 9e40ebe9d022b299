"""What one running job knows: the message it came with, its place, its variables so far. Steps read and change it."""

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from domain.job.events import Subject
from domain.workflow.model import Step
from runner import environment, wire
from runner.evaluation import Contexts
from runner.executors.port import Cell
from runner.logs import LogSpool
from runner.masking import Masker
from runner.pipes import PipeReader
from runner.server import Server
from runner.stopping import Cancellation
from runner.workspace import Workspace

DEBUG_NAMES = ("ACTIONS_STEP_DEBUG", "RUNNER_DEBUG")


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended. outcome: before continue-on-error. inputs: what it ran, as data for its effect key.

    outputs, env, paths: what it leaves for later steps, by its output and its GITHUB_* files. subjects: what it attests.
    """

    outcome: str
    exit_code: int | None = None
    outputs: dict[str, str] = {}
    env: dict[str, str] = {}
    paths: tuple[str, ...] = ()
    message: str = ""
    inputs: dict[str, Any] = {}
    subjects: tuple[Subject, ...] = ()


class JobState:
    """The state of one attempt on this runner."""

    def __init__(
        self,
        *,
        message: wire.JobMessage,
        space: Workspace,
        cell: Cell,
        spool: LogSpool,
        runner_name: str,
        server: Server,
        hash_files: Callable[..., str],
    ) -> None:
        self.message = message
        self.server = server
        self.space = space
        self.cell = cell
        self.spool = spool
        self.cancellation = Cancellation()
        self.masker = Masker(message.secrets.values())
        self.debug = any(str(message.secrets.get(name) or message.vars.get(name)).lower() in ("1", "true") for name in DEBUG_NAMES)
        self.readers: list[PipeReader] = []
        self.paths: list[str] = []
        self.attested: list[Subject] = []
        self.inherited = environment.inherited(os.environ)
        self.inherited.setdefault("HOME", str(Path.home()))
        event_file = space.temp / "_github_workflow" / "event.json"
        event_file.parent.mkdir(parents=True, exist_ok=True)
        event_file.write_bytes(msgspec.json.encode(message.github.get("event") or {}))
        token = message.secrets.get("GITHUB_TOKEN") or message.github.get("token") or ""
        self.masker.add(token)
        self.masker.add(message.source.token)
        self.github: dict[str, Any] = dict(message.github) | {
            "workspace": str(space.checkout),
            "event_path": str(event_file),
            "job": message.definition.key,
            "token": token,
        }
        self.runner = environment.runner_context(runner_name, space, self.debug)
        self.contexts = Contexts(
            {
                "github": self.github,
                "runner": self.runner,
                "matrix": message.matrix,
                "strategy": message.strategy,
                "needs": message.needs,
                "inputs": message.inputs,
                "vars": message.vars,
                "secrets": message.secrets,
            },
            hash_files,
        )

    def evaluate_environment(self) -> None:
        """`env` of the workflow, then that of the job over it. Raises EvaluationError."""
        workflow = self.contexts.mapping("env", self.message.workflow_env)
        self.contexts.env = workflow
        self.contexts.env = workflow | self.contexts.mapping(f"jobs.{self.message.definition.key}.env", self.message.definition.env)

    def beside(self) -> "JobState":
        """The job as it is now, for a step that runs beside others: it can be stopped alone, and later steps change nothing in it."""
        view = copy.copy(self)
        view.contexts = self.contexts.as_now()
        view.paths = list(self.paths)
        view.cancellation = self.cancellation.part()
        return view

    def export(self, values: Mapping[str, str]) -> None:
        """What a step wrote to GITHUB_ENV: later steps see it above the job's own `env`."""
        self.contexts.env = self.contexts.env | dict(values)

    def prepend(self, folders: Iterable[str]) -> None:
        """What a step wrote to GITHUB_PATH; the last line comes first."""
        for folder in folders:
            if folder in self.paths:
                self.paths.remove(folder)
            self.paths.insert(0, folder)

    def environment(self, step: Step, env: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
        """All variables of a step. env: the job's with the step's own over it; files: the file commands."""
        github = self.github | dict(files) | {"action": step.id}
        found = self.inherited | {"CI": "true"} | dict(env)
        found |= environment.github_variables(github) | environment.runner_variables(self.runner)
        found["PATH"] = os.pathsep.join([*self.paths, found.get("PATH", os.defpath), str(self.space.programs)])
        return found

    def log(self, step: int, text: str) -> None:
        """A line of the runner itself, masked."""
        self.spool.append(step, "system", self.masker.mask(text))

    def now(self) -> datetime:
        """The store's time."""
        return self.spool.clock.now()
