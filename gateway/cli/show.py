"""Plans in words: which jobs would run in which order, and which workflows would not and why."""

from datetime import UTC, datetime
from typing import Any

import click

from domain import schedule
from domain.cron_times import next_time
from domain.workflow import matrix as matrices
from domain.workflow.diagnostics import as_json as diagnostic_json
from domain.workflow.narrowing import with_needs
from gateway.cli import planning, render

Json = dict[str, Any]
COMBINATIONS_SHOWN = 12


def labels_of(text: str) -> tuple[str, ...]:
    """`a, b` as labels."""
    return tuple(label.strip() for label in text.split(",") if label.strip())


def jobs_of(plan: planning.Plan, workflows: dict[str, Any]) -> list[Json]:
    """The jobs of some workflows with the stage in which they can start at the earliest (from 0)."""
    found = []
    for path, workflow in workflows.items():
        stages: dict[str, int] = {}
        wanted = with_needs(workflow.jobs, plan.request.jobs)
        while len(stages) < len(wanted):
            for key in wanted:
                needs = workflow.jobs[key].needs
                if key not in stages and all(need in stages for need in needs):
                    stages[key] = max((stages[need] + 1 for need in needs), default=0)
        for key in sorted(wanted, key=lambda key: stages[key]):
            job = workflow.jobs[key]
            matrix = job.strategy.matrix if job.strategy else None
            labels = [job.runs_on] if isinstance(job.runs_on, str) else list(job.runs_on)
            found.append(
                {
                    "workflow": path,
                    "workflow_name": workflow.name or path,
                    "events": list(workflow.on),
                    "stage": stages[key],
                    "job": key,
                    "name": job.name or key,
                    "needs": list(job.needs),
                    "runs_on": labels,
                    "uses": job.uses,
                    "matrix": matrix,
                    "combinations": matrices.written_out(matrix) if matrix is not None else [],
                    "if": job.condition,
                    "steps": len(job.steps),
                    "line": job.place.line,
                }
            )
    return found


def show_jobs(plan: planning.Plan, *, as_json: bool) -> None:
    """All jobs of all files, as `run -l` lists them."""
    jobs = jobs_of(plan, plan.listening)
    if as_json:
        render.print_json(jobs)
        return
    rows = [(job["stage"], job["job"], job["name"], job["workflow"].rpartition("/")[2], ",".join(job["events"])) for job in jobs]
    text = render.table(("STAGE", "JOB", "NAME", "FILE", "EVENTS"), rows)
    click.echo(text or "no jobs", err=not text)
    for each in plan.diagnostics:
        click.echo(each.one_line(), err=True)


def show_plan(plan: planning.Plan, *, as_json: bool) -> None:
    """What would run, and what not and why."""
    jobs = jobs_of(plan, plan.chosen)
    if as_json:
        render.print_json(
            {
                "event": plan.request.event,
                "ref": plan.request.ref,
                "sha": plan.request.sha,
                "repository": plan.request.repository.full_name,
                "jobs": jobs,
                "schedule": _times(plan),
                "not_triggered": list(plan.rejected.values()),
                "diagnostics": [diagnostic_json(each) for each in plan.diagnostics],
            }
        )
        return
    taken = plan.snapshot
    what = "with local changes" if taken.dirty else "unchanged"
    request = plan.request
    click.echo(f"{request.event} on {request.ref} of {request.repository.full_name} at {render.short_sha(request.sha)} ({what})")
    for path in plan.chosen:
        click.echo(f"\n{path}")
        for entry in _times(plan):
            if entry["workflow"] == path:
                when = f"next {entry['next_at']:%Y-%m-%d %H:%M} UTC" if entry["next_at"] else "never"
                click.echo(f"  at {entry['cron']}  {entry['timezone']}  {when}")
        for job in jobs:
            if job["workflow"] == path:
                parts = [f"  {job['stage']}  {job['job']}", f"calls {job['uses']}" if job["uses"] else f"on {', '.join(job['runs_on'])}"]
                parts += [f"needs {', '.join(job['needs'])}"] if job["needs"] else []
                parts += [f"matrix {_matrix(job)}"] if job["matrix"] else []
                parts += [f"if {job['if']}"] if job["if"] else []
                click.echo("  ".join(parts))
    if plan.rejected:
        click.echo("\nnot triggered")
        for path, unstarted in plan.rejected.items():
            click.echo(f"  {path}: {unstarted.reason}")
    for each in plan.diagnostics:
        click.echo(each.one_line(), err=True)


def _times(plan: planning.Plan) -> list[Json]:
    """The entries that a schedule would start, each with its next time."""
    if plan.request.event != "schedule":
        return []
    entries = (entry for path, workflow in plan.chosen.items() for entry in schedule.entries_in(path, workflow.on))
    return [
        {
            "workflow": each.workflow,
            "cron": each.cron,
            "timezone": each.timezone,
            "next_at": next_time(each.cron, each.timezone, datetime.now(UTC)),
        }
        for each in entries
    ]


def _matrix(job: Json) -> str:
    """The jobs that a matrix makes, by the values that tell them apart; as it is written where nobody can know them yet."""
    matrix, combinations = job["matrix"], job["combinations"]
    if combinations is None:
        written = matrix.items() if isinstance(matrix, dict) else [("", matrix)]
        return ", ".join(f"{axis}={values}" if axis else str(values) for axis, values in written)
    shown = [matrices.display_name("", each).strip() for each in combinations[:COMBINATIONS_SHOWN]]
    more = len(combinations) - len(shown)
    return f"of {len(combinations)}: {' '.join(shown)}" + (f" and {more} more" if more else "")
