"""`up`, `down`, `status` and `serve`: start and stop the server of a data directory, or one part of it.

`up` stays in the foreground until Ctrl-C or `down`; with `--detach` it returns once the server is ready. Either way the
server's own messages go to `logs/server.log` of the data directory, and nothing is left running afterwards.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.connect import running as running_server
from gateway.cli.detached import start_detached
from gateway.cli.errors import CliError, Exit, usage
from gateway.cli.options import data_option
from gateway.cli.server_process import run_loop, serve_all, serve_role, serve_signer
from gateway.cli.wiring import server_of, settings

if TYPE_CHECKING:
    from infra.settings import Settings

DOWN_SECONDS = 20


def server_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `up` and `serve` that say where the server works and listens."""
    for option in reversed(
        (
            data_option(),
            click.option("--host", default=None, help="Address to listen on (default: 127.0.0.1)."),
            click.option("--port", type=click.IntRange(0, 65535), default=None, help="Port (default: 7300 or the next free one)."),
            click.option("--database-url", default=None, metavar="URL", help="A Postgres of your own."),
            click.option("--nats-url", default=None, metavar="URL", help="A NATS server of your own."),
            click.option("--insecure", is_flag=True, help="Listen beyond this machine without TLS."),
        )
    ):
        function = option(function)
    return function


@click.command()
@server_options
@click.option("--runners", type=click.IntRange(0, 256), default=1, show_default=True, help="How many local runners.")
@click.option("--no-runner", is_flag=True, help="No local runner.")
@click.option("--labels", default="", metavar="L,...", help="More labels for the local runners.")
@click.option("--detach", is_flag=True, help="Return once the server is ready; `ledgermill down` ends it.")
def up(*, runners: int, no_runner: bool, labels: str, detach: bool, **place: Any) -> int:
    """Start the all-in-one server: embedded Postgres and NATS, the gateway, and local runners."""
    chosen = chosen_settings(**place)
    extra = tuple(label.strip() for label in labels.split(",") if label.strip())
    if detach:
        return start_detached(chosen.data)
    return run_loop(lambda: serve_all(chosen, 0 if no_runner else runners, extra, port_is_fixed=place["port"] is not None))


@click.command()
@data_option()
def down(*, data: Path | None) -> int:
    """Stop the server of a data directory and wait until it has ended."""
    directory = settings(data).data
    owner = server_of(directory)
    if owner is None:
        click.echo(f"no server runs on {directory}", err=True)
        return Exit.OK
    if owner.pid is None:
        raise CliError("CLI005", f"the server of {directory} has not said who it is yet", help="try again in a moment")
    try:
        watch = os.pidfd_open(owner.pid)
    except ProcessLookupError:
        return Exit.OK
    try:
        signal.pidfd_send_signal(watch, signal.SIGTERM)
        if not ended(watch, DOWN_SECONDS):
            raise CliError("CLI006", f"the server (pid {owner.pid}) has not ended within {DOWN_SECONDS} s", help=f"kill -9 {owner.pid}")
    finally:
        os.close(watch)
    click.echo(f"stopped (pid {owner.pid})", err=True)
    return Exit.OK


@click.command()
@data_option()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def status(*, data: Path | None, as_json: bool) -> int:
    """Show the server of a data directory: where it listens, since when, its database and NATS, and its runners."""
    directory = settings(data).data
    client = running_server(directory)
    owner = server_of(directory)
    if client is None or owner is None:
        if as_json:
            click.echo('{"running": false}')
        else:
            click.echo(f"no server runs on {directory}; start one: ledgermill up", err=True)
        return Exit.NOT_FOUND
    runners = list(client.items("/runners"))
    parked = sum(len(view["parked"]) for view in client.get("/projections")["items"])
    if as_json:
        from gateway.cli.render import print_json

        since = owner.since.isoformat() if owner.since else None
        servers = {"database_url": owner.database_url, "nats_url": owner.nats_url}
        print_json(
            {"running": True, "pid": owner.pid, "url": owner.url, "since": since, "data": str(directory)}
            | servers
            | {"parked_streams": parked, "runners": runners}
        )
        return Exit.OK
    click.echo(f"  gateway   {owner.url}   pid {owner.pid}" + (f"   since {owner.since:%Y-%m-%d %H:%M:%S} UTC" if owner.since else ""))
    click.echo(f"  data      {directory}")
    if owner.database_url:
        click.echo(f"  postgres  {owner.database_url}")
    if owner.nats_url:
        click.echo(f"  nats      {owner.nats_url}")
    if parked:
        click.echo(f"  views     {parked} parked streams: ledgermill projection list")
    for runner in runners:
        click.echo(f"  runner    {runner['name']}  {runner['state']}  labels: {', '.join(runner['labels'])}")
    return Exit.OK


@click.command()
@click.argument("role", type=click.Choice(("gateway", "relay", "projector", "reconciler", "signer", "all")))
@server_options
def serve(*, role: str, **place: Any) -> int:
    """Start one part of the server on a database of your own, for several machines."""
    chosen = chosen_settings(**place)
    if chosen.database_url is None:
        raise usage("serve needs a database that all parts share", "--database-url postgresql://..., or ledgermill up for one machine")
    if role == "relay" and chosen.nats_url is None:
        raise usage("the relay needs a NATS server", "--nats-url nats://...")
    if role == "signer":
        return run_loop(lambda: serve_signer(chosen))
    return run_loop(lambda: serve_role(chosen, role, port_is_fixed=place["port"] is not None))


def chosen_settings(*, insecure: bool, **given: Any) -> "Settings":
    """The settings with what the command line says. Refuses to listen beyond this machine without TLS."""
    import msgspec

    from gateway.address import is_loopback

    found = settings(given.pop("data"))
    changed = {name: value for name, value in given.items() if value is not None}
    found = msgspec.structs.replace(found, **changed, data=found.data.absolute())
    for name in ("tls_cert", "tls_key", "tls_client_ca"):
        file = getattr(found, name)
        if file is not None and not file.is_file():
            raise CliError("CLI011", f"there is no file {file}", help=f"correct LEDGERMILL_{name.upper()}", exit_code=Exit.USAGE)
    if not is_loopback(found.host) and found.tls_cert and found.tls_key and not found.public_url and not insecure:
        raise CliError(
            "CLI008",
            f"{found.host} can be reached from other machines, and this server does not know by which name",
            because="links, and what runners are told, need the name that the certificate is made for",
            help="set LEDGERMILL_PUBLIC_URL, e.g. https://ci.example.org:7300",
            exit_code=Exit.USAGE,
        )
    if not is_loopback(found.host) and not (found.tls_cert and found.tls_key) and not insecure:
        raise CliError(
            "CLI007",
            f"{found.host} can be reached from other machines, and this server has no TLS certificate",
            because="tokens and logs would travel in clear",
            help="set LEDGERMILL_TLS_CERT and LEDGERMILL_TLS_KEY, or add --insecure where something else protects the way",
            exit_code=Exit.USAGE,
        )
    return found


def ended(watch: int, seconds: float) -> bool:
    """Whether the process behind a pidfd ends within `seconds`."""
    import select

    return bool(select.select([watch], [], [], seconds)[0])
