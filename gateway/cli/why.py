"""`why RUN[/JOB]`: the reasons behind a run or a job, the one that counts first, from the events.

--delivery tells of a webhook delivery instead: which workflows it started, and which filter kept each other one away.
"""

from pathlib import Path
from typing import Any
from uuid import UUID

import click

from gateway.cli import bundles, render
from gateway.cli.client import Client
from gateway.cli.connect import connected
from gateway.cli.errors import CliError, Exit
from gateway.cli.options import Target, json_option, target_options
from gateway.cli.resolve import find_jobs, find_run, split

Json = dict[str, Any]
SPENT_SHOWN = 5


@click.command()
@click.option("--delivery", is_flag=True, help="RUN is a webhook delivery: its id here or at the forge, or latest.")
@bundles.bundle_option
@bundles.key_option
@json_option
@click.argument("run", metavar="RUN[/JOB]", default="")
@target_options
def why(*, target: Target, run: str, delivery: bool, bundle: Path | None, key: Path | None, as_json: bool) -> None:
    """Tell why RUN or one of its jobs waits, was skipped, failed, was tried again, or took as long as it did."""
    if delivery:
        with connected(target) as client:
            answer: Json = client.get(f"/deliveries/{_delivery(client, run)}/why")
        render.print_json(answer) if as_json else click.echo(of_delivery(answer))
        return
    words = split(run)
    if bundle is not None:
        file = bundles.opened(bundle, key)
        found: Json = {"workflow": file.manifest.workflow, "number": file.manifest.number}
        told: Json = bundles.why(file)
    else:
        with connected(target) as client:
            found = find_run(client, words.run)
            told = client.get(f"/runs/{found['id']}/why")
    if words.rest:
        jobs, _ = find_jobs(told["jobs"], words.rest)
        render.print_json(jobs) if as_json else click.echo("\n\n".join(map(of_job, jobs)))
    elif as_json:
        render.print_json(told)
    else:
        click.echo(of_run(told, f"{found['workflow']}#{found['number']}"))


def _delivery(client: Client, name: str) -> str:
    """The id of a delivery: the newest one, the one with this id, or the newest with this id at the forge."""
    params = {} if name == "latest" else {"key": name}
    for each in client.items("/deliveries", per_page=1, **params):
        return str(each["id"])
    try:
        return str(UUID(name))
    except ValueError:
        help_ = "ledgermill repository deliveries REPOSITORY shows them"
        raise CliError("RUN017", f"there is no delivery {name}", help=help_, exit_code=Exit.NOT_FOUND) from None


def of_delivery(told: Json) -> str:
    """What a delivery came to: the runs that it started, then why not the others."""
    lines = [f"{told['event']} of {told['repository'] or told['provider']} {told['status']} ({told['key']})"]
    lines += [f"  started {run['name']}: run {run['id'][:8]}" for run in told.get("runs", ())]
    lines += [line for reason in told.get("reasons", ()) for line in chain(reason, 1)]
    return "\n".join(map(render.safe, lines))


def of_run(told: Json, name: str) -> str:
    """The run's reasons, then its jobs by what they are to its end, then where its time went."""
    lines = [f"{name} {told.get('conclusion') or told['state'].replace('_', ' ')}"]
    lines += [line for reason in told.get("reasons", ()) for line in chain(reason, 1)]
    others = [job for job in told.get("jobs", ()) if not job.get("root") and _top(job).get("code") not in ("succeeded", None)]
    if others:
        lines.append("the other jobs")
        lines += [f"  {_mark(job)} {job['name']}: {_top(job)['text']}" for job in others]
    again = [(job["name"], reason) for job in told.get("jobs", ()) for reason in job.get("retries", ())]
    if again:
        lines.append("tried again")
        lines += [f"  {job}: {reason['text']}" for job, reason in again]
    if told.get("spent"):
        parts = ", ".join(f"{each['cause']} {render.duration(each['seconds'])}" for each in told["spent"][:SPENT_SHOWN])
        names = {job["id"]: job["name"] for job in told["jobs"]}
        path = " -> ".join(names.get(job, job[:8]) for job in told["critical_path"])
        lines.append(f"{render.duration(told['seconds'])} in all, by way of {path}: {parts}")
    return "\n".join(map(render.safe, lines))


def of_job(job: Json) -> str:
    """A job's reasons, its attempts, its spans and steps."""
    lines = [f"{job['name']} {job.get('conclusion') or job['state'].replace('_', ' ')}"]
    lines += [line for reason in job.get("reasons", ()) for line in chain(reason, 1)]
    parts = _top(job).get("facts", {}).get("parts", ())
    lines += [f"    {part['text']} = {part['value']}" for part in parts]
    lines += [f"  {reason['text']}" for reason in job.get("retries", ())]
    for span in job.get("spans", ()):
        name = f" ({span['name']})" if span.get("name") else ""
        lines.append(f"  {render.duration(span['seconds']):>8}  {span['cause']}{name}{_still(span)}")
        if span["cause"] == "steps":
            own = [step for step in job.get("steps", ()) if step.get("attempt") == span.get("attempt")]
            lines += [f"  {render.duration(step['seconds']):>8}      {step['name']}{_still(step)}" for step in own]
    return "\n".join(map(render.safe, lines))


def chain(reason: Json, depth: int) -> list[str]:
    """A reason, and below it those behind it."""
    lines = [f"{'  ' * depth}{reason['text']}"]
    if reason.get("help") and depth == 1:
        lines.append(f"{'  ' * depth}help: {reason['help']}")
    return lines + [line for each in reason.get("because", ()) for line in chain(each, depth + 1)]


def _top(job: Json) -> Json:
    reasons = job.get("reasons") or [{}]
    top: Json = reasons[0]
    return top


def _mark(job: Json) -> str:
    return "follows" if job.get("knock_on") else str(job.get("conclusion") or job["state"].replace("_", " "))


def _still(span: Json) -> str:
    return "" if span.get("ended_at") else ", still"
