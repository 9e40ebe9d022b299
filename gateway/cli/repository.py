"""`repository add/list/set/deliveries`: the repositories that a server knows, and what holds for all of their runs.

A webhook secret is read from standard input: on a command line everybody on the machine could see it.
"""

import sys
from itertools import islice
from typing import Any

import click

from gateway.cli import render
from gateway.cli.client import Client
from gateway.cli.connect import connected
from gateway.cli.errors import CliError, Exit, usage
from gateway.cli.options import Target, json_option, target_options

DELIVERIES_SHOWN = 30


@click.group()
def repository() -> None:
    """Add and list repositories and change their settings."""


secret_option = click.option("--webhook-secret", "with_secret", is_flag=True, help="Read the secret of its webhooks from standard input.")


@repository.command()
@click.argument("name", metavar="OWNER/NAME")
@click.argument("clone_url", metavar="URL")
@click.option("--provider", type=click.Choice(("github", "gitea", "gitlab", "git")), required=True, help="Whose webhooks it sends.")
@click.option("--default-branch", default="main", show_default=True, metavar="BRANCH", help="Where events without a commit run.")
@secret_option
@json_option
@target_options
def add(*, target: Target, name: str, clone_url: str, provider: str, default_branch: str, with_secret: bool, as_json: bool) -> None:
    """Register the repository OWNER/NAME, which is fetched from URL; one that is known gets these facts."""
    body = {"full_name": name, "provider": provider, "clone_url": clone_url, "default_branch": default_branch} | _secret(with_secret)
    with connected(target) as client:
        added = client.post("/repositories", body)
    if as_json:
        render.print_json(added)
        return
    click.echo(f"{name} added ({added['id']})", err=True)
    if provider != "git":
        click.echo(f"let {provider} send its webhooks to {client.url}/api/v1/webhooks/{provider}", err=True)


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


@repository.command()
@click.argument("name", metavar="REPOSITORY")
@json_option
@target_options
def deliveries(*, target: Target, name: str, as_json: bool) -> None:
    """Show the newest webhook deliveries of REPOSITORY, what they started, and why not."""
    with connected(target) as client:
        found = list(islice(client.items("/deliveries", repository=_find(client, name)["id"]), DELIVERIES_SHOWN))
    if as_json:
        render.print_json(found)
        return
    for each in found:
        said = each["reason"] or f"{len(each['runs'])} of {len(each['runs']) + len(each['unstarted'])} workflows started"
        click.echo(f"{each['status']:9} {render.safe(each['event']):20} {render.age(each['received_at'])}  {render.safe(said)}")
        for run in each["runs"]:
            click.echo(f"          {render.safe(run['workflow'])}: run {run['run'][:8]}")
        for not_started in each["unstarted"]:
            click.echo(f"          {render.safe(not_started['workflow'])}: {render.safe(not_started['reason'])}")
    if not found:
        click.echo("no deliveries", err=True)


@repository.command()
@click.argument("name", metavar="REPOSITORY")
@json_option
@target_options
def statuses(*, target: Target, name: str, as_json: bool) -> None:
    """Show the newest commit statuses of REPOSITORY, and whether its forge was told."""
    with connected(target) as client:
        found = list(islice(client.items("/commit-statuses", repository=_find(client, name)["id"]), DELIVERIES_SHOWN))
    if as_json:
        render.print_json(found)
        return
    rows = [
        (each["sha"][:7], each["state"], each["progress"], render.age(each["wanted_at"]), each["context"], each["reason"]) for each in found
    ]
    text = render.table(("COMMIT", "STATE", "FORGE", "AGE", "CONTEXT", "REASON"), rows)
    click.echo(text or "no commit statuses", err=not text)


@repository.command("set")
@click.argument("name", metavar="REPOSITORY")
@click.option("--retry", default=None, metavar="POLICY", help='As in "max=3 on=lost,failed backoff=5s"; "" for the default.')
@click.option("--clone-url", default=None, metavar="URL", help="Where it is fetched from.")
@click.option("--default-branch", default=None, metavar="BRANCH", help="Where events without a commit run.")
@secret_option
@target_options
def set_(*, target: Target, name: str, with_secret: bool, **changes: str | None) -> None:
    """Set what holds for the new runs of REPOSITORY (a name, or a prefix of an id)."""
    body = {field: value for field, value in changes.items() if value is not None} | _secret(with_secret)
    if not body:
        raise usage("nothing was said to set", "--retry, --clone-url, --default-branch or --webhook-secret")
    with connected(target) as client:
        found = _find(client, name)
        client.patch(f"/repositories/{found['id']}", body)
    said = ", ".join(_said(field, value) for field, value in body.items())
    click.echo(f"{found['full_name']}: {said}", err=True)


def _said(field: str, value: str) -> str:
    if field == "webhook_secret":
        return "another webhook secret; the one before counts for another day"
    return f"{field.replace('_', ' ')} {value or 'as by default'}"


def _secret(with_secret: bool) -> dict[str, str]:
    """The secret's part of a body. The line's end is none of it."""
    return {"webhook_secret": sys.stdin.read().rstrip("\r\n")} if with_secret else {}


def _find(client: Client, name: str) -> dict[str, Any]:
    found = [
        each for each in client.items("/repositories") if name == each["full_name"] or (len(name) >= 4 and each["id"].startswith(name))
    ]
    if not found:
        raise CliError("RUN016", f'no repository is called "{name}"', help="ledgermill repository list", exit_code=Exit.NOT_FOUND)
    if len(found) > 1:
        raise usage(f'"{name}" may mean {", ".join(each["id"] for each in found)}', "write the id")
    return found[0]
