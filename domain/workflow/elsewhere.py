"""Called workflows of other repositories, as they were found: each is fixed at a commit before anything is planned.

A tag or branch is looked up once; from then on the plan names the commit, and so does whatever the called file calls in its
own repository. So a run, its re-runs and its replay see one and the same text, and need no network for it.
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from domain.workflow.diagnostics import Diagnostic
from domain.workflow.model import Job, Workflow
from domain.workflow.references import remote, within


class Fetched(msgspec.Struct, frozen=True):
    """The text of a called file. sha: of the commit that it is from."""

    sha: str
    text: str


class Missing(msgspec.Struct, frozen=True):
    """A called file cannot be had. message: which part of the reference is not there; because: what was asked."""

    message: str
    because: str
    help: str


Elsewhere = Mapping[str, Fetched | Missing]
"""What is known of other repositories, by reference as `references.within` gives it."""


class Fixed(msgspec.Struct, frozen=True):
    """A workflow whose calls name commits. found: what cannot be had; wanted: references of which nothing is known yet."""

    workflow: Workflow
    found: tuple[Diagnostic, ...]
    wanted: tuple[str, ...]


def with_commits(elsewhere: Elsewhere) -> Elsewhere:
    """Each found file by its commit too: that is how plans, and files of the same repository, name it."""
    return {**elsewhere, **{_at(reference, each.sha): each for reference, each in elsewhere.items() if isinstance(each, Fetched)}}


def texts_of(elsewhere: Elsewhere) -> dict[str, str]:
    """The texts by every reference that a file may use for them: a ref stands for all files of the commit that it was."""
    files = [(name, each) for key, each in elsewhere.items() if isinstance(each, Fetched) and (name := remote(key)) is not None]
    refs = {(name.repository, each.sha, ref) for name, each in files for ref in (name.ref, each.sha)}
    return {
        str(name._replace(ref=ref)): each.text
        for name, each in files
        for repository, sha, ref in refs
        if (repository, sha) == (name.repository, each.sha)
    }


def fixed(workflow: Workflow, caller: str, elsewhere: Elsewhere) -> Fixed:
    """The workflow with each call of another repository at its commit. caller: the reference that led to it, "" for none."""
    jobs: dict[str, Job] = {}
    found, wanted = [], []
    for job in workflow.jobs.values():
        meant = within(caller, job.uses or "")
        if remote(meant) is None:
            continue
        known = elsewhere.get(meant)
        if isinstance(known, Fetched):
            jobs[job.key] = replace(job, uses=_at(meant, known.sha))
        elif known is None:
            wanted.append(meant)
        else:
            found.append(_diagnostic(workflow.path, job, known))
    return Fixed(replace(workflow, jobs={**workflow.jobs, **jobs}) if jobs else workflow, tuple(found), tuple(wanted))


def _at(reference: str, sha: str) -> str:
    name = remote(reference)
    assert name is not None, "only files of other repositories are looked up"  # noqa: S101 - a fact, not a check
    return str(name._replace(ref=sha))


def _diagnostic(file: str, job: Job, missing: Missing) -> Diagnostic:
    place = job.places.get("uses", job.place)
    return Diagnostic(
        code="WF108",
        severity="error",
        message=missing.message,
        line=place.line,
        column=place.column,
        file=file,
        because=missing.because,
        help=missing.help,
    )
