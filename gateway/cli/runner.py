"""`runner token/register/start/list/drain/pause/resume/remove/group`: the fleet.

`start` runs an agent in the foreground of this machine; everything that it does is in the package runner, which knows
the protocol and nothing of the store.
"""

import os
import socket
import sys
from pathlib import Path
from typing import Any, TextIO

import click

from gateway.cli import render
from gateway.cli.client import Client
from gateway.cli.connect import connected
from gateway.cli.errors import CliError, Exit, usage
from gateway.cli.options import FILE, Target, data_option, default_data, json_option, target_options, tls_options
from gateway.cli.wiring import server_of

Json = dict[str, Any]
CREDENTIAL = "credential.json"

work_option = click.option("--work", type=click.Path(path_type=Path, file_okay=False), default=None, help="Its working folder.")


@click.group()
def runner() -> None:
    """Register, start, list, pause, drain and remove runners."""


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
        (
            each["name"],
            state_of(each),
            ", ".join(each["labels"]),
            each["group"] or "default",
            len(each["jobs"]),
            each["pid"],
            each["id"][:8],
        )
        for each in found
    ]
    text = render.table(("NAME", "STATE", "LABELS", "GROUP", "JOBS", "PID", "ID"), rows)
    click.echo(text or "no runners", err=not text)


@runner.command()
@click.option("--url", default=None, help="The server; several gateways with commas (default: as registered, else the one of --data).")
@click.option("--token-file", type=FILE, default=None, help="File with a runner token, for a runner that is not registered.")
@click.option("--name", default=None, help="The runner's name (default: this machine's).")
@click.option("--labels", default="", metavar="L,...", help="Its labels; those of a registered runner come from its registration.")
@click.option("--slots", default=1, show_default=True, type=click.IntRange(1), help="How many jobs run at a time.")
@work_option
@click.option("--once", is_flag=True, help="Leave after one job.")
@click.option("--ephemeral", is_flag=True, help="Leave after one job and never come back under this identity.")
@tls_options
@data_option()
def start(
    *, name: str | None, labels: str, slots: int, work: Path | None, once: bool, ephemeral: bool, data: Path | None, **server: Any
) -> None:
    """Run an agent on this machine until it is stopped: the registered one, else one of the local server."""
    kept = folder(name, work) / CREDENTIAL
    given: dict[str, Any] = {**server, "credential": kept if kept.exists() and server["token_file"] is None else None}
    if given["credential"] is None:
        place = (data or default_data()).absolute()
        given |= local(place, given["token_file"]) if given["url"] is None else {}
        if given["token_file"] is None:
            raise usage("--url needs --token-file, or a registration: ledgermill runner register")
    command = [sys.executable, "-P", "-m", "runner", "--slots", str(slots)]
    for option, value in {**given, "name": name, "labels": labels, "work": work}.items():
        command += [f"--{option.replace('_', '-')}", str(value)] if value else []
    command += [option for option, wanted in (("--once", once), ("--ephemeral", ephemeral)) if wanted]
    os.execv(sys.executable, command)  # noqa: S606 - the agent takes this process's place: its signals and its exit code are the verb's


@runner.command()
@click.option("--labels", default="", metavar="L,...", help="Labels beside self-hosted, system and architecture.")
@click.option("--group", default="default", show_default=True, help="The group that the runner joins.")
@click.option("--ephemeral", is_flag=True, help="For one job only.")
@json_option
@target_options
def token(*, target: Target, labels: str, group: str, ephemeral: bool, as_json: bool) -> None:
    """Make a registration token, good for one runner within ten minutes, and print it."""
    with connected(target) as client:
        made = client.post("/runners/registrations", {"labels": split_labels(labels), "group": group, "ephemeral": ephemeral})
    if as_json:
        render.print_json(made)
        return
    click.echo(made["token"])
    click.echo("on the other machine, within ten minutes: ledgermill runner register --url URL --token-file FILE", err=True)


@runner.command()
@click.option("--url", required=True, help="The server, as this machine reaches it; several gateways with commas between them.")
@click.option("--token-file", required=True, type=click.File(), help="File with the registration token; - for standard input.")
@click.option("--name", default=None, help="The runner's name (default: this machine's).")
@click.option("--labels", default="", metavar="L,...", help="Only these of the labels that the token grants.")
@click.option("--group", default="", help="The group that the token must be for.")
@click.option("--ephemeral", is_flag=True, help="For one job only.")
@work_option
@tls_options
def register(
    *, url: str, token_file: TextIO, name: str | None, labels: str, group: str, ephemeral: bool, work: Path | None, **files: Path | None
) -> None:
    """Make this machine a runner of a server elsewhere: with a registration token (`ledgermill runner token`, run there)."""
    from gateway.cli.joining import join

    kept = folder(name, work) / CREDENTIAL
    granted = join(kept, url, token_file.read().strip(), name or socket.gethostname(), split_labels(labels), group, ephemeral, files)
    click.echo(f"{granted.name} is registered with the labels {', '.join(granted.labels)}; its key is in {kept}", err=True)
    click.echo("ledgermill runner start" + (f" --name {name}" if name else "") + (f" --work {work}" if work else ""))


@runner.command()
@click.argument("name")
@click.option("--repository", "repositories", multiple=True, metavar="NAME", help="A repository that it serves; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="It serves all repositories.")
@target_options
def group(*, target: Target, name: str, repositories: tuple[str, ...], everything: bool) -> None:
    """Set which repositories the runners of group NAME serve."""
    if everything == bool(repositories):
        raise usage("either --all or one --repository or more")
    with connected(target) as client:
        known = {each["full_name"]: each["id"] for each in client.items("/repositories")}
        missing = [each for each in repositories if each not in known]
        if missing:
            help_ = "ledgermill repository list"
            raise CliError("RUN016", f'no repository is called "{missing[0]}"', help=help_, exit_code=Exit.NOT_FOUND)
        client.post("/runners/groups", {"name": name, "repositories": None if everything else [known[each] for each in repositories]})
    click.echo(f"{name} serves {'all repositories' if everything else ', '.join(repositories)}", err=True)


def duty(verb: str, what: str, about: str) -> None:
    """Add the verb that changes whether a runner gets jobs."""

    @runner.command(verb, help=about)
    @click.argument("name")
    @click.option("--reason", default="", help="For whoever wonders later.")
    @json_option
    @target_options
    def change(*, target: Target, name: str, reason: str, as_json: bool) -> None:
        with connected(target) as client:
            found = find(client, name)
            client.post(f"/runners/{found['id']}/{verb}", {"reason": reason})
        _say(found, what, as_json=as_json)


duty("drain", "drains", "Let runner NAME finish what it has and leave.")
duty("pause", "pauses", "Give runner NAME no more jobs until it is resumed.")
duty("resume", "gets jobs again", "Give runner NAME jobs again.")


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


def state_of(shown: Json) -> str:
    """A runner's state; who made it so and why, where somebody said."""
    told = shown["state"] not in ("idle", "busy") and shown["reason"]
    return f"{shown['state']} ({shown['reason']}, {shown['changed_by']})" if told else str(shown["state"])


def split_labels(text: str) -> list[str]:
    """The labels of an option."""
    return [label.strip() for label in text.split(",") if label.strip()]


def folder(name: str | None, work: Path | None) -> Path:
    """A runner's working folder, as `python -m runner` chooses it."""
    return (work or Path.home() / ".local" / "state" / "ledgermill" / "runner" / (name or socket.gethostname())).absolute()


def local(place: Path, token_file: Path | None) -> dict[str, Any]:
    """The server of a data directory, and its runner token."""
    server = server_of(place)
    if server is None or server.url is None:
        raise CliError("CLI003", f"no server runs on {place}", help="name one: --url URL --token-file FILE", exit_code=Exit.NOT_FOUND)
    return {"url": server.url, "token_file": token_file or place / "runner-token"}


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
