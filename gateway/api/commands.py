"""The write routes of the API: what people ask for, each as one command (or, for a trigger, one a workflow).

Answered once the command is committed, with the position of its last event in `X-Event-Position`. Every POST may carry
an Idempotency-Key; its scope is tenant, route and target, and what it starts is named by it, so a repeat finds the first
one. It must never act without the caller's identity in the envelope.
"""

import re
import secrets
from typing import Any
from uuid import UUID

import msgspec

from commands.handle import Handler, Origin, Outcome
from commands.trigger import TriggerOutcome, TriggerRequest, trigger
from domain import ids
from domain.ports import Blobs
from domain.refusals import Refusal
from domain.run.commands import CancelRun, ChangeRepository, NoteRunner, RerunRun, SetWorkflowEnabled
from domain.run.state import Run
from domain.workflow import retry_policy
from domain.workflow.diagnostics import as_json, errors
from gateway.http import Reply, Request, Route, answer
from gateway.problems import problem, refused
from gateway.refusals import Refusals

TRIGGER_BYTES_MAX = 32 * 1024 * 1024
KEY_LENGTH_MAX = 255


class StartedRun(msgspec.Struct, frozen=True):
    """A run that was started, or was found started by the same request."""

    run_id: UUID
    number: int
    workflow: str
    position: int
    url: str


class Unstarted(msgspec.Struct, frozen=True):
    """A workflow that the event does not start."""

    workflow: str
    reason: str


class StartedRuns(msgspec.Struct, frozen=True):
    """The answer to `POST /api/v1/runs`."""

    runs: tuple[StartedRun, ...]
    not_triggered: tuple[Unstarted, ...]


class Cancel(msgspec.Struct, frozen=True):
    """`POST /api/v1/runs/{id}/cancel`. force: without letting steps clean up."""

    force: bool = False
    reason: str = "cancelled by request"


class ChangeWorkflow(msgspec.Struct, frozen=True):
    """`PATCH /api/v1/workflows/{id}`. A disabled workflow answers no event until it is enabled again."""

    enabled: bool


class ChangeSettings(msgspec.Struct, frozen=True):
    """`PATCH /api/v1/repositories/{id}`. retry: as `LEDGERMILL_RETRY` writes it, "": the default. It counts for new runs."""

    retry: str


class Accepted(msgspec.Struct, frozen=True):
    """A command was carried out; position: of its last event."""

    id: UUID
    position: int


class Rerunning(msgspec.Struct, frozen=True):
    """A run attempt was begun, or was found begun by the same request. id: the run."""

    id: UUID
    run_attempt: int
    position: int
    url: str


class Commands:
    """Serves the write routes. public_url: where people reach this server, for links. untrusted_values: see commands.trigger."""

    def __init__(self, handler: Handler, blobs: Blobs, refusals: Refusals, public_url: str, *, untrusted_values: str = "warn") -> None:
        self._handler = handler
        self._blobs = blobs
        self._refusals = refusals
        self._public_url = public_url.rstrip("/")
        self._untrusted_values = untrusted_values

    def routes(self) -> list[Route]:
        """The write routes' part of the table."""
        runner = "/api/v1/runners/{id}"
        return [
            Route(
                method="POST",
                path="/api/v1/runs",
                least="developer",
                summary="Start the runs of an event",
                handle=self.start_runs,
                body=TriggerRequest,
                answers=StartedRuns,
                status=202,
                limit_bytes=TRIGGER_BYTES_MAX,
            ),
            Route(
                method="POST",
                path="/api/v1/runs/{id}/cancel",
                least="developer",
                summary="Ask for the end of a run",
                handle=self.cancel_run,
                body=Cancel,
                answers=Accepted,
                status=202,
            ),
            *(
                Route(method="POST", path=path, least="developer", summary=summary, handle=handle, answers=Rerunning, status=202)
                for path, summary, handle in (
                    ("/api/v1/runs/{id}/rerun", "Run all jobs again", self.rerun_all),
                    ("/api/v1/runs/{id}/rerun-failed", "Run the jobs that failed, and what depends on them, again", self.rerun_failed),
                    ("/api/v1/jobs/{id}/rerun", "Run one job, and what depends on it, again", self.rerun_job),
                )
            ),
            Route(
                method="PATCH",
                path="/api/v1/workflows/{id}",
                least="maintainer",
                summary="Enable or disable a workflow",
                handle=self.change_workflow,
                body=ChangeWorkflow,
                answers=Accepted,
            ),
            Route(
                method="PATCH",
                path="/api/v1/repositories/{id}",
                least="maintainer",
                summary="Change the settings of a repository",
                handle=self.change_repository,
                body=ChangeSettings,
                answers=Accepted,
            ),
            Route(method="POST", path=f"{runner}/drain", least="maintainer", summary="Give it no more jobs; it leaves", handle=self.drain),
            Route(method="POST", path=f"{runner}/pause", least="maintainer", summary="Give it no more jobs", handle=self.pause),
            Route(method="POST", path=f"{runner}/resume", least="maintainer", summary="Give it jobs again", handle=self.resume),
            Route(method="DELETE", path=runner, least="maintainer", summary="Remove a runner for good", handle=self.remove, status=204),
        ]

    async def start_runs(self, request: Request, body: TriggerRequest) -> Reply:
        """Start the runs of an event, or answer as the first time."""
        key = idempotency_key(request)
        scope = f"{request.identity.tenant}|POST /runs|{body.repository.provider}:{body.repository.full_name}|{key}"
        origin = self._origin(request, scope, key)
        outcome = await trigger(self._handler, self._blobs, body, scope, origin, untrusted_values=self._untrusted_values)
        await self._raise_for(request, body, outcome)
        runs = tuple(
            StartedRun(run.run, run.number, run.workflow, run.position, f"{self._public_url}/api/v1/runs/{run.run}") for run in outcome.runs
        )
        unstarted = tuple(Unstarted(each.workflow, each.reason) for each in outcome.not_triggered)
        headers = [position_header(max((run.position for run in runs), default=0))]
        if outcome.runs and all(run.replayed for run in outcome.runs):
            headers.append((b"idempotency-replayed", b"true"))
        return answer(StartedRuns(runs, unstarted), 202, tuple(headers))

    async def cancel_run(self, request: Request, body: Cancel) -> Reply:
        """Ask for the end of a run."""
        run = request.params[0]
        outcome = await self._handle(request, CancelRun(run, body.reason, force=body.force), run)
        return answer(Accepted(run, outcome.position), 202, (position_header(outcome.position),))

    async def rerun_all(self, request: Request, _body: None) -> Reply:
        """Run all jobs of a run that is over again."""
        return await self._rerun(request, RerunRun(request.params[0], "all"))

    async def rerun_failed(self, request: Request, _body: None) -> Reply:
        """Run what failed again, and all that depends on it."""
        return await self._rerun(request, RerunRun(request.params[0], "failed"))

    async def rerun_job(self, request: Request, _body: None) -> Reply:
        """Run one job again, and all that depends on it."""
        job = request.params[0]
        state = await self._handler.own(request.identity.tenant, job, "job")
        if state is None:
            raise problem(404, "job_not_found", f"there is no job {job}", hint="GET /api/v1/runs/{id}/jobs lists a run's jobs")
        spec = state.life.spec
        return await self._rerun(request, RerunRun(spec.run, "job", spec.key, spec.instance))

    async def _rerun(self, request: Request, command: RerunRun) -> Reply:
        """A repeat is answered as the first time, whatever came of the run since."""
        origin = self._command_origin(request)
        outcome = await self._carried_out(request, command, request.params[0], origin)
        run: Run = outcome.state
        assert origin.command is not None, "a command from outside has an id"  # noqa: S101 - a fact, not a check
        attempt = run.reruns[origin.command]
        position = await self._handler.position_of(run.run, origin.command)
        headers = [position_header(position)]
        if not outcome.events:
            headers.append((b"idempotency-replayed", b"true"))
        url = f"{self._public_url}/api/v1/runs/{run.run}/attempts/{attempt}"
        return answer(Rerunning(run.run, attempt, position, url), 202, tuple(headers))

    async def change_workflow(self, request: Request, body: ChangeWorkflow) -> Reply:
        """Switch a workflow on or off; what already runs goes on."""
        workflow = request.params[0]
        outcome = await self._handle(request, SetWorkflowEnabled(workflow, enabled=body.enabled, versions=if_match(request)), workflow)
        return answer(Accepted(workflow, outcome.position), 200, (position_header(outcome.position),))

    async def change_repository(self, request: Request, body: ChangeSettings) -> Reply:
        """Settings of the runs to come; those that have begun keep what they began with."""
        try:
            retry_policy.parse(body.retry)
        except ValueError as error:
            place = ({"pointer": "/retry", "message": str(error)},)
            hint = 'write it as "max=3 on=lost,failed backoff=5s cap=1m within=1h"; every part may be left out'
            raise problem(422, "bad_retry_policy", f"the retry policy cannot be read: {error}", hint=hint, errors=place) from error
        repository = request.params[0]
        outcome = await self._handle(request, ChangeRepository(repository, body.retry, if_match(request)), repository)
        return answer(Accepted(repository, outcome.position), 200, (position_header(outcome.position),))

    async def drain(self, request: Request, _body: None) -> Reply:
        """It finishes what it has, then leaves."""
        return await self._note(request, "drain")

    async def pause(self, request: Request, _body: None) -> Reply:
        """It gets no new jobs until resumed."""
        return await self._note(request, "pause")

    async def resume(self, request: Request, _body: None) -> Reply:
        """It gets jobs again."""
        return await self._note(request, "resume")

    async def remove(self, request: Request, _body: None) -> Reply:
        """It is gone for good."""
        runner = request.params[0]
        outcome = await self._handle(request, NoteRunner(runner, "retire", "removed by request"), runner)
        return Reply(204, headers=(position_header(outcome.position),))

    async def _note(self, request: Request, change: Any) -> Reply:
        runner = request.params[0]
        outcome = await self._handle(request, NoteRunner(runner, change, "by request"), runner)
        return answer(Accepted(runner, outcome.position), 200, (position_header(outcome.position),))

    async def _handle(self, request: Request, command: Any, target: UUID) -> Outcome:
        return await self._carried_out(request, command, target, self._command_origin(request))

    async def _carried_out(self, request: Request, command: Any, target: UUID, origin: Origin) -> Outcome:
        outcome = await self._handler.handle(command, origin)
        if outcome.refusal is not None and outcome.refusal.code == "version_mismatch":
            raise problem(412, outcome.refusal.code, outcome.refusal.message, hint=outcome.refusal.help or "")
        if outcome.refusal is not None:
            raise await self._refused(request, type(command).__name__, str(target), outcome.refusal)
        return outcome

    async def _raise_for(self, request: Request, body: TriggerRequest, outcome: TriggerOutcome) -> None:
        broken = errors(outcome.diagnostics)
        if broken:
            raise problem(
                422,
                "workflow_invalid",
                f"{len(broken)} error(s) in the workflow files of {body.repository.full_name}; nothing was started",
                hint="ledgermill lint shows them with their lines",
                errors=tuple(as_json(each) for each in broken),
            )
        if outcome.refusal is not None:
            error = await self._refused(request, "TriggerRun", body.repository.full_name, outcome.refusal)
            if outcome.refusal.code == "idempotency_key_reused":
                raise problem(422, outcome.refusal.code, outcome.refusal.message, hint=outcome.refusal.help or "")
            raise error

    async def _refused(self, request: Request, command: str, target: str, refusal: Refusal) -> Exception:
        await self._refusals.record(self._origin(request, "refusal", request.request_id), command, target, refusal)
        return refused(refusal)

    def _command_origin(self, request: Request) -> Origin:
        scope = f"{request.identity.tenant}|{request.scope['method']} {request.scope['path']}"
        return self._origin(request, scope, idempotency_key(request))

    def _origin(self, request: Request, scope: str, key: str) -> Origin:
        return Origin(request.identity.tenant, request.identity.actor, request.identity.token, ids.command_id(scope, key))


def idempotency_key(request: Request) -> str:
    """The Idempotency-Key, or one drawn now."""
    given = request.headers.get(b"idempotency-key", b"").decode("latin-1")
    if not given:
        return secrets.token_hex(16)
    if len(given) > KEY_LENGTH_MAX or not given.isprintable():
        raise problem(
            422, "bad_idempotency_key", "the Idempotency-Key is too long or not printable", hint=f"at most {KEY_LENGTH_MAX} characters"
        )
    return given


def if_match(request: Request) -> tuple[int, ...] | None:
    """The versions that If-Match names, by our ETags; None where any is welcome. What is no ETag of ours matches nothing."""
    given = request.headers.get(b"if-match", b"*").decode("latin-1").strip()
    if given == "*":
        return None
    tags = [tag.strip() for tag in given.split(",")]
    return tuple(int(tag[1:-1]) for tag in tags if re.fullmatch(r'"[0-9]{1,18}"', tag))


def position_header(position: int) -> tuple[bytes, bytes]:
    """`X-Event-Position`, which a query gives back as `at_least`."""
    return b"x-event-position", str(position).encode()
