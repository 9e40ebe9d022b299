"""`audit`: who did what, when, by which command; refusals too. `audit verify` proves the log itself.

By default what people asked for and what was refused to anybody: what runners report of their jobs is in the log too, but
would bury the rest.
"""

import click

from gateway.cli import render
from gateway.cli.audit_verify import verify
from gateway.cli.connect import connected
from gateway.cli.logs import moment
from gateway.cli.options import Target, json_option, target_options

ACTOR_WIDTH = 24


@click.group(invoke_without_command=True)
@click.option("--actor", default=None, help="Only this actor.")
@click.option("--type", "type_", default=None, help="Only this type of event.")
@click.option("--all", "all_", is_flag=True, help="Also what runners report of their jobs.")
@click.option("--since", default=None, metavar="TIME", help="Only from then on: an ISO time, or 30s, 10m, 2h ago.")
@click.option("-L", "--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@json_option
@target_options
def audit(*, target: Target, actor: str | None, type_: str | None, all_: bool, since: str | None, limit: int, as_json: bool) -> None:
    """Show who did what, newest first."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    begin = moment(since)
    people = None if all_ or actor or type_ else "true"
    with connected(target) as client:
        found = []
        wanted = {"actor": actor, "type": type_, "since": begin.isoformat() if begin else None, "people": people}
        for entry in client.items("/audit", **wanted, per_page=min(limit, 100)):
            found.append(entry)
            if len(found) == limit:
                break
    if as_json:
        render.print_json(found)
        return
    rows = [(entry["position"], str(entry["at"])[:19], str(entry["actor"])[:ACTOR_WIDTH], entry["summary"]) for entry in found]
    text = render.table(("POSITION", "AT", "ACTOR", "WHAT"), rows)
    click.echo(text or "nothing recorded", err=not text)


audit.add_command(verify)
