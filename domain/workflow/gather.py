"""From the files of a commit to a workflow with all that it calls: what a run stores as its plan."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from domain.workflow import reader, support
from domain.workflow.diagnostics import Diagnostic, errors
from domain.workflow.elsewhere import Elsewhere, Fetched, fixed, texts_of, with_commits
from domain.workflow.model import Workflow
from domain.workflow.narrowing import with_needs
from domain.workflow.references import LOCAL, file_of

NOTHING: Final[Elsewhere] = {}


class Gathered(msgspec.Struct, frozen=True):
    """A workflow with the files that it calls, at any depth. found: what keeps it from running.

    wanted: references of other repositories that nothing is known of; as long as there are some, it cannot run.
    """

    workflow: Workflow
    found: list[Diagnostic]
    wanted: tuple[str, ...] = ()


def gather(
    workflow: Workflow,
    texts: Mapping[str, str],
    options: Mapping[str, Any] | None = None,
    elsewhere: Elsewhere = NOTHING,
    only: Collection[str] = (),
) -> Gathered:
    """Take in all that the workflow calls.

    texts: the repository's workflow files by path, with that of the workflow itself. elsewhere: files of other repositories.
    only: the jobs that run with what they need, where not all do; what the others need and cannot have is not found then.
    """
    rules = options or reader.released()
    known = with_commits(elsewhere)
    at_hand = {prefix + path: text for path, text in texts.items() for prefix in LOCAL}
    at_hand |= {reference: each.text for reference, each in known.items() if isinstance(each, Fetched)}
    root = fixed(workflow, "", known)
    found, broken, wanted = [*support.unsupported(workflow, only), *root.found], list(root.found), list(root.wanted)
    called: dict[str, Workflow] = {}
    running = set(_references(root.workflow, with_needs(workflow.jobs, only)))
    pending = sorted(_references(root.workflow), key=running.__contains__)  # the last first: what runs, with all that it calls
    while pending:
        reference = pending.pop()
        text = at_hand.get(reference)
        if reference in called or text is None:
            continue
        read, problems = reader.read(file_of(reference) if reference.startswith(LOCAL) else reference, text, options=rules)
        broken.extend(problems)
        found.extend(problems)
        if read is not None:
            own = fixed(read, reference, known)
            called[reference] = own.workflow
            found.extend([*(support.unsupported(read) if reference in running else ()), *own.found])
            broken.extend(own.found)
            wanted.extend(own.wanted)
            pending.extend(called_there := _references(own.workflow))
            if reference in running:
                running.update(called_there)
    if not (called or _references(root.workflow)) or errors(broken):
        return Gathered(workflow, found, tuple(dict.fromkeys(wanted)))
    # Only now, when every file is at hand and can be read: whether the calls fit what they call, and no circle.
    files = at_hand | texts_of(known)
    _, misfits = reader.read(workflow.path, texts[workflow.path], files, {**rules, "unknown-repositories": bool(wanted)})
    found.extend(errors(misfits))
    return Gathered(replace(root.workflow, called=dict(sorted(called.items()))), found, tuple(dict.fromkeys(wanted)))


def _references(workflow: Workflow, jobs: Iterable[str] | None = None) -> list[str]:
    """What these jobs call, or all."""
    found = (workflow.jobs[key].uses for key in (workflow.jobs if jobs is None else jobs))
    return [each for each in found if each is not None]
