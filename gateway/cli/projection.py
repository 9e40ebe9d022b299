"""`projection list/lag/rebuild/retry`: the views, how far behind the log they are, what waits in them, and how to put that right."""

from collections.abc import Iterable
from typing import Any

import click

from gateway.cli import render
from gateway.cli.connect import connected
from gateway.cli.errors import Exit
from gateway.cli.options import Target, json_option, target_options


@click.group()
def projection() -> None:
    """List views, their lag and what waits in them; rebuild them, and fold again what waited."""


@projection.command("list")
@json_option
@target_options
def list_(*, target: Target, as_json: bool) -> None:
    """List the views with position and lag, and the streams that are parked in them."""
    _show(target, as_json=as_json)


@projection.command()
@json_option
@target_options
def lag(*, target: Target, as_json: bool) -> None:
    """How many events each view is behind the log."""
    _show(target, as_json=as_json)


@projection.command()
@click.argument("name")
@click.option("--shadow", is_flag=True, help="Beside the live view, then put in its place in one step: as always.")
@json_option
@target_options
def rebuild(*, target: Target, name: str, shadow: bool, as_json: bool) -> None:
    """Build view NAME anew from position 0 beside the live one, then put it in its place."""
    del shadow  # there is no other way: a script may say so, and need not
    with connected(target) as client:
        answer = client.post(f"/projections/{name}/rebuild")
    if as_json:
        render.print_json(answer)
    else:
        click.echo(f"rebuilt {name} up to position {answer['position']}")


@projection.command()
@click.argument("name", required=False)
@json_option
@target_options
def retry(*, target: Target, name: str | None, as_json: bool) -> int:
    """Fold what is parked in view NAME (default: in every view) again, in order; exits 1 when something still waits."""
    with connected(target) as client:
        names = [name] if name else [view["name"] for view in client.get("/projections")["items"] if view["parked"]]
        answers = [client.post(f"/projections/{each}/retry") for each in names]
    if as_json:
        render.print_json(answers)
    elif not answers:
        click.echo("nothing is parked")
    else:
        for answer in answers:
            click.echo(f"{answer['name']}: folded {answer['events']} events of {answer['streams']} streams; {len(answer['parked'])} wait")
        _show_parked(each for answer in answers for each in answer["parked"])
    return Exit.FAILED if any(answer["parked"] for answer in answers) else Exit.OK


def _show(target: Target, *, as_json: bool) -> None:
    with connected(target) as client:
        found = client.get("/projections")["items"]
    if as_json:
        render.print_json(found)
        return
    rows = [(view["name"], view["position"], view["lag"], len(view["parked"])) for view in found]
    click.echo(render.table(("VIEW", "POSITION", "EVENTS BEHIND", "PARKED STREAMS"), rows))
    parked = [each for view in found for each in view["parked"]]
    _show_parked(parked)
    if parked:
        click.echo("what is parked is folded again by code that can: ledgermill projection retry", err=True)


def _show_parked(parked: Iterable[dict[str, Any]]) -> None:
    for each in parked:
        place = f"{each['view']}: stream {each['stream']} waits at position {each['position']} with {each['waiting']} events"
        click.echo(render.safe(f"{place}: {each['type']}.v{each['schema']}: {each['error']}"))
