"""`queue`: what waits for a runner, since when, and why."""

import time
from typing import Any

import click

from gateway.cli import render
from gateway.cli.connect import connected
from gateway.cli.options import Target, json_option, target_options

WATCH_SECONDS = 2


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every two seconds until Ctrl-C.")
@json_option
@target_options
def queue(*, target: Target, watch: bool, as_json: bool) -> None:
    """Show depth, age and reason by label set."""
    with connected(target) as client:
        while True:
            found = client.get("/queue")
            if as_json:
                render.print_json(found["items"])
            else:
                click.echo(describe(found))
            if not watch:
                return
            time.sleep(WATCH_SECONDS)  # how often the person who watches wants to see it


def describe(found: dict[str, Any]) -> str:
    """The queue as text."""
    lanes, held = found["items"], found.get("held", [])
    if not lanes and not held:
        return "nothing waits"
    rows = [
        (
            lane.get("depth", 1),
            ", ".join(lane.get("labels") or ()),
            render.age(lane["oldest_at"]),
            lane.get("reason") or "",
        )
        for lane in lanes
    ]
    rows += [(1, "", render.age(each["since"]), f"{each['run_id'][:8]} {each['reason']}") for each in held]
    return render.table(("WAITING", "LABELS", "OLDEST", "REASON"), rows)
