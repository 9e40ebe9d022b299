"""`make bench`: measures the rows, prints each as it is measured, and writes them all to bench/results/latest.json.

`BENCH=id,id` in the environment picks rows. A group that fails costs its own rows only: they stand in the results as
not judged, with the reason. The exit code is 0 when everything was measured, whatever the figures say, and 1 otherwise.
"""

import asyncio
import os
import signal
import sys
import time
from importlib import import_module
from typing import Any

import msgspec

from bench import harness, machine
from bench.harness import Row
from bench.place import ROOT, place
from bench.rows import GROUPS, RUNNER_GROUPS
from gateway.cli.server_process import loop_factory
from gateway.wiring import collect_rarely

RESULTS = ROOT / "bench" / "results" / "latest.json"


def main() -> int:
    """Measure what was asked for."""
    known = {name for ids in GROUPS.values() for name in ids}
    asked = frozenset(name.strip() for name in os.environ.get("BENCH", "").split(",") if name.strip()) or frozenset(known)
    if unknown := sorted(asked - known):
        print(f"BENCH names no row: {', '.join(unknown)}. There are: {', '.join(sorted(known))}.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C does: the servers end and the scratch directory goes
    began = time.monotonic()
    report: dict[str, Any] = {"machine": machine.machine(), "versions": machine.versions(ROOT)}
    rows: list[Row] = []
    for group, ids in GROUPS.items():
        if wanted := asked.intersection(ids):
            rows += measured_in_loop(group, wanted)
    report["seconds"] = round(time.monotonic() - began)
    report["rows"] = rows
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    short = [row for row in rows if row.holds is False]
    open_rows = [row for row in rows if row.holds is None]
    print(
        f"{len(rows)} rows in {report['seconds']} s: {len(rows) - len(short) - len(open_rows)} hold,"
        f" {len(short)} fall short, {len(open_rows)} not judged. {RESULTS.relative_to(ROOT)}"
    )
    return 1 if any(row.figure is None for row in rows) else 0


def measured_in_loop(group: str, ids: frozenset[str]) -> list[Row]:
    """On the server's event loop and with its garbage collection, or on asyncio's own where the runner works."""
    if group not in RUNNER_GROUPS:
        collect_rarely()
    with asyncio.Runner(loop_factory=None if group in RUNNER_GROUPS else loop_factory()) as runner:
        return runner.run(measured(group, ids))


async def measured(group: str, ids: frozenset[str]) -> list[Row]:
    """The rows of one group that were asked for."""
    module = import_module(f"bench.rows.{group}")
    rows: list[Row] = []
    try:
        with place(ids) as made:
            async for row in module.measure(made):
                if row.id in ids:
                    show(row, rows)
    except Exception as error:  # noqa: BLE001 - whatever stops one group must not cost the others
        done = {(row.id, row.case, row.reference) for row in rows}
        for goal in module.GOALS:
            if goal.id in ids and (goal.id, goal.case, goal.reference) not in done:
                show(harness.unmeasured(goal, f"{type(error).__name__}: {error}"), rows)
    return rows


def show(row: Row, rows: list[Row]) -> None:
    """Print a row and keep it."""
    rows.append(row)
    print(harness.line(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
