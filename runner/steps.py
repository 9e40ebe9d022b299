"""Runs one step: what its keys evaluate to, the program it becomes, what it says through files and output.

A step that cannot even be evaluated fails like one whose program fails; only the runner's own trouble (a cell that is
gone, a disk that is full) goes up as an exception. It must never leave a file command unread: a step that fails may have
written outputs before.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from domain.job.events import Subject
from domain.workflow.model import Step
from runner import attest, file_commands, scripts
from runner.actions import checkout
from runner.evaluation import EvaluationError
from runner.executors.port import CannotStart, Command
from runner.job_state import JobState, StepResult
from runner.pipes import PipeReader
from runner.problems import LeaseLost
from runner.step_output import StepOutput
from runner.stopping import Stopped, supervise

QUIET_SECONDS = 0.1
LATE_SECONDS = 5.0
FILES = ("artifacts", "artifacts_list", "env", "output", "path", "state", "step_summary")
READ_ONLY = "artifacts_list"
"""What a step may read and not write: the names of what the job attests so far."""


def title(job: JobState, step: Step) -> str:
    """What people see: the step's name, or "Run" and the first line of what it runs."""
    if step.name:
        return job.contexts.text("name", step.name)
    if step.run is not None:
        return f"Run {step.run.strip().partition(chr(10))[0]}"
    return f"Run {step.uses}"


class Running:
    """A step on its way: what it belongs to, and what its keys evaluated to.

    env: the job's `env` with the step's own over it. variables: all of its environment. limit_seconds: its own timeout.
    """

    def __init__(self, job: JobState, step: Step) -> None:
        self.job = job
        self.step = step
        self.env: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.limit_seconds: float | None = None
        self.inputs: dict[str, Any] = {}
        self.files: dict[str, Path] = {}
        self.named: list[attest.Named] = []
        self.subjects: tuple[Subject, ...] = ()
        self.output = StepOutput(job.masker, lambda stream, *texts: job.spool.append(step.index, stream, *texts), self.variables, job.debug)

    def prepare(self) -> None:
        """Evaluate what every kind of step has. Raises EvaluationError."""
        contexts = self.job.contexts
        self.env |= contexts.env | contexts.mapping("env", self.step.env)
        self.limit_seconds = contexts.minutes("timeout-minutes", self.step.timeout_minutes, self.env)
        self.files = make_files(self.job, self.step)
        self.variables |= self.job.environment(self.step, self.env, {name: str(path) for name, path in self.files.items()})

    def result(self, code: int, stopped: Stopped | None) -> StepResult:
        """What the end of the program means."""
        output = self.output
        outcome, message = "failure", ""
        if stopped == "cancelled":
            outcome, message = "cancelled", "The step was cancelled."
        elif stopped == "timeout":
            message = f"The step was stopped after its timeout of {(self.limit_seconds or 0) / 60:g} minutes."
        elif code != 0:
            message = f"Process completed with exit code {code}." if code > 0 else f"Process was ended by signal {-code}."
        elif output.errors:
            return self.ended("failure", code, self.job.masker.mask(output.errors[0]))
        else:
            outcome = "success"
        if outcome == "failure":
            output.complain(message)
        return self.ended(outcome, code, message)

    def ended(self, outcome: str, code: int | None, message: str) -> StepResult:
        """The facts of the end."""
        output = self.output
        return StepResult(
            outcome=outcome,
            exit_code=code,
            outputs=output.outputs,
            env=output.env,
            paths=tuple(output.paths),
            inputs=self.inputs,
            message=message,
            subjects=self.subjects,
        )


async def run_step(job: JobState, step: Step) -> StepResult:
    """Run a step whose condition holds. What it leaves for later steps is in the result alone."""
    running = Running(job, step)
    failure: str | None = None
    try:
        running.prepare()
        code, stopped = await (run_script(running) if step.run is not None else use_action(running))
    except (EvaluationError, scripts.UnknownShell, CannotStart, checkout.CheckoutError, NotADirectoryError) as error:
        failure = job.masker.mask(str(error))
        running.output.complain(failure)
    finally:
        read_files(running)
    await attest_files(running)
    return running.result(code, stopped) if failure is None else running.ended("failure", None, failure)


async def run_script(running: Running) -> tuple[int, Stopped | None]:
    """A `run:` step. Returns its exit code and why it was stopped."""
    job, step, env = running.job, running.step, running.env
    contexts, defaults, base = job.contexts, job.message.definition.defaults, job.message.workflow_defaults
    script = contexts.text("run", step.run, env)
    shell = contexts.text("shell", step.shell or defaults.shell or base.shell, env)
    folder = contexts.text("working-directory", step.working_directory or defaults.working_directory or base.working_directory, env)
    cwd = job.space.checkout / folder
    if not cwd.is_dir():
        raise NotADirectoryError(f"working-directory: {cwd} is not there")
    path = scripts.write(job.space.scripts, f"{step.index}", shell, script)
    argv = scripts.command(shell, path, running.variables, str(cwd))
    running.inputs = {"run": script, "shell": shell, "working-directory": folder, "env": env}
    announce(job, step, script, " ".join(argv), env)
    return await run_command(running, Command(argv=argv, environment=running.variables, cwd=str(cwd)))


async def use_action(running: Running) -> tuple[int, Stopped | None]:
    """A `uses:` step: the built-in checkout; the planner refuses everything else before it gets here."""
    job, step = running.job, running.step
    name, _, _ = (step.uses or "").partition("@")
    if name.lower() != "actions/checkout":
        raise EvaluationError(f"uses: {step.uses} cannot run here: of all actions this version knows actions/checkout only")
    inputs = job.contexts.mapping("with", step.with_, running.env)
    running.inputs = {"uses": step.uses, "with": inputs, "sha": job.message.source.sha}
    job.log(step.index, f"##[group]Run {step.uses}")
    job.log(step.index, "##[endgroup]")
    end: tuple[int, Stopped | None] = (0, None)
    origin = checkout.origin(job.message.source, job.server, job.space)
    variables = checkout.quiet(running.variables, job.space, origin)
    for argv, folder in checkout.plan(inputs, job.message.source, origin, job.github, job.space, outputs=running.output.outputs):
        asks = origin.served and argv[0] == "fetch"
        program, environment = scripts.find("git", variables, folder), variables | (origin.variables if asks else {})
        for number, pause in enumerate((*(checkout.PAUSES_SECONDS if asks else ()), None)):
            said = (*origin.turn(number), *argv) if asks else argv
            job.log(step.index, f"[command]git {' '.join(said)}")
            end = await run_command(running, Command(argv=(program, *said), environment=environment, cwd=folder))
            if end == (0, None) or end[1] is not None or pause is None:
                break
            job.log(step.index, f"The server may be away for a moment; once more in {pause:g} s.")
            with suppress(TimeoutError):
                await asyncio.wait_for(job.cancellation.asked.wait(), pause)
        if end != (0, None):
            break
    return end


async def run_command(running: Running, command: Command) -> tuple[int, Stopped | None]:
    """Run a program with its output going to the step's log."""
    job = running.job
    process = await job.cell.start(command)
    readers = (
        PipeReader(process.stdout, "stdout", running.output, job.spool),
        PipeReader(process.stderr, "stderr", running.output, job.spool),
    )
    job.readers += readers
    try:
        ended = await supervise(process, job.cancellation, running.limit_seconds, lambda: runs_when_cancelled(job, running.step))
    finally:
        await settle(readers)
    if job.cell.expired():
        raise LeaseLost("the lease ran out while the step ran")  # what was killed for that has not failed
    return ended


def runs_when_cancelled(job: JobState, step: Step) -> bool:
    """Whether the step's own condition holds in a cancelled job, so that it is not stopped: always(), cancelled().

    Of background steps none goes on, as on GitHub: nobody waits for what they would still do.
    """
    if step.background:
        return False
    status, job.contexts.status = job.contexts.status, "cancelled"
    try:
        return job.contexts.condition(step.condition)
    except EvaluationError:
        return False
    finally:
        job.contexts.status = status


async def settle(readers: tuple[PipeReader, ...]) -> None:
    """Read what the program wrote before it ended.

    What it left running may hold the pipes open for ever: they are not waited for once they fall silent, but read on in
    the background, so that what runs on is not stopped by a full pipe.
    """
    waiting = {reader.ended for reader in readers if not reader.ended.done()}
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + LATE_SECONDS
    while waiting and loop.time() < give_up_at:
        before = sum(reader.bytes_read for reader in readers)
        _, waiting = await asyncio.wait(waiting, timeout=QUIET_SECONDS)
        if sum(reader.bytes_read for reader in readers) == before and not any(
            reader.reading is False and not reader.ended.done() for reader in readers
        ):
            break


def announce(job: JobState, step: Step, script: str, program: str, env: Mapping[str, str]) -> None:
    """The head of a step's log: what runs, with which shell and variables."""
    first, *_ = script.strip().split("\n", 1)
    job.log(step.index, f"##[group]Run {first}")
    for line in script.rstrip("\n").split("\n"):
        job.log(step.index, line)
    job.log(step.index, f"shell: {program}")
    if env:
        job.log(step.index, "env:")
        for name, value in env.items():
            for number, line in enumerate(value.split("\n")):
                job.log(step.index, f"  {name}: {line}" if number == 0 else f"    {line}")
    job.log(step.index, "##[endgroup]")


def make_files(job: JobState, step: Step) -> dict[str, Path]:
    """The empty files of the file commands, new for each step."""
    files = {name: job.space.commands / f"{name}_{step.index}" for name in FILES}
    for path in files.values():
        path.touch(mode=0o600)
    if job.attested:
        files[READ_ONLY].write_text("".join(f"{each.name}\n" for each in job.attested))
    return files


def read_files(running: Running) -> None:
    """Take in what the step wrote, also when it failed; the files are gone afterwards."""
    for name, path in running.files.items():
        try:
            take(name, path, running)
        except (file_commands.FileCommandError, attest.AttestError, OSError) as error:
            running.output.complain(f"Unable to process file command '{name}' successfully. {error}")
        path.unlink(missing_ok=True)


async def attest_files(running: Running) -> None:
    """Take the digests of what the step attests; what cannot be read fails the step, since nobody would look for it later."""
    if not running.named:
        return
    job = running.job
    try:
        named = [replace(each, name=job.masker.mask(each.name)) for each in running.named]
        running.subjects = await attest.subjects(named, len(job.attested))
    except attest.AttestError as error:
        running.output.complain(f"Unable to attest what GITHUB_ARTIFACTS names. {job.masker.mask(str(error))}")
        return
    job.attested += running.subjects
    for each in running.subjects:
        job.log(running.step.index, f"Attested {each.name} sha256:{each.sha256}")


def take(name: str, path: Path, running: Running) -> None:
    """Take in one file."""
    output = running.output
    if name == READ_ONLY or not path.is_file():
        return
    size = path.stat().st_size
    if name == "step_summary":
        if size > file_commands.SUMMARY_BYTES_MAX:
            output.emit("system", f"##[error]$GITHUB_STEP_SUMMARY holds {size // 1024} KiB, and at most 1024 KiB are kept.")
        elif size > 0:
            output.emit("system", f"##[debug]$GITHUB_STEP_SUMMARY holds {size} bytes; this version keeps no summaries.")
        return
    limit = attest.ARTIFACTS_BYTES_MAX if name == "artifacts" else file_commands.FILE_BYTES_MAX
    if size > limit:
        raise file_commands.FileCommandError(f"It holds {size} bytes, and at most {limit} are read.")
    if size == 0:
        return
    text = file_commands.decode(path.read_bytes())
    match name:
        case "artifacts":
            running.named = attest.read_lines(text, running.job.space.checkout)
        case "env":
            values, refused = file_commands.parse_environment(text)
            output.env |= values
            for complaint in refused:
                output.complain(complaint)
        case "output":
            output.outputs |= file_commands.parse(text)
        case "state":
            output.state |= file_commands.parse(text)
        case _:
            output.paths += file_commands.parse_paths(text)
