"""`run [EVENT]`: run the workflows of a repository now, with live output.

Plan first: what is broken, not supported, not triggered or without a runner is refused before anything is queued. Then
the run goes to the server of the data directory when one is up, else to a stack that lives as long as the run does.
"""

import os
import platform
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from domain.workflow.calls import key_in
from domain.workflow.step_order import in_order
from gateway.cli import labels as runner_labels
from gateway.cli import planning, render
from gateway.cli.board import Places
from gateway.cli.client import Client
from gateway.cli.connect import own_or_running, running
from gateway.cli.errors import Exit
from gateway.cli.options import data_option, default_data
from gateway.cli.show import labels_of, show_jobs, show_plan
from gateway.cli.stack import OwnStack

Json = dict[str, Any]

MIN_RUNNERS, MAX_RUNNERS = 2, 8


@click.command()
@click.argument("event", default="push")
@click.option(
    "-C", "--directory", "directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path(), help="The repository."
)
@click.option("-W", "--workflow", "files", multiple=True, metavar="FILE", help="Only this workflow file (can be repeated).")
@click.option("-j", "--job", "jobs", multiple=True, metavar="JOB", help="Only this job and what it needs (can be repeated).")
@click.option("-l", "--list", "list_only", is_flag=True, help="List the jobs and end.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would run and end.")
@click.option("--matrix", multiple=True, metavar="K:V", help="Only matrix jobs with this value (can be repeated).")
@click.option("-e", "--event-file", type=click.Path(path_type=Path), default=None, metavar="EVENT.json", help="The event's payload.")
@click.option("--input", "inputs", multiple=True, metavar="K=V", help="An input of workflow_dispatch (can be repeated).")
@click.option("--labels", default="", metavar="L,...", help="More labels for the local runners.")
@data_option()
@click.option("--progress", type=click.Choice(("plain", "tty")), default=None, help="How progress is shown.")
@click.option("--json", "as_json", is_flag=True, help="The finished runs as JSON on standard output; progress on standard error.")
def run(
    *,
    event: str,
    directory: Path,
    files: tuple[str, ...],
    jobs: tuple[str, ...],
    list_only: bool,
    dry_run: bool,
    matrix: tuple[str, ...],
    event_file: Path | None,
    inputs: tuple[str, ...],
    labels: str,
    data: Path | None,
    progress: str | None,
    as_json: bool,
) -> int:
    """Run the workflows that listen to EVENT (push). The source is the work tree as it is; it is never touched.

    Ctrl-C asks for cancel, and a second one kills; with a server up, Ctrl-C lets go and the run goes on.
    """
    data = (data or default_data()).absolute()
    ask = planning.Ask(
        directory=directory,
        data=data,
        event=event,
        files=files,
        payload_file=event_file,
        inputs={key: values[-1] for key, values in planning.pairs(inputs, "--input", "=").items()},
        jobs=jobs,
        matrix=planning.pairs(matrix, "--matrix", ":"),
    )
    extra = labels_of(labels)
    with ExitStack() as stacks:
        server = None if dry_run or list_only else running(data)
        own = None
        if server is None and not dry_run and not list_only:
            runners = max(MIN_RUNNERS, min(MAX_RUNNERS, os.cpu_count() or 1))
            own = stacks.enter_context(OwnStack(data, runners=runners, labels=extra))
        plan = planning.make(ask, lambda: running(data) if own is None else None)
        if list_only:
            show_jobs(plan, as_json=as_json)
            return Exit.OK
        planning.refuse_broken(plan)
        planning.refuse_nothing(plan)
        planning.refuse_unknown_jobs(plan)
        if server is None:
            runner_labels.refuse(plan, (*default_labels(), *extra))
        if dry_run:
            show_plan(plan, as_json=as_json)
            return Exit.OK
        return _execute(plan, data, server, own, extra, progress=progress, as_json=as_json)


def _execute(
    plan: planning.Plan,
    data: Path,
    server: Client | None,
    own: OwnStack | None,
    extra: tuple[str, ...],
    *,
    progress: str | None,
    as_json: bool,
) -> int:
    from gateway.cli.following import Following
    from gateway.cli.live import INTERRUPTED, follow

    for line in plan.snapshot.left_out:
        click.echo(f"warning: not in the source: {line.removeprefix('error: ')}", err=True)
    detach = own is None
    client = server
    if own is not None:
        client, detach = own_or_running(own, data)
    if client is None:
        raise ValueError("a run needs a server or a stack of its own")
    started = submit(client, plan)
    for each in started:
        click.echo(_headline(plan, each, url=detach), err=as_json)
    have = None if detach else (*default_labels(), *extra)
    following = None if detach else Following(client, plan).of
    code = follow(client, started, progress=progress, detach=detach, as_json=as_json, places=places(plan), labels=have, following=following)
    if own is not None and not detach and code == INTERRUPTED:
        own.kill()
    return code


def places(plan: planning.Plan) -> Places:
    """The place of every step, those of called workflows too, for the summary of a failure."""
    found: Places = {}
    for path, workflow in plan.chosen.items():
        pending = [("", workflow)]
        while pending:
            prefix, scope = pending.pop()
            for job in scope.jobs.values():
                key = key_in(prefix, job.key)
                found.update({(path, key, step.index): f"{scope.path}:{step.place.line}" for step in in_order(job.steps)})
                if job.uses in workflow.called:
                    pending.append((key, workflow.called[job.uses]))
    return found


def submit(client: Client, plan: planning.Plan) -> list[Json]:
    """Start the runs of the plan; returns them as the server names them."""
    request = plan.request
    body = {
        "repository": request.repository,
        "source_url": request.source_url,
        "sha": request.sha,
        "ref": request.ref,
        "event": request.event,
        "payload": request.payload,
        "inputs": request.inputs,
        "workflows": [{"path": file.path, "text": file.text} for file in request.workflows],
        "called": [{"path": file.path, "text": file.text} for file in request.called],
        "jobs": request.jobs,
        "matrix": request.matrix,
        "changed_paths": request.changed_paths,
        "head_ref": request.head_ref,
        "base_ref": request.base_ref,
        "default_branch": request.default_branch,
    }
    runs: list[Json] = client.post("/runs", body)["runs"]
    return [each | {"id": each["run_id"], "workflow_path": each["workflow"]} for each in runs]


def _headline(plan: planning.Plan, run_: Json, *, url: bool) -> str:
    taken = plan.snapshot
    ref, at = render.short_ref(plan.request.ref), render.short_sha(taken.repository.head)
    source = f"{ref}@{at}" if at else ref
    what = f"local changes of {source}" if taken.dirty else source
    path = str(run_["workflow"])
    return f"{path.rpartition('/')[2]}  on {plan.request.event} ({what})   run #{run_['number']}  {run_.get('url') if url else ''}".rstrip()


def default_labels() -> tuple[str, ...]:
    """The labels of a local runner on this machine."""
    arch = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x64")
    return ("self-hosted", "linux", arch, "ubuntu-latest", "ubuntu-24.04", "ubuntu-22.04")
