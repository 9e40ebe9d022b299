"""Progress as plain lines: `job | line`, as they come. For pipes, files, CI systems and those who prefer it.

A line is never rewritten. A step is announced before its first line, by the log alone: events come on another stream,
and would announce it among the lines of the step before. Lines of a background step name it, for they stand among others.
"""

from typing import TextIO

from gateway.cli import render
from gateway.cli.board import Board, JobView
from gateway.cli.logs import for_terminal

ENDS = {"JobSucceeded", "JobFailed", "JobTimedOut", "JobSkipped", "JobCancelled"}


class PlainView:
    """Writes lines to `out`."""

    def __init__(self, board: Board, out: TextIO) -> None:
        self._board = board
        self._out = out
        self._width = 0
        self._announced: set[tuple[str, int, int]] = set()

    def event(self, job: JobView | None, kind: str, data: dict[str, object]) -> None:
        """An event was folded into the board."""
        if job is None:
            return
        if kind == "JobCreated":
            self._width = max(self._width, len(job.label))
        elif kind in ("AttemptLost", "AttemptFailed", "AttemptTimedOut") and data.get("retry_at"):
            self._say(job, f"! attempt {job.attempt} ended: {job.reason}; next attempt at {str(data['retry_at'])[11:19]}")
        elif kind in ENDS:
            took = render.duration(render.seconds_between(job.started_at, job.ended_at))
            self._say(job, f"{render.mark(job.state, self._out)} {job.state} {took}".rstrip())

    def line(self, job: JobView, step: int, text: str | None) -> None:
        """A log line was folded into the board."""
        self._announce(job, step)
        if text is not None:
            about = job.step(step)
            self._say(job, (f"{render.safe(about.name)} | " if about.background else "") + for_terminal(text))

    def tick(self) -> None:
        """Nothing came for a while."""
        self._out.flush()

    def close(self) -> None:
        """The end."""
        self._out.flush()

    def leave(self) -> None:
        """Everything stands there already."""

    def _announce(self, job: JobView, index: int) -> None:
        key = (job.id, job.attempt, index)
        if index >= 0 and key not in self._announced:
            self._announced.add(key)
            self._say(job, render.paint(f"▸ {render.safe(job.step(index).name)}", "1", self._out))

    def _say(self, job: JobView, text: str) -> None:
        print(f"{render.safe(job.label).ljust(self._width)} | {text}", file=self._out, flush=True)
