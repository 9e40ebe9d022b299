"""From the files of a commit to a workflow with all that it calls: what a run stores as its plan."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from domain.workflow import reader, support
from domain.workflow.diagnostics import Diagnostic, errors
from domain.workflow.model import Workflow
from domain.workflow.references import LOCAL, file_of


def gather(workflow: Workflow, texts: Mapping[str, str], options: Mapping[str, Any] | None = None) -> tuple[Workflow, list[Diagnostic]]:
    """The workflow with the files that it calls, at any depth, and what keeps it from running.

    texts: the repository's workflow files by path, with that of the workflow itself.
    """
    found = support.unsupported(workflow)
    broken: list[Diagnostic] = []
    called: dict[str, Workflow] = {}
    pending = _references(workflow)
    while pending:
        reference = pending.pop()
        text = texts.get(file_of(reference))
        if reference in called or text is None:
            continue
        read, problems = reader.read(file_of(reference), text, options=options)
        broken.extend(problems)
        if read is not None:
            called[reference] = read
            found.extend(support.unsupported(read))
            pending.extend(_references(read))
    found.extend(broken)
    if not _references(workflow) or errors(broken) or any(map(_calls_elsewhere, (workflow, *called.values()))):
        return workflow, found
    # Only now, when every file is at hand and can be read: whether the calls fit what they call, and no circle.
    files = {prefix + path: text for path, text in texts.items() for prefix in LOCAL}
    _, misfits = reader.read(workflow.path, texts[workflow.path], files, options)
    found.extend(errors(misfits))
    return replace(workflow, called=dict(sorted(called.items()))), found


def _calls_elsewhere(workflow: Workflow) -> bool:
    return any(job.uses is not None and not job.uses.startswith(LOCAL) for job in workflow.jobs.values())


def _references(workflow: Workflow) -> list[str]:
    return [job.uses for job in workflow.jobs.values() if job.uses is not None and job.uses.startswith(LOCAL)]
