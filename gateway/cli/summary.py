"""The end of a run in words: what failed first and why, on top; then every job in a line; then what to do next.

A failure of a job that others need is the root; jobs that were skipped because of it are told so, not as failures.
"""

from collections.abc import Iterator

from gateway.cli import render
from gateway.cli.board import CALL_NUMBER, Board, JobView, RunView, is_infrastructure
from gateway.cli.errors import Exit
from gateway.cli.logs import for_terminal

FAILED = ("failure", "timed_out")
LAST_LINES = 20


def failures(board: Board) -> Iterator[str]:
    """What failed, each with its place and last lines: it stands above everything else."""
    for run in board.runs.values():
        for job in run.jobs:
            if job.state in FAILED:
                yield from root(board, run, job)


def lines(board: Board, *, jobs: bool = True) -> Iterator[str]:
    """How each run ended. jobs: with a line for each job, where the display has not left them already."""
    for run in board.runs.values():
        if len(board.runs) > 1:
            yield render.paint(f"{run.title} #{run.number}", "1")
        for job in run.jobs if jobs else ():
            yield one_line(run, job)
        yield last(run)


def root(board: Board, run: RunView, job: JobView) -> Iterator[str]:
    """One failed job: file with line, job, step, its last lines."""
    step = job.steps.get(job.failed_step) if job.failed_step is not None else None
    if step is None:
        step = next((each for each in job.steps.values() if each.state == "failure"), None)
    place = board.places.get((run.path, CALL_NUMBER.sub("", job.key), step.index)) if step is not None else None
    parts = [place or run.path, f'job "{render.safe(job.name)}"']
    if step is not None:
        parts.append(f'step {step.index + 1} "{render.safe(step.name)}"')
        parts.append(f"exit code {step.exit_code}" if step.exit_code is not None else render.safe(step.message))
    else:
        parts.append(render.safe(job.message or job.reason))
    if job.may_fail:
        parts.append("the run goes on (continue-on-error)")
    yield render.paint("✗ " + ": ".join(part for part in parts if part), "1;31")
    for text in list(step.tail if step is not None else job.step(-1).tail)[-LAST_LINES:]:
        yield f"    {for_terminal(text)}"
    yield ""


def one_line(run: RunView, job: JobView) -> str:
    """A job with its mark, name and time, and why it ended so."""
    width = max((len(each.name) for each in run.jobs), default=0)
    took = render.duration(render.seconds_between(job.started_at, job.ended_at))
    return f"{render.mark(job.state)} {render.safe(job.name).ljust(width)}  {took:>7}  {because(run, job)}".rstrip()


def because(run: RunView, job: JobView) -> str:
    """Why a job did not succeed, shortly."""
    if job.state == "skipped":
        blocking = [
            each.name for each in run.jobs if _is_needed(each, job) and not each.may_fail and each.state not in ("success", "skipped")
        ]
        return f"skipped: needs {', '.join(blocking)}" if blocking else f"skipped: {job.reason}"
    if job.state in FAILED:
        step = job.steps.get(job.failed_step) if job.failed_step is not None else None
        where = f'step "{render.safe(step.name)}"' if step else render.safe(job.message)
        code = f"exit {step.exit_code}" if step and step.exit_code is not None else job.reason
        return f"{code}  {where}".strip()
    if job.state == "cancelled":
        return f"cancelled: {job.reason}"
    return f"attempt {job.attempt}" if job.attempt > 1 else ""


def _is_needed(other: JobView, job: JobView) -> bool:
    """Whether a job belongs to one of the needs of another: it is one, or a job of what that one calls."""
    keys = CALL_NUMBER.sub("", other.key)
    return any(keys == need or keys.startswith(f"{need}/") for need in job.needs)


def last(run: RunView) -> str:
    """The outcome with its time and the verbs that look further."""
    took = render.duration(render.seconds_between(run.started_at, run.ended_at))
    conclusion = run.conclusion or "not finished"
    reference = run.id[:8]
    hints = [f"ledgermill logs {reference} --failed"] if conclusion in FAILED else []
    hints += [f"ledgermill replay {reference} --verify"]
    text = f"{conclusion} in {took}   {run.events} events   {' | '.join(hints)}"
    return render.paint(text, render.COLOURS.get(conclusion, "") if conclusion != "skipped" else "")


def exit_code(board: Board) -> Exit:
    """Of all followed runs the worst: infrastructure, failed, cancelled, ok."""
    found = Exit.OK
    for run in board.runs.values():
        if any(is_infrastructure(job) for job in run.jobs):
            return Exit.INFRASTRUCTURE
        if run.conclusion == "cancelled":
            found = found or Exit.CANCELLED
        elif run.conclusion not in ("success", "skipped"):
            found = Exit.FAILED
    return found
