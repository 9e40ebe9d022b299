"""`projection list/lag/rebuild`: the views, how far behind the log they are, and making one anew from position 0."""

import click

from gateway.cli import render
from gateway.cli.connect import connected
from gateway.cli.options import Target, json_option, target_options


@click.group()
def projection() -> None:
    """List views, their lag, and rebuild them."""


@projection.command("list")
@json_option
@target_options
def list_(*, target: Target, as_json: bool) -> None:
    """List the views with position and lag."""
    _show(target, as_json=as_json)


@projection.command()
@json_option
@target_options
def lag(*, target: Target, as_json: bool) -> None:
    """How many events each view is behind the log."""
    _show(target, as_json=as_json)


@projection.command()
@click.argument("name")
@json_option
@target_options
def rebuild(*, target: Target, name: str, as_json: bool) -> None:
    """Build view NAME anew from position 0 beside the live one, then put it in its place."""
    with connected(target) as client:
        answer = client.post(f"/projections/{name}/rebuild")
    if as_json:
        render.print_json(answer)
    else:
        click.echo(f"rebuilt {name} up to position {answer['position']}")


def _show(target: Target, *, as_json: bool) -> None:
    with connected(target) as client:
        found = client.get("/projections")["items"]
    if as_json:
        render.print_json(found)
        return
    rows = [(view["name"], view["position"], view["lag"]) for view in found]
    click.echo(render.table(("VIEW", "POSITION", "EVENTS BEHIND"), rows))
