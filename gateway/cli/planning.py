"""What an event would run: the snapshot's workflow files read, matched and narrowed, before anything is queued.

The same function as the server's decides (commands.trigger.selected), so `plan` and `run` never disagree with what the
server then does. Everything here is refused before a single event is written.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from commands import trigger
from commands.elsewhere import FORGES, Lookup, on_github
from domain.access import FIRST_TENANT
from domain.workflow.diagnostics import Diagnostic, errors, human
from domain.workflow.model import Workflow
from gateway.cli.client import Client
from gateway.cli.errors import CliError, Exit, usage
from gateway.cli.payload import default_payload
from gateway.cli.wiring import default_branch, library, settings, snapshot

if TYPE_CHECKING:
    from infra.snapshot import Snapshot, SourceFile

Json = dict[str, Any]


class Ask(msgspec.Struct, frozen=True):
    """What the user asked for. files: paths given with -W; jobs, matrix: narrowing; payload_file: -e."""

    directory: Path
    data: Path
    event: str = "push"
    files: tuple[str, ...] = ()
    payload_file: Path | None = None
    inputs: dict[str, str] = {}
    jobs: tuple[str, ...] = ()
    matrix: dict[str, tuple[str, ...]] = {}


class Plan(msgspec.Struct, frozen=True):
    """What would run. chosen: path and workflow of those that the event starts; rejected: by path.

    following: the files among which those are that listen to runs.
    """

    snapshot: Any
    request: trigger.TriggerRequest
    listening: dict[str, Workflow]
    chosen: dict[str, Workflow]
    rejected: dict[str, trigger.NotTriggered]
    diagnostics: tuple[Diagnostic, ...]
    following: dict[str, Workflow]

    @property
    def texts(self) -> dict[str, str]:
        """The files' texts by path."""
        return {file.path: file.text for file in (*self.request.called, *self.request.workflows)}


def make(ask: Ask, server: Callable[[], Client | None]) -> Plan:
    """Take the snapshot and decide. Raises CliError where there is no repository or no file; broken files are in it.

    server: the one whose repositories count where files of others are called; asked only then.
    """
    taken = snapshot(ask.directory, ask.data)
    files = _files(ask, taken)
    payload = default_payload(ask.event, taken, ask.inputs) | _payload(ask.payload_file)
    repository = trigger.RepositoryFacts(taken.repository.full_name, "local", str(taken.mirror), taken.repository.default_branch)
    head_ref, base_ref = _pull_request_refs(payload)
    request = trigger.TriggerRequest(
        repository=repository,
        source_url=str(taken.mirror),
        sha=taken.sha,
        ref=_ref(ask.event, payload, taken),
        event=ask.event,
        workflows=files,
        payload=payload,
        inputs=dict(ask.inputs),
        changed_paths=taken.changed,
        jobs=ask.jobs,
        matrix=ask.matrix,
        head_ref=head_ref,
        base_ref=base_ref,
        called=tuple(file for file in _read(taken) if file not in files),
        default_branch=_default_branch(taken, {file.path for file in files} if ask.files else None),
    )
    lookup = Lookup(library(ask.data, partial(_place, server)), FIRST_TENANT)
    selection = asyncio.run(trigger.selected(request, settings(ask.data).untrusted_values, lookup))
    chosen = {match.file.path: match.workflow for match in selection.matches}
    listening = _readable(files)
    following = listening if request.default_branch is None else _readable(request.default_branch.workflows)
    why_not = {each.workflow: each for each in selection.rejected}
    return Plan(taken, request, listening, chosen, why_not, tuple(selection.diagnostics), following)


async def _place(server: Callable[[], Client | None], tenant: str, full_name: str) -> tuple[UUID, str]:
    """Where a repository is: as the server says, where one is up that knows it, else on GitHub."""
    client = server()
    listed = [] if client is None else list(client.items("/repositories", per_page=100))
    known = {each["provider"]: each for each in listed if each["full_name"] == full_name}
    found = next((known[provider] for provider in FORGES if provider in known), None)
    return await on_github(tenant, full_name) if found is None else (UUID(found["id"]), found["clone_url"])


def refuse_broken(plan: Plan) -> None:
    """Raise CliError where a file is broken or needs what does not exist yet; the message holds all findings."""
    found = errors(plan.diagnostics)
    if found:
        raise BrokenFilesError(found, plan.texts)


class BrokenFilesError(CliError):
    """Workflow files that cannot run. Rendered one line a finding, then each with its place in the file."""

    def __init__(self, found: list[Diagnostic], texts: dict[str, str]) -> None:
        super().__init__("RUN007", f"{len(found)} error{'s' if len(found) > 1 else ''} in workflow files; nothing was started")
        self.found = found
        self.texts = texts

    def render(self, *, colour: bool = False) -> str:
        """`file:line:col: message [CODE]` for each, with the line of the file and the help below it."""
        shown = []
        for each in self.found:
            shown.append(each.one_line())
            shown += [f"  {line}" for line in human(each, self.texts.get(each.file)).splitlines()[2:]]
        return "\n".join([*shown, super().render(colour=colour)])


def refuse_nothing(plan: Plan) -> None:
    """Raise CliError where the event starts no workflow, with the events that they do listen to."""
    if plan.chosen:
        return
    event = plan.request.event
    listed = [f"{path} listens to {', '.join(workflow.on)}" for path, workflow in plan.listening.items()]
    refused = [f"{path}: {each.reason}" for path, each in plan.rejected.items() if event in plan.listening[path].on]
    if refused:
        raise CliError("RUN004", f"{event} on {plan.request.ref} starts no workflow", because="\n  ".join(refused), help="ledgermill plan")
    events = sorted({name for workflow in plan.listening.values() for name in workflow.on})
    usable = [name for name in events if name not in ("schedule", "workflow_call", "workflow_run")] or events
    raise CliError(
        "RUN004",
        f"no workflow listens to {event}",
        because="\n  ".join(listed) or None,
        help=f"ledgermill run {usable[0]}" if usable else None,
    )


def refuse_unknown_jobs(plan: Plan) -> None:
    """Raise CliError where -j or --matrix names what none of the chosen workflows has."""
    known = {key for workflow in plan.chosen.values() for key in workflow.jobs}
    missing = [job for job in plan.request.jobs if job not in known]
    if missing:
        raise CliError("RUN006", f"no job is called {', '.join(missing)}", because=f"jobs: {', '.join(sorted(known))}")
    axes = {axis for workflow in plan.chosen.values() for job in workflow.jobs.values() for axis in _axes(job)}
    unknown = [axis for axis in plan.request.matrix if axes and "*" not in axes and axis not in axes]
    if unknown or (plan.request.matrix and not axes):
        raise CliError(
            "RUN006", f"no matrix has {', '.join(unknown or plan.request.matrix)}", because=f"axes: {', '.join(sorted(axes)) or 'none'}"
        )


def _readable(files: tuple[trigger.WorkflowFile, ...]) -> dict[str, Workflow]:
    from domain.workflow import reader

    found = ((file.path, reader.read(file.path, file.text)[0]) for file in files)
    return {path: workflow for path, workflow in found if workflow is not None}


def _files(ask: Ask, taken: "Snapshot") -> tuple[trigger.WorkflowFile, ...]:
    files = _read(taken)
    if not files:
        raise CliError(
            "RUN003",
            f"{taken.repository.root} has no workflow files",
            because="none in .github/workflows with the ending .yml or .yaml, in HEAD or among changed and new files",
            exit_code=Exit.FAILED,
        )
    if not ask.files:
        return files
    chosen = []
    for wanted in ask.files:
        found = [
            file
            for file in files
            if wanted in (file.path, Path(file.path).name, Path(file.path).stem) or _same(ask.directory, wanted, taken, file.path)
        ]
        if not found:
            raise CliError("RUN003", f"no workflow file is called {wanted}", because=f"there are: {', '.join(file.path for file in files)}")
        chosen.extend(found)
    return tuple(dict.fromkeys(chosen))


def _read(taken: "Snapshot") -> tuple[trigger.WorkflowFile, ...]:
    return _texts(taken.workflows)


def _texts(files: Iterable["SourceFile"]) -> tuple[trigger.WorkflowFile, ...]:
    return tuple(trigger.WorkflowFile(file.path, file.content.decode("utf-8", errors="replace")) for file in files)


def _default_branch(taken: "Snapshot", wanted: AbstractSet[str] | None) -> trigger.DefaultBranch | None:
    """Where what listens to runs is looked for; None where that is the snapshot itself. wanted: only these paths."""
    found = default_branch(taken)
    if found is None:
        return None
    files = tuple(file for file in _texts(found[2]) if wanted is None or file.path in wanted)
    return trigger.DefaultBranch(found[0], found[1], files)


def _same(directory: Path, wanted: str, taken: "Snapshot", path: str) -> bool:
    full = taken.repository.root / path
    return any(base.joinpath(wanted).resolve() == full.resolve() for base in (Path.cwd(), directory))


def _payload(file: Path | None) -> Json:
    if file is None:
        return {}
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CliError("CLI011", f"the event file {file} cannot be read", because=str(error)) from error
    if not isinstance(found, dict):
        raise CliError("CLI011", f"the event file {file} does not hold a JSON object")
    return found


def _ref(event: str, payload: Json, taken: "Snapshot") -> str:
    if event.startswith("pull_request"):
        return f"refs/pull/{payload.get('number', 1)}/merge"
    given = payload.get("ref")
    return given if isinstance(given, str) and given.startswith("refs/") else taken.repository.ref


def _pull_request_refs(payload: Json) -> tuple[str, str]:
    pull = payload.get("pull_request")
    if not isinstance(pull, dict):
        return "", ""
    return str((pull.get("head") or {}).get("ref", "")), str((pull.get("base") or {}).get("ref", ""))


def _axes(job: Any) -> set[str]:
    matrix = job.strategy.matrix if job.strategy else None
    if isinstance(matrix, str):
        return {"*"}
    found = {axis for axis in matrix or {} if axis not in ("include", "exclude")}
    include = (matrix or {}).get("include")
    for entry in include if isinstance(include, list) else ():
        found |= set(entry) if isinstance(entry, dict) else {"*"}
    return found


def pairs(given: Iterable[str], option: str, mark: str) -> dict[str, tuple[str, ...]]:
    """`K:V` or `K=V` options as a mapping, values of a repeated key collected."""
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        key, sign, value = text.partition(mark)
        if not sign or not key:
            raise usage(f'{option} "{text}" is not of the form K{mark}V')
        found[key] = (*found.get(key, ()), value)
    return found
