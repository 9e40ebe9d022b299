"""`logs RUN[/JOB[/STEP]]`: stored or live, the whole log or what failed.

The text of a log is data: away from a terminal it is printed byte for byte. On a terminal only colours pass; cursor
movements, titles and links of an untrusted program do not.
"""

import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec

from gateway.cli import render
from gateway.cli.client import Client
from gateway.cli.connect import connected
from gateway.cli.errors import Exit, usage
from gateway.cli.options import Target, json_option, run_argument, target_options
from gateway.cli.resolve import find_jobs, find_run, find_step, split

Json = dict[str, Any]

ESCAPES = re.compile(
    r"\x1b(?:\[[0-9;:?]*[@-ln-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[^\[\]PX^_])|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]"
)
"""Everything that a terminal acts on, but SGR sequences (colours) and tabs."""


class Shown(msgspec.Struct, frozen=True):
    """Which lines are shown and how. step: index, None for all; failed: failed steps only."""

    attempt: int | None = None
    since: datetime | None = None
    grep: re.Pattern[str] | None = None
    timestamps: bool = False
    raw: bool = False
    as_json: bool = False
    failed: bool = False
    step: str = ""


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until the end.")
@click.option("--failed", is_flag=True, help="Only steps that failed.")
@click.option("--attempt", type=click.IntRange(1), default=None, help="Another attempt of the job than the last.")
@click.option("--run-attempt", type=click.IntRange(1), default=None, help="Another run attempt than the last: 1 + number of re-runs.")
@click.option("--since", default=None, metavar="TIME", help="Only lines from then on: an ISO time, or 30s, 10m, 2h ago.")
@click.option("--grep", default=None, metavar="REGEX", help="Only lines that match.")
@click.option("--timestamps", is_flag=True, help="Each line with its time.")
@click.option("--raw", is_flag=True, help="The text alone, without job names.")
@json_option
@run_argument
@target_options
def logs(
    *,
    target: Target,
    run: str,
    follow: bool,
    failed: bool,
    attempt: int | None,
    run_attempt: int | None,
    since: str | None,
    grep: str | None,
    timestamps: bool,
    raw: bool,
    as_json: bool,
) -> int:
    """Show the log of RUN, RUN/JOB or RUN/JOB/STEP."""
    shown = Shown(attempt, moment(since), _pattern(grep), timestamps, raw, as_json, failed)
    words = split(run)
    with connected(target) as client:
        found = find_run(client, words.run)
        if run_attempt is not None:
            found = client.get(f"/runs/{found['id']}/attempts/{run_attempt}")
        print_logs(client, found, words.rest, shown, follow=follow)
    return Exit.OK


def print_logs(
    client: Client, run: Json, rest: str = "", shown: Shown | None = None, *, failed: bool = False, follow: bool = False
) -> None:
    """Print the log of a run, or of the job or step that `rest` names."""
    shown = shown or Shown(failed=failed)
    jobs, step = find_jobs(list(client.items(f"/runs/{run['id']}/jobs", run_attempt=run["run_attempt"])), rest)
    if follow and run["status"] != "completed":
        from gateway.cli.live_logs import follow_logs

        follow_logs(client, run, rest, jobs, shown)
        return
    print_stored(client, jobs, step, shown, Prefix(jobs, several=len(jobs) > 1 and not shown.raw), run=run, named=bool(rest))


class Prefix:
    """Names the job of a line where there are several. jobs: those whose names make the column's width."""

    def __init__(self, jobs: Iterable[Json], *, several: bool) -> None:
        self.several = several
        self.width = max((len(str(job["name"])) for job in jobs), default=0)

    def add(self, job: Json) -> None:
        """One more job."""
        self.width = max(self.width, len(str(job["name"])))

    def of(self, job: Json) -> str:
        """What stands before a line of this job."""
        return f"{render.safe(job['name']).ljust(self.width)} | " if self.several else ""


def print_stored(client: Client, jobs: list[Json], step: str, shown: Shown, prefix: Prefix, *, run: Json, named: bool) -> None:
    """Print what there is of these jobs' logs, one job after the other. named: the user has named them."""
    if shown.failed:
        jobs = [job for job in jobs if job.get("conclusion") in ("failure", "timed_out", "cancelled")]
    for job in jobs:
        if not job.get("attempt"):
            if named or len(jobs) == 1:
                click.echo(f"{render.safe(job['name'])} has no log, it never ran: {_why(job)}", err=True)
            continue
        if shown.attempt is not None and shown.attempt > job["attempt"]:
            hint = f"; the run has {run['run_attempt']} run attempts: --run-attempt" if run["run_attempt"] > 1 else ""
            click.echo(f"{render.safe(job['name'])} has no attempt {shown.attempt}, its last one is {job['attempt']}{hint}", err=True)
            continue
        lines = Lines(job, step, shown)
        for record in client.lines(f"/jobs/{job['id']}/logs", attempt=shown.attempt):
            lines.print(record, prefix)


class Lines:
    """Prints those records of a job that are to be shown. step: which one, as the user names it; "" for all."""

    def __init__(self, job: Json, step: str, shown: Shown) -> None:
        self._job = job
        self._shown = shown
        steps = job.get("steps") or ()
        self._only = find_step(job, step) if step else None
        self._failing = {each["index"] for each in steps if each.get("conclusion") == "failure"} if shown.failed else set()
        named = () if step or shown.raw else steps
        self._beside = {each["index"]: f"{render.safe(each['name'])} | " for each in named if each.get("background")}

    def print(self, record: Json, prefix: Prefix) -> None:
        """Print a record, if it is to be shown."""
        if self._only is not None and record["step"] != self._only:
            return
        if self._failing and record["step"] not in self._failing:
            return
        if _passes(record, self._shown):
            _print(record, self._job, prefix.of(self._job) + self._beside.get(record["step"], ""), self._shown)


def _why(job: Json) -> str:
    return ", ".join(str(part) for part in (render.word(job), job.get("reason")) if part)


def _passes(record: Json, shown: Shown) -> bool:
    if shown.since is not None and datetime.fromisoformat(record["at"]) < shown.since:
        return False
    return shown.grep is None or shown.grep.search(record["text"]) is not None


def _print(record: Json, job: Json, prefix: str, shown: Shown) -> None:
    if shown.as_json:
        render.print_json_line({"job": job["name"], **record})
        return
    time = f"{record['at']} " if shown.timestamps else ""
    print(f"{prefix}{time}{for_terminal(record['text'])}")


def for_terminal(text: str) -> str:
    """The text, without what a terminal would act on where standard output is one."""
    return ESCAPES.sub("", text) if sys.stdout.isatty() else text


def moment(text: str | None) -> datetime | None:
    """An instant as people write it: ISO 8601, or so long ago (30s, 10m, 2h, 1d)."""
    if text is None:
        return None
    ago = re.fullmatch(r"(\d+)([smhd])", text)
    if ago:
        seconds = int(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]]
        return datetime.now(UTC) - timedelta(seconds=seconds)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise usage(f'"{text}" is not a time', "write 10m, 2h or 2026-11-21T14:20:00Z") from None
    return found if found.tzinfo else found.astimezone()


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text is not None else None
    except re.error as error:
        raise usage(f'"{text}" is not a regular expression: {error}') from None
