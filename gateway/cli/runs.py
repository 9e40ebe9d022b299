"""`runs list/view/watch/cancel/rerun`, and the last three for short: named and flagged as `gh run` names them."""

from typing import Any

import click

from gateway.cli import render
from gateway.cli.connect import connected
from gateway.cli.errors import Exit
from gateway.cli.options import Target, json_option, run_argument, target_options
from gateway.cli.rerun import rerun
from gateway.cli.resolve import find_run

Json = dict[str, Any]


@click.group()
def runs() -> None:
    """List, view, watch, cancel and re-run runs."""


runs.add_command(rerun)


@runs.command("list")
@click.option("--status", default=None, help="queued, in_progress, completed, or a conclusion.")
@click.option("--branch", default=None, help="Only runs of this branch.")
@click.option("--event", default=None, help="Only runs of this event.")
@click.option("-L", "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="At most so many.")
@json_option
@target_options
def list_(*, target: Target, status: str | None, branch: str | None, event: str | None, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    with connected(target) as client:
        found: list[Json] = []
        for run in client.items("/runs", status=status, branch=branch, event=event, per_page=min(limit, 100)):
            found.append(run)
            if len(found) == limit:
                break
    if as_json:
        render.print_json(found)
        return
    rows = [
        (
            render.word(run),
            f"{run['workflow']}#{run['number']}",
            str(run["run_attempt"]),
            run["event"],
            render.short_ref(run["ref"]),
            render.short_sha(run["sha"]),
            render.duration(render.seconds_between(run.get("started_at"), run.get("completed_at"))),
            render.age(run["created_at"]),
            run["id"][:8],
        )
        for run in found
    ]
    text = render.table(("STATUS", "RUN", "ATTEMPT", "EVENT", "REF", "COMMIT", "TOOK", "AGE", "ID"), rows)
    click.echo(text or "no runs", err=not text)


@runs.command("view")
@click.option("--attempt", type=click.IntRange(1), default=None, help="As it was in this run attempt (1 + number of re-runs).")
@click.option("--log", is_flag=True, help="The whole log.")
@click.option("--log-failed", is_flag=True, help="The log of failed steps.")
@click.option("--exit-status", is_flag=True, help="Exit 1 when the run failed.")
@json_option
@run_argument
@target_options
def view(*, target: Target, run: str, attempt: int | None, log: bool, log_failed: bool, exit_status: bool, as_json: bool) -> int:
    """Show one run with its jobs and steps."""
    with connected(target) as client:
        found = find_run(client, run)
        if attempt is not None:
            found = client.get(f"/runs/{found['id']}/attempts/{attempt}")
        if log or log_failed:
            from gateway.cli.logs import print_logs

            print_logs(client, found, failed=log_failed)
        else:
            jobs = list(client.items(f"/runs/{found['id']}/jobs", run_attempt=found["run_attempt"]))
            if as_json:
                render.print_json(found | {"jobs": jobs})
            else:
                click.echo(describe(found, jobs))
    return exit_code(found) if exit_status else Exit.OK


@runs.command("watch")
@click.option("--fail-fast", is_flag=True, help="Return as soon as one job has failed.")
@click.option("--progress", type=click.Choice(("plain", "tty")), default=None, help="How progress is shown.")
@run_argument
@target_options
def watch(*, target: Target, run: str, fail_fast: bool, progress: str | None) -> int:
    """Follow a run live; exits as the run does: 0 success, 1 failed, 2 cancelled, 3 infrastructure error."""
    from gateway.cli.live import follow

    with connected(target) as client:
        return follow(client, [find_run(client, run)], progress=progress, fail_fast=fail_fast, detach=True)


@runs.command("cancel")
@click.option("--force", is_flag=True, help="Without letting steps clean up.")
@json_option
@run_argument
@target_options
def cancel(*, target: Target, run: str, force: bool, as_json: bool) -> None:
    """Ask for the end of a run."""
    with connected(target) as client:
        found = find_run(client, run)
        answer = client.post(f"/runs/{found['id']}/cancel", {"force": force}) or {}
    if as_json:
        render.print_json({"id": found["id"]} | answer)
    else:
        click.echo(f"asked {found['workflow']}#{found['number']} to cancel; ledgermill watch {found['id'][:8]}", err=True)


def describe(run: Json, jobs: list[Json]) -> str:
    """A run, its jobs and their steps as text."""
    took = render.duration(render.seconds_between(run.get("started_at"), run.get("completed_at")))
    head = f"{render.mark(render.word(run))} {run['workflow']}#{run['number']}  {render.word(run)}"
    where = f"{run['event']} on {render.short_ref(run['ref'])} @ {render.short_sha(run['sha'])}"
    lines = [f"{head}  {took}".rstrip(), f"  {where}  {render.age(run['created_at'])}  {run['id']}", f"  {run['url']}"]
    if run["run_attempt"] > 1:
        earlier = f"ledgermill runs view {run['id'][:8]} --attempt {run['run_attempt'] - 1} shows the one before"
        lines.append(f"  run attempt {run['run_attempt']}; {earlier}")
    lines.append("")
    for job in jobs:
        took = render.duration(render.seconds_between(job.get("started_at"), job.get("completed_at")))
        runner = f"on {job['runner']}" if job.get("runner") else ""
        attempt = f"attempt {job['attempt']}" if (job.get("attempt") or 0) > 1 else ""
        reason = str(job.get("reason") or "") if render.word(job) != "success" else ""
        carried = f"of run attempt {job['run_attempt']}" if job["run_attempt"] < run["run_attempt"] else ""
        parts = [render.mark(render.word(job)), render.safe(job["name"]), took, runner, attempt, carried, reason]
        lines.append("  ".join(part for part in parts if part))
        for step in job.get("steps") or ():
            took = render.duration(render.seconds_between(step.get("started_at"), step.get("completed_at")))
            code = f"exit {step['exit_code']}" if step.get("exit_code") else ""
            parts = [f"    {render.mark(render.word(step))}", render.safe(step["name"]), took, code]
            lines.append("  ".join(part for part in parts if part))
    return "\n".join(lines)


def exit_code(run: Json) -> Exit:
    """The exit code that a run's conclusion means; 0 while it has none."""
    conclusion = run.get("conclusion")
    if conclusion == "cancelled":
        return Exit.CANCELLED
    return Exit.OK if conclusion in (None, "success", "skipped", "neutral") else Exit.FAILED
