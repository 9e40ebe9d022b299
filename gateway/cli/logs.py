"""`logs RUN[/JOB[/STEP]]`: stored or live, the whole log or what failed.

The text of a log is data: away from a terminal it is printed byte for byte. On a terminal only colours pass; cursor
movements, titles and links of an untrusted program do not.
"""

import re
import sys
from collections.abc import Iterator
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
    if shown.failed:
        jobs = [job for job in jobs if job.get("conclusion") in ("failure", "timed_out", "cancelled")]
    wanted = {job["id"]: find_step(job, step) for job in jobs if step}
    prefixed = len(jobs) > 1 and not shown.raw
    width = max((len(str(job["name"])) for job in jobs), default=0)
    for job in jobs:
        if not job.get("attempt") and (rest or len(jobs) == 1) and not (follow and job["status"] != "completed"):
            click.echo(f"{render.safe(job['name'])} has no log, it never ran: {_why(job)}", err=True)
            continue
        if shown.attempt is not None and shown.attempt > job["attempt"]:
            hint = f"; the run has {run['run_attempt']} run attempts: --run-attempt" if run["run_attempt"] > 1 else ""
            click.echo(f"{render.safe(job['name'])} has no attempt {shown.attempt}, its last one is {job['attempt']}{hint}", err=True)
            continue
        failing = {each["index"] for each in job.get("steps") or () if each.get("conclusion") == "failure"}
        prefix = f"{render.safe(job['name']).ljust(width)} | " if prefixed else ""
        beside = {each["index"]: f"{render.safe(each['name'])} | " for each in job.get("steps") or () if each.get("background")}
        for record in _records(client, job, shown, follow=follow):
            if job["id"] in wanted and record["step"] != wanted[job["id"]]:
                continue
            if shown.failed and failing and record["step"] not in failing:
                continue
            if _passes(record, shown):
                _print(record, job, prefix + ("" if step or shown.raw else beside.get(record["step"], "")), shown)


def _why(job: Json) -> str:
    return ", ".join(str(part) for part in (render.word(job), job.get("reason")) if part)


def _records(client: Client, job: Json, shown: Shown, *, follow: bool) -> Iterator[Json]:
    if follow:
        for sent in client.stream(f"/jobs/{job['id']}/logs/stream"):
            yield from sent.data if isinstance(sent.data, list) else [sent.data]
    elif job.get("attempt"):
        yield from client.lines(f"/jobs/{job['id']}/logs", attempt=shown.attempt)


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
