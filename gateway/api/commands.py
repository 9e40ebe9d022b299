"""The write routes of the API: what people ask for, each as one command (or, for a trigger, one a workflow).

Answered once the command is committed, with the position of its last event in `X-Event-Position`. What an Idempotency-Key
starts is named by it, so a repeat finds the first one. Repositories and workflows have routes of their own.
"""

from typing import Any
from uuid import UUID

import msgspec

from commands.elsewhere import Library
from commands.handle import Origin
from commands.trigger import NotTriggered, TriggerRequest, trigger
from domain.ports import Blobs
from domain.run.commands import CancelRun, NoteRunner, RerunRun
from domain.run.events import RunCancellationRequested
from domain.run.state import Run
from gateway.api.orders import REPLAYED, Orders, idempotency_key, if_match, position_header, reused
from gateway.http import Reply, Request, Route, answer
from gateway.problems import problem

TRIGGER_BYTES_MAX = 32 * 1024 * 1024


class StartedRun(msgspec.Struct, frozen=True):
    """A run that was started, or was found started by the same request."""

    run_id: UUID
    number: int
    workflow: str
    position: int
    url: str


class StartedRuns(msgspec.Struct, frozen=True):
    """The answer to `POST /api/v1/runs`."""

    runs: tuple[StartedRun, ...]
    not_triggered: tuple[NotTriggered, ...]


class Cancel(msgspec.Struct, frozen=True):
    """`POST /api/v1/runs/{id}/cancel`. force: without letting steps clean up."""

    force: bool = False
    reason: str = "cancelled by request"


class Why(msgspec.Struct, frozen=True):
    """`POST /api/v1/runners/{id}/drain`, `/pause` and `/resume`. reason: for whoever wonders later."""

    reason: str = ""


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
    """Serves the write routes. public_url: where people reach this server, for links. untrusted_values, library: see commands.trigger."""

    def __init__(
        self, orders: Orders, blobs: Blobs, public_url: str, *, untrusted_values: str = "warn", library: Library | None = None
    ) -> None:
        self._orders = orders
        self._blobs = blobs
        self._public_url = public_url.rstrip("/")
        self._untrusted_values = untrusted_values
        self._library = library

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
                starts_work=True,
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
                Route(
                    method="POST",
                    path=path,
                    least="developer",
                    summary=summary,
                    handle=handle,
                    answers=Rerunning,
                    status=202,
                    starts_work=True,
                )
                for path, summary, handle in (
                    ("/api/v1/runs/{id}/rerun", "Run all jobs again", self.rerun_all),
                    ("/api/v1/runs/{id}/rerun-failed", "Run the jobs that failed, and what depends on them, again", self.rerun_failed),
                    ("/api/v1/jobs/{id}/rerun", "Run one job, and what depends on it, again", self.rerun_job),
                )
            ),
            *(
                Route(
                    method="POST",
                    path=f"{runner}/{verb}",
                    least="maintainer",
                    summary=summary,
                    handle=handle,
                    body=Why,
                    answers=Accepted,
                )
                for verb, summary, handle in (
                    ("drain", "Give it no more jobs; it leaves", self.drain),
                    ("pause", "Give it no more jobs", self.pause),
                    ("resume", "Give it jobs again", self.resume),
                )
            ),
            Route(
                method="DELETE",
                path=runner,
                least="maintainer",
                summary="Remove a runner for good",
                handle=self.remove,
                status=204,
                conditional=True,
            ),
        ]

    async def start_runs(self, request: Request, body: TriggerRequest) -> Reply:
        """Start the runs of an event, or answer as the first time."""
        key = idempotency_key(request)
        scope = f"{request.identity.tenant}|POST /runs|{body.repository.provider}:{body.repository.full_name}|{key}"
        origin = self._orders.origin(request, scope, key)
        outcome = await trigger(
            self._orders.handler, self._blobs, body, scope, origin, untrusted_values=self._untrusted_values, library=self._library
        )
        await self._orders.check_trigger(request, body.repository.full_name, outcome)
        runs = tuple(
            StartedRun(run.run, run.number, run.workflow, run.position, f"{self._public_url}/api/v1/runs/{run.run}") for run in outcome.runs
        )
        headers = [position_header(max((run.position for run in runs), default=0))]
        if outcome.runs and all(run.replayed for run in outcome.runs):
            headers.append(REPLAYED)
        return answer(StartedRuns(runs, outcome.not_triggered), 202, tuple(headers))

    async def cancel_run(self, request: Request, body: Cancel) -> Reply:
        """Ask for the end of a run. A repeat is answered as the first time, though the run may be over since."""
        run, origin = request.params[0], self._orders.command_origin(request)
        if (replayed := await self._cancelled_before(request, run, body, origin)) is not None:
            return replayed
        outcome = await self._orders.carry_out(request, CancelRun(run, body.reason, force=body.force), run, origin)
        position = max((event.position for event in outcome.events if event.stream == run), default=outcome.position)
        return answer(Accepted(run, position), 202, (position_header(position),))

    async def _cancelled_before(self, request: Request, run: UUID, body: Cancel, origin: Origin) -> Reply | None:
        """The answer of the request that came under the same key before; 422 where that had another body."""
        before = await self._orders.led_to(request, run, origin)
        if not before:
            return None
        asked: RunCancellationRequested = before[0].data
        if (asked.reason, asked.force) != (body.reason, body.force):
            raise reused(f"cancelled run {run}")
        position = before[-1].position
        return answer(Accepted(run, position), 202, (position_header(position), REPLAYED))

    async def rerun_all(self, request: Request, _body: None) -> Reply:
        """Run all jobs of a run that is over again."""
        return await self._rerun(request, RerunRun(request.params[0], "all"))

    async def rerun_failed(self, request: Request, _body: None) -> Reply:
        """Run what failed again, and all that depends on it."""
        return await self._rerun(request, RerunRun(request.params[0], "failed"))

    async def rerun_job(self, request: Request, _body: None) -> Reply:
        """Run one job again, and all that depends on it."""
        job = request.params[0]
        state = await self._orders.handler.own(request.identity.tenant, job, "job")
        if state is None:
            raise problem(404, "job_not_found", f"there is no job {job}", hint="GET /api/v1/runs/{id}/jobs lists a run's jobs")
        spec = state.life.spec
        return await self._rerun(request, RerunRun(spec.run, "job", spec.key, spec.instance))

    async def _rerun(self, request: Request, command: RerunRun) -> Reply:
        """A repeat is answered as the first time, whatever came of the run since."""
        origin = self._orders.command_origin(request)
        outcome = await self._orders.carry_out(request, command, request.params[0], origin)
        run: Run = outcome.state
        attempt = run.reruns[origin.given]
        position = (await self._orders.handler.led_to(run.run, origin.given))[0].position
        headers = [position_header(position)]
        if not outcome.events:
            headers.append(REPLAYED)
        url = f"{self._public_url}/api/v1/runs/{run.run}/attempts/{attempt}"
        return answer(Rerunning(run.run, attempt, position, url), 202, tuple(headers))

    async def drain(self, request: Request, body: Why) -> Reply:
        """It finishes what it has, then leaves."""
        return await self._note(request, "drain", body.reason)

    async def pause(self, request: Request, body: Why) -> Reply:
        """It gets no new jobs until resumed."""
        return await self._note(request, "pause", body.reason)

    async def resume(self, request: Request, body: Why) -> Reply:
        """It gets jobs again."""
        return await self._note(request, "resume", body.reason)

    async def remove(self, request: Request, _body: None) -> Reply:
        """It is gone for good."""
        runner = request.params[0]
        outcome = await self._orders.carry_out(request, NoteRunner(runner, "retire", "removed by request", if_match(request)), runner)
        return Reply(204, headers=(position_header(outcome.position),))

    async def _note(self, request: Request, change: Any, reason: str) -> Reply:
        """A repeat is answered as the first time, and changes nothing, whatever became of the runner since."""
        runner, origin = request.params[0], self._orders.command_origin(request)
        before = await self._orders.led_to(request, runner, origin)
        if before:
            if before[0].data.reason != reason:
                raise reused(f"named a {change} of runner {runner}")
            position = before[-1].position
            return answer(Accepted(runner, position), 200, (position_header(position), REPLAYED))
        outcome = await self._orders.carry_out(request, NoteRunner(runner, change, reason), runner, origin)
        return answer(Accepted(runner, outcome.position), 200, (position_header(outcome.position),))
