"""`events RUN` and `events tail`: the event log itself, for people a line each, for programs one JSON object per line."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from gateway.cli import render
from gateway.cli.connect import connected
from gateway.cli.logs import moment
from gateway.cli.options import Target, json_option, run_argument, target_options
from gateway.cli.resolve import find_jobs, find_run, split

Json = dict[str, Any]


@click.command()
@click.option("--type", "types", multiple=True, metavar="NAME", help="Only events of this type (can be repeated).")
@click.option("--since", default=None, metavar="TIME", help="Only events from then on: an ISO time, or 30s, 10m, 2h ago.")
@click.option("--after", default=None, type=click.IntRange(0), metavar="POSITION", help="Only events after this position.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new events until the run is over.")
@click.option("-L", "--limit", default=None, type=click.IntRange(1), help="At most so many.")
@json_option
@run_argument
@target_options
def events(
    *,
    target: Target,
    run: str,
    types: tuple[str, ...],
    since: str | None,
    after: int | None,
    follow: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show the events of RUN or RUN/JOB; `events tail` shows all events of the server as they come."""
    begin = moment(since)
    with connected(target) as client:
        found: Iterator[Json]
        if run == "tail":
            after = after if after is not None or begin is not None else client.get("/events", per_page=1, order="desc").get("head")
            found = (sent.data for sent in client.stream("/events/stream", after=str(after or 0)))
        else:
            words = split(run)
            chosen = find_run(client, words.run)
            streams = None
            if words.rest:
                jobs, _ = find_jobs(list(client.items(f"/runs/{chosen['id']}/jobs")), words.rest)
                streams = {str(job["id"]) for job in jobs}
            path = f"/runs/{chosen['id']}"
            source = (
                (sent.data for sent in client.stream(f"{path}/stream", after=str(after or 0)))
                if follow
                else client.lines(f"{path}/events", after=after)
            )
            found = (event for event in source if streams is None or str(event["stream"]) in streams)
        chosen_events = (
            event
            for event in found
            if event
            and (not types or event["type"] in types)
            and (after is None or event["position"] > after)
            and (begin is None or (render.instant(event["at"]) or begin) >= begin)
        )
        for event in islice(chosen_events, limit):
            if as_json:
                render.print_json_line(event)
            else:
                print(one_line(event), flush=follow or run == "tail")


def one_line(event: Json) -> str:
    """Position, time, stream, version, type and the facts of an event in one line."""
    facts = " ".join(f"{key}={_short(value)}" for key, value in event["data"].items())
    time = str(event["at"])[11:23]
    return render.safe(
        f"{event['position']:>8} {time} {str(event['stream'])[:8]}/{event['version']:<4} {event['type']:<22} {facts}"
    ).rstrip()


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
