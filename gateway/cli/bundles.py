"""`export RUN`, and how other verbs read a bundle: no server, no database."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.connect import connected
from gateway.cli.errors import CliError, Exit
from gateway.cli.options import Target, run_argument, target_options
from gateway.cli.resolve import find_run

if TYPE_CHECKING:
    from domain.bundle.read import Bundle
    from domain.envelope import Recorded

ENDING = ".ledgermill"
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

bundle_option = click.option("--bundle", type=FILE, default=None, help="Read this file of `export` instead of asking a server.")
key_option = click.option("--key", type=FILE, default=None, help="Public keys, PEM, one of which has to have signed the bundle.")


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=None, help="The file (default: RUN-ID.ledgermill).")
@click.option("--logs", is_flag=True, help="With the text of the logs, not only their digests.")
@click.option("--redact", multiple=True, metavar="FIELD", help="Take a field out of the payload: email, pusher.name. May be repeated.")
@run_argument
@target_options
def export(*, target: Target, run: str, output: Path | None, logs: bool, redact: tuple[str, ...]) -> int:
    """Write RUN as one signed file: its events, payload, plan and provenance; secrets are in none of them."""
    with connected(target) as client:
        found = find_run(client, run)
        content = client.content(f"/runs/{found['id']}/bundle", logs="true" if logs else None, redact=list(redact) or None)
    file = output or Path(f"{found['id']}{ENDING}")
    file.write_bytes(content)
    click.echo(str(file))
    return Exit.OK


def opened(file: Path, key: Path | None) -> "Bundle":
    """A bundle, once every line of it is what was signed. Raises CliError BND001 with the check and the line."""
    from domain.bundle.read import BundleError, read
    from domain.provenance.dsse import key_id
    from gateway.cli.wiring import public_keys, signed_by

    trusted = {key_id(each): each for each in public_keys(key)} if key is not None else None
    try:
        found = read(file.read_bytes(), signed_by, trusted)
    except BundleError as error:
        raise CliError("BND001", f"{file} is refused: {error.check}", place=f"{file}:{error.line}", because=str(error)) from error
    if key is None:
        click.echo(f"signed by the key {key_id(found.key)}; whether that is to be trusted, --key FILE would say", err=True)
    return found


def events_of(bundle: "Bundle") -> "list[Recorded]":
    """The events, in order of positions."""
    from gateway.cli.wiring import stored_events

    return stored_events(bundle.rows)


def of_run(bundle: "Bundle") -> "list[Recorded]":
    """The events of the run and its jobs alone."""
    from domain.job.events import JobEvent
    from domain.run.events import RunEvent

    return [event for event in events_of(bundle) if isinstance(event.data, JobEvent | RunEvent)]


def why(bundle: "Bundle") -> Any:
    """What `GET /runs/{id}/why` would have answered for a run that is over, as JSON."""
    import msgspec

    from domain.why import Surroundings, why_run

    events = of_run(bundle)
    found = why_run(events, Surroundings(events[-1].meta.at))
    return msgspec.json.decode(msgspec.json.encode(found))


def as_shown(bundle: "Bundle") -> list[Any]:
    """The events of the run and its jobs in the shape of the API."""
    import msgspec

    from gateway.api.shapes import event_json

    return [msgspec.json.decode(event_json(event)) for event in of_run(bundle)]


def state(bundle: "Bundle", point: str) -> Any:
    """What `GET /runs/{id}/state?at=` would have answered, as JSON. point: a position or an instant."""
    from datetime import datetime

    import msgspec

    from gateway.api.replay import shown
    from projections.state import run_state, until

    position = int(point) if point.isdigit() else None
    if position is not None and position > bundle.manifest.through:
        raise CliError(
            "BND002",
            f"position {position} is behind the bundle, which tells up to {bundle.manifest.through}",
            exit_code=Exit.USAGE,
        )
    instant = None if position is not None else datetime.fromisoformat(point)
    found = run_state(until(events_of(bundle), position=position, at=instant))
    return msgspec.json.decode(msgspec.json.encode(shown(found, "")))
