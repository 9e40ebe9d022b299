"""`version`, `config` and `completion`: what is known without looking at anything but this installation."""

import os
from pathlib import Path

import click

from gateway.cli import render
from gateway.cli.errors import usage
from gateway.cli.options import data_option, json_option
from gateway.cli.wiring import settings

SECRET = ("database_url", "nats_url", "webhook_secret")


@click.command()
@json_option
def version(*, as_json: bool) -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    found = installed("ledgermill")
    if as_json:
        render.print_json({"version": found})
    else:
        click.echo(f"ledgermill {found}")


@click.command()
@data_option()
@json_option
def config(*, data: Path | None, as_json: bool) -> None:
    """Show every setting, its value and where it comes from. Values that may hold a password are not shown."""
    found = settings(data)
    rows = []
    for name in found.__struct_fields__:
        variable = f"LEDGERMILL_{name.upper()}"
        value = getattr(found, name)
        source = "--data" if name == "data" and data is not None else variable if variable in os.environ else "default"
        shown = "(set)" if name in SECRET and value is not None else value
        rows.append(
            {"name": name, "value": shown if shown is None or isinstance(shown, int | float | bool) else str(shown), "from": source}
        )
    if as_json:
        render.print_json(rows)
    else:
        click.echo(render.table(("SETTING", "VALUE", "FROM"), [(row["name"], row["value"], row["from"]) for row in rows]))


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(*, shell: str) -> None:
    """Print the completion script of SHELL, as in `source <(ledgermill completion bash)`."""
    from click.shell_completion import get_completion_class

    from gateway.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise usage(f"there is no completion for {shell}")
    click.echo(kind(cli, {}, "ledgermill", "_LEDGERMILL_COMPLETE").source())
