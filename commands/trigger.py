"""From an event to runs: read the workflow files, match their triggers, fix the inputs as blobs, number and start.

All or nothing: when one of the files is broken, no run of the event is started.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

import msgspec

from commands.elsewhere import Library, Lookup
from commands.handle import Handler, Origin
from domain import ids
from domain.ports import Blobs
from domain.refusals import REPEAT, Refusal
from domain.repository import Repository, decide_repository
from domain.repository_commands import RegisterRepository
from domain.run import followers
from domain.run.commands import TriggerRun
from domain.run.events import Follower
from domain.run.state import Run
from domain.workflow import dispatch, reader, triggers
from domain.workflow.diagnostics import Diagnostic, errors
from domain.workflow.elsewhere import Elsewhere
from domain.workflow.gather import NOTHING, gather
from domain.workflow.model import Workflow

_PLANNED_VERSION = 2
"""RunPlanned: its position is the answer's, the first time and every time."""

REMEMBERED_FILES, REMEMBERED_CHARACTERS_MAX = 256, 64 * 1024
"""So many workflow files, each up to so long, are not read anew when the next event brings them unchanged."""


def read_workflow(path: str, text: str, untrusted_values: str) -> tuple[Workflow | None, list[Diagnostic]]:
    """A workflow file's meaning, None where it is broken, and what there is to say about it. untrusted_values: see `select`."""
    read = _remembered if len(text) <= REMEMBERED_CHARACTERS_MAX else _anew
    return read(path, text, untrusted_values)


def _anew(path: str, text: str, untrusted_values: str) -> tuple[Workflow | None, list[Diagnostic]]:
    return reader.read(path, text, None, reader.released(untrusted_values))


_remembered = lru_cache(REMEMBERED_FILES)(_anew)

_ENCODER = msgspec.json.Encoder(order="sorted")


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Provider = Annotated[str, msgspec.Meta(pattern="^(github|gitea|gitlab|git|local)$")]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
"""Names and paths are parts of keys, which an index must have room for."""


class WorkflowFile(msgspec.Struct, frozen=True):
    """A workflow file as it is at the event's commit."""

    path: Path
    text: str


class RepositoryFacts(msgspec.Struct, frozen=True):
    """The repository that the event is about."""

    full_name: Name
    provider: Provider
    clone_url: str
    default_branch: Name = "main"


class DefaultBranch(msgspec.Struct, frozen=True):
    """The default branch, where what listens to runs is looked for: its ref, its commit and the workflow files of that."""

    ref: str
    sha: str
    workflows: tuple[WorkflowFile, ...]


class TriggerRequest(msgspec.Struct, frozen=True):
    """An event of a repository with the workflow files of its commit, and all else that runs of it need.

    default_branch: None where the commit is of that branch, or nobody knows it; then the commit's own files listen to runs.
    called: files of the commit that answer no event here and may be called. changed_paths: for path filters;
    None: unknown, then path filters let everything pass. jobs and matrix narrow the plan (`run -j`, `--matrix`).
    """

    repository: RepositoryFacts
    source_url: str
    sha: str
    ref: str
    event: str
    workflows: tuple[WorkflowFile, ...]
    payload: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    changed_paths: tuple[str, ...] | None = None
    jobs: tuple[str, ...] = ()
    matrix: dict[str, tuple[str, ...]] = {}
    head_ref: str = ""
    base_ref: str = ""
    called: tuple[WorkflowFile, ...] = ()
    default_branch: DefaultBranch | None = None


class TriggeredRun(msgspec.Struct, frozen=True):
    """A run that the event started, now or (replayed) before."""

    run: UUID
    number: int
    workflow: str
    position: int
    replayed: bool = False


class NotTriggered(msgspec.Struct, frozen=True):
    """A workflow that the event did not start, and why. filter: what kept it away, see domain.why.reason.FILTERS."""

    workflow: str
    reason: str
    filter: str = ""


class TriggerOutcome(msgspec.Struct, frozen=True):
    """What came of the event. With diagnostics or a refusal there are no runs."""

    runs: tuple[TriggeredRun, ...] = ()
    not_triggered: tuple[NotTriggered, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    refusal: Refusal | None = None


class Match(msgspec.Struct, frozen=True):
    """A workflow that the event starts, with its inputs."""

    file: WorkflowFile
    workflow: Workflow
    inputs: dict[str, Any]


class Selection(msgspec.Struct, frozen=True):
    """Which workflows an event starts, which not and why, and what is wrong with the files.

    wanted: references of workflows of other repositories that have to be looked up first.
    """

    matches: list[Match]
    rejected: list[NotTriggered]
    diagnostics: list[Diagnostic]
    wanted: tuple[str, ...] = ()


async def trigger(
    handler: Handler,
    blobs: Blobs,
    request: TriggerRequest,
    key: str,
    origin: Origin,
    *,
    untrusted_values: str = "warn",
    library: Library | None = None,
) -> TriggerOutcome:
    """Start the runs of an event. Raises StoreUnavailable; then nothing was acknowledged and it may be sent again.

    key: identifies the event within the tenant (Idempotency-Key with its scope, or a delivery id); one run a workflow comes
    of it. library: where called workflows of other repositories are; None: such calls are refused.
    """
    lookup = Lookup(library, origin.tenant)
    selection = await selected(request, untrusted_values, lookup)
    rejected, diagnostics = tuple(selection.rejected), tuple(selection.diagnostics)
    if errors(diagnostics):
        return TriggerOutcome(diagnostics=diagnostics)
    repository = request.repository
    repository_id = ids.repository_id(origin.tenant, repository.provider, repository.full_name)
    register = RegisterRepository(repository_id, repository.full_name, repository.provider, repository.clone_url, repository.default_branch)
    registered = await _registered(handler, register, origin)
    runs: list[TriggeredRun] = []
    commands = await triggered_by(
        blobs, request, selection.matches, key=key, tenant=origin.tenant, repository=repository_id, retry=registered.retry, lookup=lookup
    )
    for command in commands:
        started = await _start(handler, command, origin)
        if isinstance(started, Refusal):
            return TriggerOutcome(runs=tuple(runs), not_triggered=rejected, refusal=started)
        runs.append(started)
    return TriggerOutcome(tuple(runs), rejected, diagnostics)


async def triggered_by(
    blobs: Blobs,
    request: TriggerRequest,
    matches: Sequence[Match],
    *,
    key: str,
    tenant: str,
    repository: UUID,
    retry: str,
    lookup: Lookup,
) -> list[TriggerRun]:
    """The command for each match, with all that it names stored. key: see `trigger`; retry: the repository's policy."""
    payload = _ENCODER.encode(request.payload)
    payload_digest, listeners = await asyncio.gather(blobs.put(payload), _listeners(blobs, request, lookup))
    default = request.default_branch
    commands = []
    for match in matches:
        command = await _command(
            blobs,
            request,
            match,
            key=f"{key}|{match.file.path}",
            tenant=tenant,
            repository=repository,
            payload=payload,
            payload_digest=payload_digest,
        )
        name = match.workflow.name or match.file.path
        listening = followers.fixed(name, 0, listeners, *((default.ref, default.sha) if default is not None else ()))
        commands.append(msgspec.structs.replace(command, followers=listening, retry=retry))
    return commands


async def _registered(handler: Handler, command: RegisterRepository, origin: Origin) -> Repository:
    """The repository's state. To one that is known as it is no command is sent: it would read the stream for its answer."""
    known: Repository | None = await handler.state(command.repository, "repository")
    if known is not None and decide_repository(known, command) is REPEAT:
        return known
    registered: Repository = (await handler.handle(command, origin)).state
    return registered


async def selected(request: TriggerRequest, untrusted_values: str, lookup: Lookup) -> Selection:
    """What `select` gives once all is known that the files call elsewhere. Nothing is looked up for files that are broken."""
    while True:
        found = select(request, untrusted_values, lookup.found)
        if not found.wanted or errors(found.diagnostics):
            return found
        await lookup.look(found.wanted)


def select(request: TriggerRequest, untrusted_values: str = "warn", elsewhere: Elsewhere = NOTHING) -> Selection:
    """Which workflows the event starts. Pure.

    untrusted_values: "deny" refuses files that paste a payload's untrusted value into a script. elsewhere: what is known of
    called workflows of other repositories.
    """
    matches: list[Match] = []
    rejected: list[NotTriggered] = []
    diagnostics: list[Diagnostic] = []
    wanted: list[str] = []
    texts = {file.path: file.text for file in (*request.called, *request.workflows)}
    for file in request.workflows:
        workflow, found = read_workflow(file.path, file.text, untrusted_values)
        diagnostics.extend(found)
        if workflow is None:
            continue
        verdict = triggers.match(workflow, request.event, ref=request.ref, payload=request.payload, changed_paths=request.changed_paths)
        if not verdict.matched:
            rejected.append(NotTriggered(file.path, verdict.reason, verdict.filter or ""))
            continue
        options = {**reader.released(untrusted_values), "repository": request.repository.full_name}
        gathered = gather(workflow, texts, options, elsewhere, request.jobs)
        workflow = gathered.workflow
        diagnostics.extend(gathered.found)
        wanted.extend(gathered.wanted)
        inputs: dict[str, Any] = {}
        if request.event == "workflow_dispatch":
            inputs, wrong = dispatch.dispatch_inputs(workflow, request.inputs)
            diagnostics.extend(wrong)
        matches.append(Match(file, workflow, inputs))
    return Selection(matches, rejected, diagnostics, tuple(dict.fromkeys(wanted)))


async def _listeners(blobs: Blobs, request: TriggerRequest, lookup: Lookup) -> list[tuple[Follower, Workflow]]:
    """The files that listen to other runs and can run; what is wrong with others is no error here."""
    found = []
    default = request.default_branch
    files = default.workflows if default is not None else request.workflows
    texts = {file.path: file.text for file in (*(() if default is not None else request.called), *files)}
    for file in files:
        if followers.EVENT not in file.text:
            continue
        workflow, _ = reader.read(file.path, file.text)
        if workflow is None or followers.EVENT not in workflow.on:
            continue
        gathered = gather(workflow, texts, elsewhere=lookup.found)
        while gathered.wanted and not errors(gathered.found):
            await lookup.look(gathered.wanted)
            gathered = gather(workflow, texts, elsewhere=lookup.found)
        if not errors(gathered.found):
            whole = gathered.workflow
            plan, source = await asyncio.gather(blobs.put(_ENCODER.encode(whole)), blobs.put(file.text.encode()))
            found.append((Follower(file.path, source, plan), whole))
    return found


async def _command(
    blobs: Blobs,
    request: TriggerRequest,
    match: Match,
    *,
    key: str,
    tenant: str,
    repository: UUID,
    payload: bytes,
    payload_digest: str,
) -> TriggerRun:
    plan, source = await asyncio.gather(blobs.put(_ENCODER.encode(match.workflow)), blobs.put(match.file.text.encode()))
    return TriggerRun(
        run=ids.run_id(tenant, key),
        repository=repository,
        repository_name=request.repository.full_name,
        workflow=ids.workflow_id(tenant, repository, match.file.path),
        workflow_path=match.file.path,
        event=request.event,
        ref=request.ref,
        sha=request.sha,
        source=source,
        source_url=request.source_url,
        plan=plan,
        payload=payload_digest,
        payload_bytes=len(payload),
        request=_digest(request, source, payload_digest),
        workflow_ast=match.workflow,
        payload_json=request.payload,
        head_ref=request.head_ref,
        base_ref=request.base_ref,
        inputs=match.inputs,
        trigger=key,
        jobs=request.jobs,
        matrix=request.matrix,
    )


def _digest(request: TriggerRequest, source: str, payload_digest: str) -> str:
    """What makes two requests with the same key the same request."""
    facts: Sequence[Any] = (
        request.repository.full_name,
        request.sha,
        request.ref,
        request.event,
        request.inputs,
        request.jobs,
        request.matrix,
        source,
        payload_digest,
    )
    return hashlib.sha256(_ENCODER.encode(facts)).hexdigest()


async def _start(handler: Handler, command: TriggerRun, origin: Origin) -> TriggeredRun | Refusal:
    """Start the run, or recognise the one that the same request started before."""
    outcome = await handler.handle(command, origin)
    run: Run | None = await handler.state(command.run, "run")
    if run is None:
        if outcome.refusal is None:
            raise AssertionError(f"run {command.run} was started and is not there")
        return outcome.refusal
    if run.facts.request != command.request:
        return Refusal(
            code="idempotency_key_reused",
            message=f"the key of this request started run {run.run} with another body before",
            state="present",
            help="use a new key, or repeat the first body",
        )
    planned = (event for event in outcome.events if event.stream == run.run and event.version == _PLANNED_VERSION)
    position = next((event.position for event in planned), 0) or await handler.position(run.run, _PLANNED_VERSION)
    return TriggeredRun(run.run, run.facts.number, command.workflow_path, position, replayed=outcome.refusal is not None)
