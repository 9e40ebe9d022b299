"""`replay RUN`: the run as its events tell it. Compare with the views, prove the invariants, look at any moment.

Without a flag it tells the run's life; --at shows the state at a position or time, --diff what changed since then or up to a
second one. --code takes the decisions of the run and its jobs again by this version's rules. --verify folds all events anew, compares
every view row with the fold and exits 1 with view, key and both values where they differ.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import bundles, render
from gateway.cli.client import Client
from gateway.cli.connect import connected
from gateway.cli.errors import Exit, usage
from gateway.cli.events import one_line
from gateway.cli.logs import moment
from gateway.cli.options import Target, json_option, target_options
from gateway.cli.recorded import records
from gateway.cli.resolve import find_run
from gateway.cli.runs import describe

if TYPE_CHECKING:
    from domain.bundle.read import Bundle

Json = dict[str, Any]


@click.command()
@click.option("--at", "points", multiple=True, metavar="POSITION|TIME", help="The state at this point; twice with --diff.")
@click.option("--diff", is_flag=True, help="What changed between two points: from --at (the beginning) to the second --at (now).")
@click.option("--verify", is_flag=True, help="Fold everything anew, compare with the views, prove the invariants.")
@click.option("--code", is_flag=True, help="Take the recorded decisions of the run and its jobs again, by the rules of this version.")
@bundles.bundle_option
@bundles.key_option
@json_option
@click.argument("run", metavar="RUN", default="")
@target_options
def replay(
    *,
    target: Target,
    run: str,
    points: tuple[str, ...],
    diff: bool,
    verify: bool,
    code: bool,
    bundle: Path | None,
    key: Path | None,
    as_json: bool,
) -> int:
    """Rebuild RUN from its events."""
    if len(points) > (2 if diff else 1):
        raise usage(f"--at is given {len(points)} times", "one point shows the state, two with --diff what changed between them")
    if bundle is not None:
        if verify or code or diff:
            raise usage("--verify, --code and --diff need a server: a bundle holds no views", "--at POSITION|TIME works with --bundle")
        _from_bundle(bundles.opened(bundle, key), points, as_json=as_json)
        return Exit.OK
    with connected(target) as client:
        found = find_run(client, run)
        if verify:
            return _verify(client, found, as_json=as_json)
        if code:
            recorded = list(records(client.lines(f"/runs/{found['id']}/events")))
            return _code(recorded, client.get(f"/runs/{found['id']}/sources"), as_json=as_json)
        if points or diff:
            _state(client, found, points, diff=diff, as_json=as_json)
            return Exit.OK
        events = list(client.lines(f"/runs/{found['id']}/events"))
    if as_json:
        render.print_json({"run": found, "events": len(events), "state": _fold(events)})
    else:
        for event in events:
            click.echo(one_line(event))
    return Exit.OK


def _from_bundle(bundle: "Bundle", points: tuple[str, ...], *, as_json: bool) -> None:
    """The run's life, or its state at a point, from the file alone."""
    if points:
        state = bundles.state(bundle, _point(points[0]))
        if as_json:
            render.print_json(state)
        else:
            click.echo(_described(state) if state["run"] else f"the run did not exist at {points[0]}")
        return
    events = bundles.as_shown(bundle)
    if as_json:
        told = bundle.manifest
        render.print_json({"run": {"id": str(told.run), "workflow": told.workflow, "number": told.number}, "events": len(events)})
        return
    for event in events:
        click.echo(one_line(event))


def _verify(client: Client, run: Json, *, as_json: bool) -> int:
    answer: Json = client.post(f"/runs/{run['id']}/replay")
    differences, breaches, parked = ([*(answer.get(part) or ())] for part in ("differences", "breaches", "parked"))
    if as_json:
        render.print_json(answer)
    else:
        for each in differences:
            click.echo(difference(each))
        for each in breaches:
            click.echo(render.safe(", ".join(f"{name} {value}" for name, value in each.items() if value is not None)))
        for each in parked:
            place = f"stream {each['stream']} is parked in view {each['view']} at position {each['position']}"
            click.echo(render.safe(f"{place} ({each['type']}): {each['error']}; {each['waiting']} events are not shown"))
        name = f"{run['workflow']}#{run['number']}"
        if answer.get("parked_elsewhere"):
            click.echo(f"{answer['parked_elsewhere']} streams of others are parked: ledgermill projection list", err=True)
        if differences or breaches or parked:
            found = f"{len(differences)} differences, {len(breaches)} breaches, {len(parked)} parked streams"
            click.echo(f"{name}: {found} in {answer['events']} events", err=True)
        else:
            views = ", ".join(answer.get("views") or ()) or "every view"
            click.echo(f"verified {name}: {answer['events']} events; {views} equal the fold; every invariant holds")
    return Exit.FAILED if differences or breaches or parked else Exit.OK


def _code(events: list[Any], sources: Json, *, as_json: bool) -> int:
    """Exit 1 where today's rules would have decided otherwise."""
    import msgspec

    from domain.job import again as of_jobs
    from domain.run import decisions as of_runs

    named = msgspec.convert(sources, of_runs.Named)
    found = of_jobs.together(of_jobs.again(events), of_runs.again(events, named))
    if as_json:
        render.print_json(found)
        return Exit.FAILED if found.differences else Exit.OK
    for each in found.differences:
        then, now = (", ".join(name for name, _ in said) or "nothing" for said in (each.recorded, each.now))
        place = f"position {each.position} (stream {each.stream}): {each.command}"
        click.echo(render.safe(f"{place} led to {then}; today it leads to {now}"))
        for path, old, new in changed(msgspec.to_builtins(each.recorded), msgspec.to_builtins(each.now)):
            click.echo(render.safe(f"  {path}: {old!r} -> {new!r}"))
    said = f"{len(found.differences)} of {found.decisions} decisions of the run and its jobs would be other ones today"
    click.echo(said if found.differences else f"{found.decisions} decisions of the run and its jobs, each as today's rules have it")
    if sources["missing"]:
        click.echo(f"{found.passed} decisions could not be taken again: {', '.join(sources['missing'])} is not there any more", err=True)
    return Exit.FAILED if found.differences else Exit.OK


def difference(each: Json) -> str:
    """View, key and both values in one line."""
    column = f".{each['column']}" if each.get("column") else ""
    return render.safe(f"{each['view']}{column} of {each['key']}: the view says {each['stored']!r}, the events say {each['rebuilt']!r}")


def _state(client: Client, run: Json, points: tuple[str, ...], *, diff: bool, as_json: bool) -> None:
    at = points[0] if points else "0"
    then: Json = client.get(f"/runs/{run['id']}/state", at=_point(at))
    if not diff and as_json:
        render.print_json(then)
        return
    if not diff:
        click.echo(_described(then) if then["run"] else f"the run did not exist at {at}")
        return
    later = {"at": _point(points[1])} if len(points) > 1 else {}
    now: Json = client.get(f"/runs/{run['id']}/state", **later)
    changes = list(changed(then, now))
    if as_json:
        render.print_json([{"path": path, "then": old, "now": new} for path, old, new in changes])
        return
    for path, old, new in changes:
        click.echo(render.safe(f"{path}: {old!r} -> {new!r}"))


def _point(at: str) -> str:
    when = None if at.isdigit() else moment(at)
    return when.isoformat() if when else at


def _described(state: Json) -> str:
    """The run and its jobs as ever, then who held which lease, what waited, and how far the logs were."""
    names = {job["id"]: job["name"] for job in state["jobs"]}
    lines = [describe(state["run"], state["jobs"])]
    lines += [
        f"lease {each['epoch']} of {names[each['job_id']]}: {each['runner_name']} until {each['expires_at']}" for each in state["leases"]
    ]
    lines += [f"queued: {names[row['job_id']]} for {', '.join(row['labels'])} since {row['since']}" for row in state["queue"]]
    lines += [f"log of {names[log['job_id']]}, attempt {log['attempt']}: {log['lines']} lines stored" for log in state["logs"]]
    return "\n".join(lines)


def changed(then: Any, now: Any, path: str = "") -> Any:
    """(path, old, new) for every leaf that differs between two JSON values."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*then, *now]):
            yield from changed(then.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif isinstance(then, list) and isinstance(now, list) and any(isinstance(each, dict) for each in [*then, *now]):
        for index in range(max(len(then), len(now))):
            yield from changed(_at(then, index), _at(now, index), f"{path}[{index}]")
    elif then != now:
        yield path, then, now


def _at(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else None


def _fold(events: list[Json]) -> Json:
    """The state after the events, as the live display knows it."""
    import msgspec

    from gateway.cli.board import Board

    first = events[0]["data"]
    run_id = str(events[0]["stream"])
    board = Board([{"id": run_id, "workflow": first["workflow_path"], "number": first["number"]}])
    for event in events:
        board.apply(run_id, event)
    folded: Json = msgspec.to_builtins(board.runs[run_id])
    return folded
