"""Progress as a live tree on a terminal: every job with its time, under a running one its step and newest lines.

What is drawn last stays in the scrollback, with failed steps opened. rich is imported here and only here.
"""

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from gateway.cli import render
from gateway.cli.board import Board, JobView
from gateway.cli.logs import ESCAPES

LIVE_LINES = 3


class TreeView:
    """Draws the board, at most ten times a second."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, get_renderable=self._draw, refresh_per_second=10, transient=True, vertical_overflow="crop")
        self._live.start()

    def event(self, job: JobView | None, kind: str, data: dict[str, object]) -> None:
        """Nothing to do: the next drawing shows it."""

    def line(self, job: JobView, step: int, text: str | None) -> None:
        """Nothing to do: the next drawing shows it."""

    def tick(self) -> None:
        """Nothing to do: the display refreshes itself."""

    def close(self) -> None:
        """Take the live display away."""
        self._live.stop()

    def leave(self) -> None:
        """Leave the steps of every job in the scrollback."""
        self._console.print(self._draw(final=True))

    def _draw(self, *, final: bool = False) -> Group:
        rows: list[Text] = []
        for run in list(self._board.runs.values()):
            took = render.duration(render.seconds_between(run.started_at, run.ended_at))
            rows.append(Text(f"{run.title} #{run.number}  {took}", style="bold"))
            for job in list(run.jobs):
                rows.extend(self._job(job, final=final))
            waiting = [node for node in run.nodes if node not in {job.key for job in run.jobs}]
            rows.extend(Text(f"  … {render.safe(node)}", style="dim") for node in waiting if not final)
        return Group(*rows)

    def _job(self, job: JobView, *, final: bool) -> list[Text]:
        took = render.duration(render.seconds_between(job.started_at, job.ended_at))
        rows = [_state(f"  {_mark(job.state)} {render.safe(job.name)}  {took}", job.state)]
        for step in list(job.steps.values()):
            shown = step.state not in ("queued", "skipped") if final else step.state == "in_progress"
            if shown and step.index >= 0:
                took = render.duration(render.seconds_between(step.started_at, step.ended_at))
                rows.append(_state(f"      {_mark(step.state)} {render.safe(step.name)}  {took}", step.state))
            if not final and job.state == "in_progress" and step.state == "in_progress":
                rows.extend(Text(f"        {ESCAPES.sub('', text)[:160]}", style="dim") for text in list(step.tail)[-LIVE_LINES:])
        return rows


def _mark(state: str) -> str:
    return render.MARKS.get(state) or render.ACTIVE.get(state, "?")


def _state(text: str, state: str) -> Text:
    styles = {"success": "green", "failure": "bold red", "timed_out": "bold red", "cancelled": "yellow", "skipped": "dim", "queued": "dim"}
    return Text(text, style=styles.get(state, ""), no_wrap=True, overflow="ellipsis")
