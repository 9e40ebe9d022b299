"""`repository list/set`: the repositories that a server has seen, and what holds for all of their runs."""

from typing import Any

import click

from gateway.cli import render
from gateway.cli.client import Client
from gateway.cli.connect import connected
from gateway.cli.errors import CliError, Exit, usage
from gateway.cli.options import Target, json_option, target_options


@click.group()
def repository() -> None:
    """List repositories and change their settings."""


@repository.command("list")
@json_option
@target_options
def list_(*, target: Target, as_json: bool) -> None:
    """List the repositories that the server has seen."""
    with connected(target) as client:
        found = list(client.items("/repositories"))
    if as_json:
        render.print_json(found)
        return
    rows = [(each["full_name"], each["provider"], each["default_branch"], each["retry"] or "default", each["id"][:8]) for each in found]
    text = render.table(("NAME", "PROVIDER", "BRANCH", "RETRY", "ID"), rows)
    click.echo(text or "no repositories", err=not text)


@repository.command("set")
@click.argument("name", metavar="REPOSITORY")
@click.option("--retry", required=True, metavar="POLICY", help='As in "max=3 on=lost,failed backoff=5s"; "" for the default.')
@target_options
def set_(*, target: Target, name: str, retry: str) -> None:
    """Set what holds for the new runs of REPOSITORY (a name, or a prefix of an id)."""
    with connected(target) as client:
        found = _find(client, name)
        client.patch(f"/repositories/{found['id']}", {"retry": retry})
    click.echo(f"{found['full_name']}: retry {retry or 'as by default'}", err=True)


def _find(client: Client, name: str) -> dict[str, Any]:
    found = [
        each for each in client.items("/repositories") if name == each["full_name"] or (len(name) >= 4 and each["id"].startswith(name))
    ]
    if not found:
        raise CliError("RUN016", f'no repository is called "{name}"', help="ledgermill repository list", exit_code=Exit.NOT_FOUND)
    if len(found) > 1:
        raise usage(f'"{name}" may mean {", ".join(each["id"] for each in found)}', "write the id")
    return found[0]
