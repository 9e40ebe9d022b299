"""The workflow language: a file linted as a process, read and planned against a bare parse of its YAML, conditions evaluated."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import yaml

from bench.harness import Figures, Goal, Row, alternate, judge
from bench.place import Place
from bench.samples import workflow_file
from domain.workflow import plan, reader
from domain.workflow.expressions import evaluate

COMPOSE = "yaml.compose of the same text"
CONDITION = "github.ref == 'refs/heads/main' && needs.build.result == 'success'"
GOALS = (
    Goal(id="lint", case="`ledgermill lint` of a 13 KB file, median of 10", unit="ms", must=150, better="less", figure="median"),
    Goal(id="read-plan", case="read and plan a 13 KB file", unit="ms", must=4, better="less", figure="ms", reference=COMPOSE),
    Goal(id="read-plan", case="read and plan a 13 KB file, bound", unit="ms", must=15, better="less", figure="ms"),
    Goal(id="evaluate", case=f"evaluate `{CONDITION}`", unit="1/s", must=20_000),
)
LEDGERMILL = Path(sys.executable).with_name("ledgermill")
TIMES = 10
EVALUATIONS = 20_000


async def measure(place: Place) -> AsyncIterator[Row]:
    """Each with what it is compared to in turn."""
    text = workflow_file()
    file = place.directory / "ci.yml"
    file.write_text(text)
    lint, read, bound, evaluations = GOALS
    if lint.id in place.ids:
        yield judge(lint, await alternate({"ours": lambda: _lint(file)}, place.probe))
    if read.id in place.ids:
        sides = {"ours": lambda: _best(lambda: _read_and_plan(text)), COMPOSE: lambda: _best(lambda: yaml.compose(text, yaml.CSafeLoader))}
        rounds = await alternate(sides, place.probe)
        yield judge(read, rounds)
        yield judge(bound, rounds)
    if evaluations.id in place.ids:
        yield judge(evaluations, await alternate({"ours": _evaluate}, place.probe))


async def _lint(file: Path) -> Figures:
    taken = []
    for _ in range(TIMES):
        before = time.perf_counter()
        process = await asyncio.create_subprocess_exec(LEDGERMILL, "lint", file, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        taken.append((time.perf_counter() - before) * 1e3)
        if process.returncode != 0 or output:
            raise RuntimeError(f"ledgermill lint ended with {process.returncode}: {output.decode()}")
    return {"median": sorted(taken)[TIMES // 2]}


async def _best(work: Callable[[], object]) -> Figures:
    """The best of a few, in processor time: what a busy machine adds is no part of either side."""
    taken = []
    for _ in range(TIMES):
        before = time.process_time()
        work()
        taken.append((time.process_time() - before) * 1e3)
    return {"ms": min(taken)}


def _read_and_plan(text: str) -> None:
    workflow, _ = reader.read("ci.yml", text)
    if workflow is None:
        raise RuntimeError("the sample is not accepted")
    contexts = {"github": {"event_name": "push"}, "inputs": {}, "vars": {}, "needs": {}}
    for node in plan.nodes(workflow):
        plan.expand(workflow, node.key, contexts, {})


async def _evaluate() -> Figures:
    contexts = {"github": {"ref": "refs/heads/main"}, "needs": {"build": {"result": "success"}}}
    before = time.process_time()
    for _ in range(EVALUATIONS):
        evaluate(CONDITION, contexts, {})
    return {"rate": EVALUATIONS / (time.process_time() - before)}
