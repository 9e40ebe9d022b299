"""`runner register/start/list/drain/remove`: the fleet.

`start` runs an agent in the foreground of this machine; everything that it does is in the package runner, which knows
the protocol and nothing of the store.
"""

import os
import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli import render
from gateway.cli.client import Client
from gateway.cli.connect import connected
from gateway.cli.errors import CliError, Exit, usage
from gateway.cli.options import Target, data_option, default_data, json_option, target_options
from gateway.cli.wiring import server_of

Json = dict[str, Any]


@click.group()
def runner() -> None:
    """Register, start, list, drain and remove runners."""


@runner.command("list")
@json_option
@target_options
def list_(*, target: Target, as_json: bool) -> None:
    """List the runners."""
    with connected(target) as client:
        found = list(client.items("/runners"))
    if as_json:
        render.print_json(found)
        return
    rows = [
        (each["name"], each["state"], ", ".join(each["labels"]), len(each.get("jobs") or ()), each.get("pid"), each["id"][:8])
        for each in found
    ]
    text = render.table(("NAME", "STATE", "LABELS", "JOBS", "PID", "ID"), rows)
    click.echo(text or "no runners", err=not text)


@runner.command()
@click.option("--url", default=None, help="The server (default: the one of --data).")
@click.option(
    "--token-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None, help="File with the runner token."
)
@click.option("--name", default=None, help="The runner's name (default: this machine's).")
@click.option("--labels", default="", metavar="L,...", help="Its labels.")
@click.option("--slots", default=1, show_default=True, type=click.IntRange(1), help="How many jobs run at a time.")
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), default=None, help="Its working folder.")
@click.option("--once", is_flag=True, help="Leave after one job.")
@click.option("--ephemeral", is_flag=True, help="Leave after one job and never come back under this identity.")
@data_option()
def start(
    *,
    url: str | None,
    token_file: Path | None,
    name: str | None,
    labels: str,
    slots: int,
    work: Path | None,
    once: bool,
    ephemeral: bool,
    data: Path | None,
) -> None:
    """Run an agent on this machine until it is stopped. It registers itself at its first contact."""
    place = (data or default_data()).absolute()
    if url is None:
        server = server_of(place)
        if server is None or server.url is None:
            raise CliError("CLI003", f"no server runs on {place}", help="name one: --url URL --token-file FILE", exit_code=Exit.NOT_FOUND)
        url, token_file = server.url, token_file or place / "runner-token"
    if token_file is None:
        raise usage("--url needs --token-file")
    command = [sys.executable, "-P", "-m", "runner", "--url", url, "--token-file", str(token_file), "--slots", str(slots)]
    command += [
        part for option, value in (("--name", name), ("--labels", labels), ("--work", work)) if value for part in (option, str(value))
    ]
    command += [option for option, wanted in (("--once", once), ("--ephemeral", ephemeral)) if wanted]
    os.execv(sys.executable, command)  # noqa: S606 - the agent takes this process's place: its signals and its exit code are the verb's


@runner.command()
@target_options
def register(*, target: Target) -> None:
    """Say how a runner of another machine joins this server: the command to run there, and the token that it needs."""
    with connected(target) as client:
        url = client.url
    if target.server is not None:
        raise usage("the token of a server elsewhere is not known here", "run this on the server's own machine")
    click.echo(f"ledgermill runner start --url {url} --token-file FILE --labels L,...")
    click.echo(f"FILE holds what {target.data / 'runner-token'} holds; the runner registers itself at its first contact", err=True)


@runner.command()
@click.argument("name")
@json_option
@target_options
def drain(*, target: Target, name: str, as_json: bool) -> None:
    """Let runner NAME finish what it has and take nothing new."""
    with connected(target) as client:
        found = find(client, name)
        client.post(f"/runners/{found['id']}/drain")
    _say(found, "drains", as_json=as_json)


@runner.command()
@click.argument("name")
@json_option
@target_options
def remove(*, target: Target, name: str, as_json: bool) -> None:
    """Remove runner NAME for good."""
    with connected(target) as client:
        found = find(client, name)
        client.delete(f"/runners/{found['id']}")
    _say(found, "removed", as_json=as_json)


def find(client: Client, name: str) -> Json:
    """The runner with this name, id or unique prefix of an id."""
    found = [each for each in client.items("/runners") if name == each["name"] or (len(name) >= 4 and str(each["id"]).startswith(name))]
    if not found:
        raise CliError("RNR001", f'no runner is called "{name}"', help="ledgermill runner list", exit_code=Exit.NOT_FOUND)
    if len(found) > 1:
        raise usage(f'"{name}" may mean any of: {", ".join(str(each["id"])[:13] for each in found)}', "write more of the id")
    return found[0]


def _say(found: Json, what: str, *, as_json: bool) -> None:
    if as_json:
        render.print_json({"id": found["id"], "name": found["name"], "state": what})
    else:
        click.echo(f"{found['name']} {what}", err=True)
