"""`queue`: what waits for a runner, in which order, since when, for how long, and why."""

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
    """Show what waits, by repository, lane and labels, in the order in which the lines are served.

    NEXT: how many turns until the first job of the line is served. DRAINS: how long its runners need for all that waits for them.
    """
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
    lines, held = found["items"], found["held"]
    if not lines and not held:
        return "nothing waits"
    rows = [
        (
            line["position"],
            line["repository"],
            line["lane"],
            ", ".join(line["labels"]),
            line["depth"],
            render.age(line["oldest_at"]),
            render.duration(line["drain_seconds"]),
            line["reason"],
        )
        for line in lines
    ]
    rows += [("", "", "", "", 1, render.age(each["since"]), "", f"{each['run_id'][:8]} {each['reason']}") for each in held]
    return render.table(("NEXT", "REPOSITORY", "LANE", "LABELS", "WAITING", "OLDEST", "DRAINS", "REASON"), rows)
