"""`check`: prove the invariants on the whole log, here, from the events alone."""

from pathlib import Path
from typing import Any

import click

from gateway.cli import render
from gateway.cli.bundles import bundle_option, events_of, key_option, opened
from gateway.cli.connect import connected
from gateway.cli.errors import Exit
from gateway.cli.options import Target, json_option, target_options
from gateway.cli.recorded import records


@click.command()
@bundle_option
@key_option
@json_option
@target_options
def check(*, target: Target, bundle: Path | None, key: Path | None, as_json: bool) -> int:
    """Read the whole log, or a bundle, and prove the invariants of the domain. Exit 1 when one does not hold."""
    from domain.envelope import Unreadable

    if bundle is not None:
        events = events_of(opened(bundle, key))
        # a cause may lie outside the run, so causes are not judged on a part of the log
        breaches = [each for each in breaches_of(events) if each["invariant"] != 8]
    else:
        with connected(target) as client:
            events = list(records(client.lines("/events")))
        breaches = breaches_of(events)
    unreadable = [event.position for event in events if isinstance(event.data, Unreadable)]
    if as_json:
        render.print_json({"events": len(events), "breaches": breaches, "unreadable": unreadable})
    else:
        if unreadable:
            click.echo(f"{len(unreadable)} events cannot be read by this version, the first at position {unreadable[0]}", err=True)
        for breach in breaches:
            click.echo(describe(breach))
        click.echo(
            f"{len(events)} events, {len(breaches)} breaches" if breaches else f"{len(events)} events, every invariant holds", err=True
        )
    return Exit.FAILED if breaches else Exit.OK


def breaches_of(events: list[Any]) -> list[dict[str, Any]]:
    """What domain.invariants finds, as JSON objects."""
    import msgspec

    from domain import invariants

    found: list[dict[str, Any]] = [msgspec.to_builtins(breach) for breach in invariants.check(events)]
    return found


def describe(breach: dict[str, Any]) -> str:
    """A breach in one line: the invariant, where, what."""
    return render.safe(", ".join(f"{name} {value}" for name, value in breach.items() if value is not None))
