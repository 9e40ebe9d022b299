"""Questions about workflow files: are they valid, and what would an event start. No side effects.

The answers come from the same functions that decide when an event is really taken (commands.trigger.select), so what is
planned here is what would run. It must never write: no event, no blob, no refusal in the audit.
"""

import asyncio
from functools import partial
from typing import Any, Literal

import msgspec

from commands.elsewhere import Library, Lookup
from commands.trigger import NotTriggered, RepositoryFacts, Selection, TriggerRequest, WorkflowFile, select
from domain.workflow import matrix, plan, reader
from domain.workflow.diagnostics import Diagnostic, as_json, errors
from domain.workflow.elsewhere import Elsewhere
from domain.workflow.gather import NOTHING, gather
from domain.workflow.model import Job, Workflow
from domain.workflow.references import file_of
from gateway.api.commands import TRIGGER_BYTES_MAX
from gateway.http import Reply, Request, Route, answer


class ValidateWorkflows(msgspec.Struct, frozen=True):
    """`POST /api/v1/workflows/validate`. called: texts of called workflows by reference; without, calls are not followed."""

    workflows: tuple[WorkflowFile, ...]
    called: dict[str, str] | None = None
    untrusted_values: Literal["warn", "deny"] = "warn"


class Validated(msgspec.Struct, frozen=True):
    """A file's verdict. valid: GitHub accepts it; runnable: this version runs all of it."""

    workflow: str
    valid: bool
    runnable: bool
    diagnostics: tuple[dict[str, Any], ...]


class ValidatedWorkflows(msgspec.Struct, frozen=True):
    """The answer to `POST /api/v1/workflows/validate`."""

    valid: bool
    workflows: tuple[Validated, ...]


class PlanRuns(msgspec.Struct, frozen=True):
    """`POST /api/v1/workflows/plan`: an event as for `POST /runs`, without a commit."""

    workflows: tuple[WorkflowFile, ...]
    event: str = "push"
    ref: str = "refs/heads/main"
    payload: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    changed_paths: tuple[str, ...] | None = None
    jobs: tuple[str, ...] = ()


class PlannedJob(msgspec.Struct, frozen=True):
    """A job that the run would have. matrix: its combinations; None where they are only known while the run goes on."""

    key: str
    name: str
    needs: tuple[str, ...]
    condition: str
    runs_on: tuple[str, ...] | str
    steps: int
    matrix: tuple[dict[str, Any], ...] | None


class PlannedRun(msgspec.Struct, frozen=True):
    """A run that the event would start."""

    workflow: str
    name: str | None
    inputs: dict[str, Any]
    jobs: tuple[PlannedJob, ...]


class PlannedRuns(msgspec.Struct, frozen=True):
    """The answer to `POST /api/v1/workflows/plan`. valid: false where an error in the files would stop them all."""

    valid: bool
    runs: tuple[PlannedRun, ...]
    not_triggered: tuple[NotTriggered, ...]
    diagnostics: tuple[dict[str, Any], ...]


def language_routes(library: Library | None) -> list[Route]:
    """The routes' part of the table. Reading big files takes a while, so it is done beside the loop.

    library: where called workflows of other repositories are.
    """
    return [
        Route(
            method="POST",
            path="/api/v1/workflows/validate",
            least="viewer",
            summary="Check workflow files",
            handle=_validate,
            body=ValidateWorkflows,
            answers=ValidatedWorkflows,
            limit_bytes=TRIGGER_BYTES_MAX,
        ),
        Route(
            method="POST",
            path="/api/v1/workflows/plan",
            least="viewer",
            summary="Tell what an event would start",
            handle=partial(_plan, library),
            body=PlanRuns,
            answers=PlannedRuns,
            limit_bytes=TRIGGER_BYTES_MAX,
        ),
    ]


async def _validate(_request: Request, body: ValidateWorkflows) -> Reply:
    return answer(await asyncio.to_thread(validated, body))


async def _plan(library: Library | None, request: Request, body: PlanRuns) -> Reply:
    lookup = Lookup(library, request.identity.tenant)
    while True:
        selection = await asyncio.to_thread(selection_of, body, lookup.found)
        if not selection.wanted or errors(selection.diagnostics):
            return answer(planned(body, selection))
        await lookup.look(selection.wanted)


def validated(body: ValidateWorkflows) -> ValidatedWorkflows:
    """The verdict on each file."""
    found = tuple(_verdict(file, body) for file in body.workflows)
    return ValidatedWorkflows(all(each.valid for each in found), found)


def _verdict(file: WorkflowFile, body: ValidateWorkflows) -> Validated:
    options = reader.released(body.untrusted_values)
    workflow, found = reader.read(file.path, file.text, body.called, options)
    called = {file_of(reference): text for reference, text in (body.called or {}).items()}
    missing = gather(workflow, {**called, file.path: file.text}, options).found if workflow is not None else []
    missing = [each for each in missing if each not in found]
    return Validated(file.path, workflow is not None, workflow is not None and not missing, _shown([*found, *missing]))


def selection_of(body: PlanRuns, elsewhere: Elsewhere = NOTHING) -> Selection:
    """Which workflows the event starts, as far as it is known what they call elsewhere."""
    request = TriggerRequest(
        repository=RepositoryFacts("", "local", ""),
        source_url="",
        sha="",
        ref=body.ref,
        event=body.event,
        workflows=body.workflows,
        payload=body.payload,
        inputs=body.inputs,
        changed_paths=body.changed_paths,
        jobs=body.jobs,
    )
    return select(request, elsewhere=elsewhere)


def planned(body: PlanRuns, selection: Selection) -> PlannedRuns:
    """What the event would start."""
    valid = not errors(selection.diagnostics)
    runs = tuple(PlannedRun(each.file.path, each.workflow.name, each.inputs, _jobs(each.workflow, body.jobs)) for each in selection.matches)
    return PlannedRuns(valid, runs if valid else (), tuple(selection.rejected), _shown(selection.diagnostics))


def _jobs(workflow: Workflow, only: tuple[str, ...]) -> tuple[PlannedJob, ...]:
    return tuple(
        PlannedJob(node.key, node.name, node.needs, node.condition, job.runs_on, len(job.steps), _combinations(job))
        for node in plan.nodes(workflow, only)
        for job in (workflow.jobs[node.key],)
    )


def _combinations(job: Job) -> tuple[dict[str, Any], ...] | None:
    """The combinations of a matrix that is written out; an empty one for a job without a matrix."""
    strategy = job.strategy
    if strategy is None or (strategy.matrix is None and strategy.whole is None):
        return ()
    combinations = matrix.written_out(strategy.matrix)
    return None if combinations is None else tuple(combinations)


def _shown(found: list[Diagnostic]) -> tuple[dict[str, Any], ...]:
    return tuple(as_json(each) for each in found)
