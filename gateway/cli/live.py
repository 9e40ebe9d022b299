"""Follows runs with live output to their end and says how they ended: shared by `run` and `watch`.

Ctrl-C: on a server the verb lets go and the run goes on (`detach`); on a stack of the verb's own the first asks for
cancel, and the second ends everything.
"""

import sys
from collections.abc import Callable
from typing import Any, Protocol, TextIO

import click

from gateway.cli import labels as runner_labels
from gateway.cli import render, summary
from gateway.cli.board import Board, JobView, Places
from gateway.cli.client import Client
from gateway.cli.errors import CliError
from gateway.cli.follow import Follower
from gateway.cli.plain import PlainView
from gateway.cli.waits import Waits

Json = dict[str, Any]

INTERRUPTED = 130
TICK_SECONDS = 0.2


class View(Protocol):
    """What draws progress."""

    def event(self, job: JobView | None, kind: str, data: dict[str, object]) -> None:
        """An event was folded into the board; job: the one it is about."""

    def line(self, job: JobView, step: int, text: str | None) -> None:
        """A log line was folded into the board; text: what is worth showing of it."""

    def tick(self) -> None:
        """Nothing came for a while."""

    def close(self) -> None:
        """Nothing moves from here on."""

    def leave(self) -> None:
        """What stays in the scrollback of what was drawn, below the failures."""


def follow(
    client: Client,
    runs: list[Json],
    *,
    progress: str | None,
    detach: bool,
    fail_fast: bool = False,
    as_json: bool = False,
    places: Places | None = None,
    labels: tuple[str, ...] | None = None,
    following: Callable[[Board], list[Json]] | None = None,
) -> int:
    """Follow the runs to their end; returns the exit code. following: finds runs that these started, to follow as well.

    labels: all that the runners have, where no other runner can come; a job that asks for more has its run cancelled.
    """
    out = sys.stderr if as_json else sys.stdout
    board = Board(runs, places)
    view = _view(board, progress, out)
    interrupts = 0
    stuck: CliError | None = None
    follower = Follower(client, {identity: run.get("run_attempt", 1) for identity, run in zip(board.runs, runs, strict=True)})
    waits = Waits(client)
    while True:
        try:
            _draw(board, view, follower, waits, fail_fast=fail_fast, labels=labels)
            more = following(board) if following is not None else []
            if not more:
                break
            board.add(more)
            follower.add({run["id"]: run["run_attempt"] for run in more})
        except CannotRunError as error:
            stuck = stuck or error.told
            _cancel(client, board)
        except KeyboardInterrupt:
            interrupts += 1
            if detach or interrupts > 1:
                view.close()
                return _let_go(board, detach=detach)
            click.echo("cancelling; Ctrl-C again kills", err=True)
            _cancel(client, board)
    view.close()
    for line in summary.failures(board):
        print(line, file=out)
    out.flush()
    view.leave()
    for line in summary.lines(board, jobs=isinstance(view, PlainView)):
        print(line, file=out)
    if as_json:
        render.print_json([_with_jobs(client, run) for run in board.runs])
    if stuck is not None:
        raise stuck
    return summary.exit_code(board)


class CannotRunError(Exception):
    """A job was queued that no runner of this stack will ever take. told: the words for the user."""

    def __init__(self, told: CliError) -> None:
        super().__init__(told.message)
        self.told = told


def _view(board: Board, progress: str | None, out: TextIO) -> View:
    if progress == "tty" or (progress is None and out is sys.stdout and out.isatty()):
        from gateway.cli.tree import TreeView

        return TreeView(board)
    return PlainView(board, out)


def _draw(board: Board, view: View, follower: Follower, waits: Waits, *, fail_fast: bool, labels: tuple[str, ...] | None) -> None:
    for seen in follower.seen(TICK_SECONDS):
        if seen.value is None:
            view.tick()
            for told in waits.overdue():
                click.echo(told, err=True)
        elif seen.job:
            job, text = board.line(seen.job, seen.value)
            view.line(job, int(seen.value["step"]), text)
        else:
            about = board.apply(seen.run, seen.value)
            if seen.past:
                continue
            if about is not None and seen.value["type"] == "JobAcquired":
                follower.read_log(about.id)
            view.event(about, seen.value["type"], seen.value["data"])
            if about is not None:
                waits.event(about, seen.value["type"])
            if labels is not None and about is not None and seen.value["type"] == "JobQueued":
                _refuse_labels(board, about, seen.value["data"]["labels"], labels)
            if fail_fast and about is not None and about.state in summary.FAILED:
                return


def _refuse_labels(board: Board, job: JobView, wanted: list[str], have: tuple[str, ...]) -> None:
    missing = runner_labels.missing(wanted, have)
    if missing:
        places = [f"{board.runs[job.run].path}: job {job.name} asks for {', '.join(missing)}"]
        raise CannotRunError(runner_labels.unknown(missing, places, sorted(have)))


def _cancel(client: Client, board: Board) -> None:
    for run in board.runs.values():
        if run.conclusion is None:
            try:
                client.post(f"/runs/{run.id}/cancel", {})
            except CliError as error:  # it may have ended in this moment
                click.echo(error.render(), err=True)


def _let_go(board: Board, *, detach: bool) -> int:
    for run in board.runs.values():
        if run.conclusion is None:
            text = f"{run.title} #{run.number} goes on: ledgermill watch {run.id[:8]}" if detach else f"{run.title} #{run.number} killed"
            click.echo(text, err=True)
    return INTERRUPTED


def _with_jobs(client: Client, run: str) -> Json:
    found: Json = client.get(f"/runs/{run}")
    return found | {"jobs": list(client.items(f"/runs/{run}/jobs"))}
