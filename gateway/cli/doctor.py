"""`doctor`: what this machine has and lacks, and how to fix each failed line."""

from pathlib import Path

import click

from gateway.cli import render
from gateway.cli.errors import Exit
from gateway.cli.options import data_option, default_data, json_option
from gateway.cli.wiring import machine_checks


@click.command()
@data_option()
@json_option
def doctor(*, data: Path | None, as_json: bool) -> int:
    """Check this machine. Exit 1 when something is missing."""
    found = machine_checks((data or default_data()).absolute())
    if as_json:
        render.print_json(found)
    else:
        width = max(len(check.name) for check in found)
        for check in found:
            click.echo(f"{render.mark('success' if check.ok else 'failure')} {check.name.ljust(width)}  {render.safe(check.detail)}")
            if check.fix:
                click.echo(f"  {' ' * width}  help: {check.fix}")
    return Exit.OK if all(check.ok for check in found) else Exit.FAILED
