"""`logs -f`: the lines of all jobs of a run at once, as they come, until the run ends.

It reads what `run` reads: the run's events, which tell of jobs that appear later (instances of a matrix, retries), and the
log of each job from its first line, resumed where a connection breaks. Jobs that are over already are printed first, one
after the other. Where jobs are named and have begun, their logs are all there is to wait for.
"""

import sys
from typing import Any

import click

from gateway.cli import render
from gateway.cli.client import Client
from gateway.cli.errors import CliError
from gateway.cli.follow import Follower
from gateway.cli.logs import Lines, Prefix, Shown, print_logs, print_stored
from gateway.cli.resolve import find_jobs

Json = dict[str, Any]

TICK_SECONDS = 0.2
LOST = ("AttemptLost", "AttemptFailed", "AttemptTimedOut")


def follow_logs(client: Client, run: Json, rest: str, jobs: list[Json], shown: Shown) -> None:
    """Print lines until there can be no more. jobs: those known now that `rest` names."""
    follower = Follower(client, {})
    if shown.failed:  # which steps fail is known at the end
        follower.add({run["id"]: run["run_attempt"]})
        last = max(seen.value["position"] for seen in follower.seen(TICK_SECONDS) if seen.value is not None)
        print_logs(client, client.get(f"/runs/{run['id']}", at_least=last), rest, shown)
        return
    over = [job for job in jobs if job["status"] == "completed"]
    prefix = Prefix(jobs, several=len(jobs) > 1 and not shown.raw)
    print_stored(client, over, find_jobs(jobs, rest)[1], shown, prefix, run=run, named=bool(rest))
    live = LiveLogs(follower, rest, shown, prefix, over=over)
    if rest and all(job.get("attempt") for job in jobs):
        for job in jobs:
            live.read(job)
    else:
        follower.add({run["id"]: run["run_attempt"]})
    live.print_all()


class LiveLogs:
    """What is followed. over: jobs that are printed already."""

    def __init__(self, follower: Follower, rest: str, shown: Shown, prefix: Prefix, *, over: list[Json]) -> None:
        self._follower = follower
        self._rest = rest
        self._shown = shown
        self._prefix = prefix
        self._over = {job["id"] for job in over}
        self._created: dict[str, Json] = {}
        self._lines: dict[str, Lines] = {}

    def read(self, job: Json) -> None:
        """Print the lines of this job too, unless they are printed already or nobody asked for them."""
        if job["id"] in self._over or job["id"] in self._lines:
            return
        try:
            _, step = find_jobs([job], self._rest)
        except CliError:
            return
        self._prefix.several = (self._prefix.several or bool(self._lines)) and not self._shown.raw
        self._prefix.add(job)
        self._lines[job["id"]] = Lines(job, step, self._shown)
        self._follower.read_log(job["id"], self._shown.attempt)

    def print_all(self) -> None:
        """Until every stream has ended."""
        for seen in self._follower.seen(TICK_SECONDS):
            if seen.value is None:
                continue
            if seen.job:
                self._lines[seen.job].print(seen.value, self._prefix)
                sys.stdout.flush()
            elif not seen.past:
                self._note(seen.value)

    def _note(self, event: Json) -> None:
        stream, data = event["stream"], event["data"]
        if event["type"] == "JobCreated":
            self._created[stream] = {"id": stream, "name": data["name"], "key": data["key"], "steps": data["steps"]}
        elif event["type"] == "JobAcquired" and stream in self._created:
            self.read(self._created[stream])
        elif event["type"] in LOST and data.get("retry_at") and stream in self._lines:
            name = render.safe(self._created[stream]["name"])
            click.echo(f"{name}: attempt {data['attempt']} ended ({data['reason']}); next attempt at {data['retry_at'][11:19]}", err=True)
