"""What becomes of a step's output: each line is a log line, a workflow command, or both; all of it is masked.

One instance per step. It must never let a line out before a mask that the same line announces is in place.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from runner.commands import ANNOTATIONS, NAMES, PAUSE_LOGGING, WorkflowCommand, parse, place
from runner.masking import Masker

Stream = Literal["stdout", "stderr", "system"]
MAY_COMMAND = re.compile(r"^[^\S\n]*::", re.MULTILINE)
OUTPUTS_MAX = 10_000
ANNOTATIONS_MAX = 100


class Emit(Protocol):
    """Takes masked lines of the step, in order."""

    def __call__(self, stream: Stream, /, *texts: str) -> None:
        """These lines came at one time."""


class StepOutput:
    """Reads the lines of one step.

    outputs, state: what `set-output` and `save-state` gave. env, paths: what the step wrote for later steps to
    GITHUB_ENV and GITHUB_PATH. errors: complaints that make the step fail. annotations: of kind error, warning and notice,
    as (kind, properties, message), the first hundred.
    """

    def __init__(self, masker: Masker, emit: Emit, environment: Mapping[str, str], show_debug: bool) -> None:
        self.masker = masker
        self.emit = emit
        self.environment = environment
        self.show_debug = show_debug
        self.echo = False
        self.stopped_until: str | None = None
        self.outputs: dict[str, str] = {}
        self.state: dict[str, str] = {}
        self.env: dict[str, str] = {}
        self.paths: list[str] = []
        self.errors: list[str] = []
        self.annotations: list[tuple[str, dict[str, str], str]] = []

    def lines(self, stream: Stream, texts: Sequence[str]) -> None:
        """Take lines that came together: at one go, where none is a command, since a command decides about the lines after it."""
        together = "\n".join(texts)
        if "##[" in together or ("::" in together and MAY_COMMAND.search(together)):
            for text in texts:
                self.line(stream, text)
        elif texts:
            self.emit(stream, *(map(self.masker.mask, texts) if self.masker.finds(together) else texts))

    def line(self, stream: Stream, text: str) -> None:
        """Take one line."""
        if "::" in text or "##[" in text:
            if self.stopped_until is not None:
                if text.strip() == f"::{self.stopped_until}::":
                    self.stopped_until = None
            else:
                command = parse(text)
                if command is not None:
                    self.obey(stream, text, command)
                    return
        self.emit(stream, self.masker.mask(text))

    def complain(self, message: str) -> None:
        """Record an error that makes the step fail, and show it."""
        self.errors.append(message)
        self.emit("system", self.masker.mask(f"##[error]{message}"))

    def obey(self, stream: Stream, text: str, command: WorkflowCommand) -> None:
        """Do what a command says."""
        name = command.name
        if name == "add-mask":
            self.add_mask(command.data)
        elif name in ANNOTATIONS:
            if len(self.annotations) < ANNOTATIONS_MAX:
                self.annotations.append((name, place(command.properties), self.masker.mask(command.data)))
            self.show(stream, name, command.data)
        elif name == "debug":
            if self.show_debug:
                self.show(stream, name, command.data)
        elif name in ("group", "endgroup"):
            self.show(stream, name, command.data)
        else:
            if self.echo:
                self.emit(stream, self.masker.mask(text))
            self.set_something(command)

    def show(self, stream: Stream, name: str, data: str) -> None:
        """A command that people see, in the form in which GitHub's logs show it; data may be several lines."""
        first, *others = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.emit(stream, f"##[{name}]{self.masker.mask(first)}")
        for other in others:
            self.emit(stream, self.masker.mask(other))

    def add_mask(self, data: str) -> None:
        """Mask a value from now on."""
        if not data.strip():
            self.emit("system", "##[warning]Can't add secret mask for empty string in ##[add-mask] command.")
        self.masker.add(data)

    def set_something(self, command: WorkflowCommand) -> None:
        """The commands that change state."""
        match command.name:
            case "echo":
                wanted = command.data.strip().lower()
                if wanted in ("on", "off"):
                    self.echo = wanted == "on"
                else:
                    self.complain(f"Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: '{command.data}'.")
            case "stop-commands":
                self.stop_commands(command.data)
            case "set-output" | "save-state":
                values = self.outputs if command.name == "set-output" else self.state
                name = command.properties.get("name", "")
                if not name:
                    self.complain(f"Required field 'name' is missing in ##[{command.name}] command.")
                elif len(values) < OUTPUTS_MAX:
                    values[name] = command.data
            case _:
                self.complain(
                    f"The `{command.name}` command is disabled, because a line of output could then change later steps. "
                    f"Write to the file {'GITHUB_ENV' if command.name == 'set-env' else 'GITHUB_PATH'} names instead."
                )

    def stop_commands(self, token: str) -> None:
        """Ignore commands until `::token::`."""
        allowed = self.environment.get("ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS", "").lower() == "true"
        if not allowed and (not token or token.lower() in NAMES or token.lower() == PAUSE_LOGGING):
            self.complain(
                f"Invoking `stop-commands` with the token '{token}' is disabled: it must not be empty or the name of a command, "
                "or others could guess it."
            )
            return
        self.stopped_until = token
        self.masker.add(token)
