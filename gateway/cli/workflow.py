"""`workflow list/view/enable/disable/dispatch`: the workflow files that a server knows, as `gh` names them.

WORKFLOW is a path, a file name with or without its ending, a name, or a prefix of an id. A disabled workflow answers no
event; what already runs goes on.
"""

from itertools import islice
from typing import Any

import click

from gateway.cli import render
from gateway.cli.client import Client
from gateway.cli.connect import connected
from gateway.cli.errors import CliError, Exit, usage
from gateway.cli.options import Target, json_option, target_options
from gateway.cli.resolve import LOOK_BACK

Json = dict[str, Any]

RUNS_SHOWN = 10

workflow_argument = click.argument("name", metavar="WORKFLOW")


@click.group()
def workflow() -> None:
    """List, view and start workflows; enable and disable them."""


@workflow.command("list")
@json_option
@target_options
def list_(*, target: Target, as_json: bool) -> None:
    """List the workflows that the server has seen."""
    with connected(target) as client:
        found = list(client.items("/workflows"))
        repositories = _repositories(client)
    if as_json:
        render.print_json(found)
        return
    rows = [(each["name"], _state(each), repositories.get(each["repository_id"], ""), each["path"], each["id"][:8]) for each in found]
    text = render.table(("NAME", "STATE", "REPOSITORY", "FILE", "ID"), rows)
    click.echo(text or "no workflows", err=not text)


@workflow.command()
@workflow_argument
@json_option
@target_options
def view(*, target: Target, name: str, as_json: bool) -> None:
    """Show one workflow and its newest runs."""
    with connected(target) as client:
        found = find(client, name)
        newest = islice(client.items("/runs", per_page=100), LOOK_BACK)
        runs = list(islice((run for run in newest if run["workflow_id"] == found["id"]), RUNS_SHOWN))
    if as_json:
        render.print_json(found | {"runs": runs})
        return
    click.echo(f"{render.safe(found['name'])}  {_state(found)}  {render.safe(found['path'])}  {found['id']}")
    rows = [(render.word(run), f"#{run['number']}", run["event"], render.age(run["created_at"]), run["id"][:8]) for run in runs]
    click.echo(render.table(("STATUS", "RUN", "EVENT", "AGE", "ID"), rows) or "no runs")


@workflow.command()
@workflow_argument
@target_options
def enable(*, target: Target, name: str) -> None:
    """Let WORKFLOW answer events again."""
    _switch(target, name, enabled=True)


@workflow.command()
@workflow_argument
@target_options
def disable(*, target: Target, name: str) -> None:
    """Let WORKFLOW answer no events."""
    _switch(target, name, enabled=False)


@workflow.command()
@workflow_argument
@click.option("--ref", default="", metavar="REF", help="The branch or tag to run on (default: the default branch).")
@click.option("--input", "inputs", multiple=True, metavar="K=V", help="An input of workflow_dispatch.")
@json_option
@target_options
def dispatch(*, target: Target, name: str, ref: str, inputs: tuple[str, ...], as_json: bool) -> None:
    """Start a run of WORKFLOW, which listens to workflow_dispatch."""
    given = dict(pair.split("=", 1) for pair in inputs if "=" in pair)
    if len(given) < len(inputs):
        raise usage("an input is written K=V, and each only once", "--input stage=live")
    with connected(target) as client:
        found = find(client, name)
        started = client.post(f"/workflows/{found['id']}/dispatches", {"ref": ref, "inputs": given})
    if as_json:
        render.print_json(started)
        return
    click.echo(f"started run {started['run_id']}; follow it: ledgermill watch {started['run_id'][:8]}", err=True)


def find(client: Client, name: str) -> Json:
    """The workflow that a name means. Raises CliError: not found (5), or ambiguous (64) with the candidates."""
    wanted = name.lower()
    found = [each for each in client.items("/workflows") if wanted in _names(each) or (len(wanted) >= 4 and each["id"].startswith(wanted))]
    if not found:
        raise CliError("RUN015", f'no workflow is called "{name}"', help="ledgermill workflow list", exit_code=Exit.NOT_FOUND)
    if len(found) > 1:
        repositories = _repositories(client)
        listed = "\n".join(f"  {repositories.get(each['repository_id'], '')} {each['path']}  {each['id']}" for each in found[:10])
        raise usage(f'"{name}" may mean any of {len(found)} workflows:\n{listed}', "write the id")
    return found[0]


def _switch(target: Target, name: str, *, enabled: bool) -> None:
    with connected(target) as client:
        found = find(client, name)
        client.patch(f"/workflows/{found['id']}", {"enabled": enabled})
    click.echo(f"{found['path']} {'enabled' if enabled else 'disabled'}", err=True)


def _names(each: Json) -> set[str]:
    path = str(each["path"]).lower()
    file = path.rpartition("/")[2]
    return {path, file, file.rpartition(".")[0], str(each["name"]).lower()}


def _repositories(client: Client) -> dict[str, str]:
    return {each["id"]: each["full_name"] for each in client.items("/repositories")}


def _state(each: Json) -> str:
    return "active" if each["enabled"] else "disabled"
