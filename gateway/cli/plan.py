"""`plan [EVENT]`: what an event would run, and what not and why. Nothing is queued, no server is needed."""

from pathlib import Path

import click

from gateway.cli import planning
from gateway.cli.connect import running
from gateway.cli.errors import Exit
from gateway.cli.options import data_option, default_data, json_option
from gateway.cli.show import show_plan


@click.command()
@click.argument("event", default="push")
@click.option(
    "-C", "--directory", "directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path(), help="The repository."
)
@click.option("-W", "--workflow", "files", multiple=True, metavar="FILE", help="Only this workflow file (can be repeated).")
@click.option("-e", "--event-file", type=click.Path(path_type=Path), default=None, metavar="EVENT.json", help="The event's payload.")
@click.option("--input", "inputs", multiple=True, metavar="K=V", help="An input of workflow_dispatch (can be repeated).")
@data_option()
@json_option
def plan(
    *,
    event: str,
    directory: Path,
    files: tuple[str, ...],
    event_file: Path | None,
    inputs: tuple[str, ...],
    data: Path | None,
    as_json: bool,
) -> int:
    """Show what EVENT (push) would run, and which workflows it would not start and why."""
    place = (data or default_data()).absolute()
    ask = planning.Ask(
        directory=directory,
        data=place,
        event=event,
        files=files,
        payload_file=event_file,
        inputs={key: values[-1] for key, values in planning.pairs(inputs, "--input", "=").items()},
    )
    found = planning.make(ask, lambda: running(place))
    if not as_json:
        planning.refuse_broken(found)
    show_plan(found, as_json=as_json)
    return Exit.FAILED if any(each.severity == "error" for each in found.diagnostics) else Exit.OK
