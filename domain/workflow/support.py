"""What GitHub accepts and this version does not run yet: refused when a run is planned, each with its place.

`read` never looks at this, so its verdict stays GitHub's. A part of the language that is built loses its lines here.
"""

from collections.abc import Collection

from domain.workflow.diagnostics import Diagnostic
from domain.workflow.model import Job, Place, Step, Workflow
from domain.workflow.narrowing import with_needs

_CHECKOUT = "actions/checkout"


def unsupported(workflow: Workflow, only: Collection[str] = ()) -> list[Diagnostic]:
    """All that a run of this workflow would need and cannot have, in the order of the file. only: of these jobs, not of all."""
    found = [each for key in with_needs(workflow.jobs, only) for each in _job(workflow.path, workflow.jobs[key])]
    return sorted(found, key=lambda each: (each.line, each.column))


def _job(file: str, job: Job) -> list[Diagnostic]:
    found = []
    for key in ("container", "services"):
        if key in job.places:
            help_ = "run the job on a machine that has what it needs, or start the containers in a `run` step"
            found.append(_not_yet(file, "WF201", job.places[key], f'"{key}" of job "{job.key}"', help_))
    for step in job.steps:
        found.extend(_step(file, step))
    return found


def _step(file: str, step: Step) -> list[Diagnostic]:
    if step.uses is not None and step.uses.partition("@")[0].lower() != _CHECKOUT:
        help_ = "do the same in a `run` step, or run other jobs only (run -j JOB); of all actions only actions/checkout runs yet"
        return [_not_yet(file, "WF202", step.places.get("uses", step.place), f'the action "{step.uses}"', help_)]
    return [found for each in step.parallel for found in _step(file, each)]


def _not_yet(file: str, code: str, place: Place, what: str, help_: str) -> Diagnostic:
    return Diagnostic(
        code=code,
        severity="error",
        message=f"{what} cannot be run yet",
        line=place.line,
        column=place.column,
        file=file,
        because="GitHub accepts it, and this version of ledgermill does not run it",
        help=help_,
    )
