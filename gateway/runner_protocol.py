"""The runner protocol `/runner/v1`: each message becomes one domain command; what it means is decided there.

Every write of an attempt carries its fence. A stale one is answered 409 `lease_lost`, changes nothing, and the job
itself records it. A repeat gets the answer of the first time.
"""

import re
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import asdict

from commands.catalogue import target
from commands.handle import Handler, Origin, Outcome
from domain import ids
from domain.histogram import Histogram
from domain.job import commands as c
from domain.job.state import Acquired, JobState, Running
from domain.ports import Clock
from domain.refusals import Refusal
from domain.registration import UseRegistration
from domain.run.commands import RegisterRunner
from domain.runner_pool import Runner
from domain.versions import too_old
from gateway.acquire import POLL_SECONDS_MAX, Acquiring
from gateway.http import Handle, Reply, Request, Route, answer
from gateway.ports import Logs
from gateway.presence import Presence
from gateway.problems import problem, refused
from gateway.refusals import Refusals
from runner import wire
from runner.effects import result_digest

BODY_BYTES_MAX = 256 * 1024
LOGS_BYTES_MAX = 8 * 1024 * 1024
STEPS_BYTES_MAX = 4 * 1024 * 1024

_RECORDS = msgspec.json.Encoder()

Fenced = TypeVar("Fenced", bound=c.FencedCommand)


class Terms(msgspec.Struct, frozen=True):
    """What a runner is told when it registers, in seconds."""

    lease_seconds: float
    heartbeat_seconds: float
    offline_seconds: float


class RunnerProtocol:
    """Serves all runners of this gateway."""

    def __init__(
        self,
        handler: Handler,
        clock: Clock,
        logs: Logs,
        acquiring: Acquiring,
        presence: Presence,
        *,
        refusals: Refusals,
        terms: Terms,
        version: str,
        log_latency: Histogram,
    ) -> None:
        """log_latency: takes how old the first line of each batch is when readers can have it."""
        self._handler = handler
        self._clock = clock
        self._logs = logs
        self._acquiring = acquiring
        self._presence = presence
        self._refusals = refusals
        self._terms = terms
        self._version = version
        self._log_latency = log_latency

    def routes(self) -> list[Route]:
        """The protocol's part of the table."""
        served: list[tuple[str, str, Any, Any, Any, int]] = [
            ("join", "Join by a registration token, with a key of one's own", self.join, wire.Join, wire.Joined, BODY_BYTES_MAX),
            ("register", "Make a runner known", self.register, wire.Register, wire.Registered, BODY_BYTES_MAX),
            ("acquire", "Wait for jobs and orders (long poll)", self._acquiring.poll, wire.Acquire, wire.Acquired, BODY_BYTES_MAX),
            ("jobs/{id}/start", "Begin an attempt", self.start, wire.Start, wire.Renewed, BODY_BYTES_MAX),
            ("jobs/{id}/renew", "Renew a lease", self.renew, wire.Renew, wire.Renewed, BODY_BYTES_MAX),
            ("jobs/{id}/events", "Report step transitions", self.steps, wire.Steps, wire.Accepted, STEPS_BYTES_MAX),
            ("jobs/events", "Report step transitions of several jobs", self.many_steps, wire.ManySteps, wire.ManyAccepted, STEPS_BYTES_MAX),
            ("jobs/{id}/logs", "Send log lines", self.lines, wire.Logs, wire.LogsAccepted, LOGS_BYTES_MAX),
            ("jobs/{id}/complete", "Report how an attempt ended", self.complete, wire.Complete, wire.Completed, STEPS_BYTES_MAX),
        ]
        return [
            Route(
                method="POST",
                path=f"/runner/v1/{path}",
                least="registration" if path == "join" else "runner",
                summary=summary,
                handle=handle if path in ("join", "register") else self._spoken_for(handle),
                body=body,
                answers=answers,
                limit_bytes=limit,
            )
            for path, summary, handle, body, answers, limit in served
        ]

    async def join(self, request: Request, body: wire.Join) -> Reply:
        """A runner with a key of its own becomes known, by a registration token that is good for one."""
        if not re.fullmatch(r"[0-9a-f]{64}", body.key):
            raise problem(
                422, "bad_key", "the key is not an Ed25519 public key in 64 hexadecimal digits", hint="ledgermill runner register"
            )
        tenant = request.identity.tenant
        runner = ids.runner_id(tenant, f"key:{body.key}")
        facts = RegisterRunner(
            runner, body.name, body.labels, 1, body.os, body.arch, body.version, body.ephemeral, group=body.group, key=body.key
        )
        await self._check_version(request, runner, body.version)
        await self._handle(UseRegistration(UUID(request.identity.token), facts), request, runner)
        known: Runner = await self._handler.own(tenant, runner, "runner")
        told = known.facts
        return answer(
            wire.Joined(
                runner=runner, name=told.name, labels=told.labels, group=told.group, ephemeral=told.ephemeral, now=self._clock.now()
            )
        )

    async def register(self, request: Request, body: wire.Register) -> Reply:
        """Make a runner known; a repeat gives the same runner. One with a key keeps the labels and the group that it was granted."""
        runner = request.identity.runner or ids.runner_id(request.identity.tenant, body.registration)
        await self._check_version(request, runner, body.version)
        facts = asdict(body)
        del facts["registration"]
        known: Runner | None = await self._handler.own(request.identity.tenant, runner, "runner")
        if request.identity.runner is not None and known is not None:
            granted = known.facts
            facts |= {"labels": granted.labels, "group": granted.group, "key": granted.key, "ephemeral": granted.ephemeral, "pid": None}
        await self._handle(RegisterRunner(runner, **facts), request, runner)
        return answer(
            wire.Registered(
                runner=runner,
                lease_seconds=self._terms.lease_seconds,
                heartbeat_seconds=self._terms.heartbeat_seconds,
                poll_seconds=POLL_SECONDS_MAX,
                offline_seconds=self._terms.offline_seconds,
                now=self._clock.now(),
            )
        )

    def _spoken_for(self, handle: Handle) -> Handle:
        """The handler, for messages of runners that this credential may speak for."""

        async def guarded(request: Request, body: Any) -> Reply | None:
            for runner in {report.runner for report in body.reports} if isinstance(body, wire.ManySteps) else (body.runner,):
                if runner != request.identity.runner:
                    await self._check_speaker(request, runner)
            return await handle(request, body)

        return guarded

    async def _check_speaker(self, request: Request, runner: UUID) -> None:
        """A credential that is bound to a runner speaks for that one; one that is not, for those without a key of their own."""
        known: Runner | None = await self._handler.own(request.identity.tenant, runner, "runner")
        if request.identity.runner is None and (known is None or not known.facts.key):
            return
        message = f"this credential is not that of runner {runner}"
        refusal = Refusal("not_this_runner", message, state="foreign", help="each runner has a registration of its own")
        await self._refusals.record(self._origin(request, request.identity.runner or runner), "SpeakFor", str(runner), refusal)
        raise problem(403, refusal.code, refusal.message, hint=refusal.help or "")

    async def _check_version(self, request: Request, runner: UUID, version: str) -> None:
        message = too_old(self._version, version)
        if message:
            refusal = Refusal("runner_too_old", message, state="old", help="install the server's version on the runner's machine")
            await self._refusals.record(self._origin(request, runner), "RegisterRunner", str(runner), refusal)
            raise refused(refusal)

    async def start(self, request: Request, body: wire.Start) -> Reply:
        """The first step is next."""
        outcome = await self._handle(fenced(c.StartJob, request, body), request, body.runner)
        return await self._renewed(request.params[0], body, outcome.state)

    async def renew(self, request: Request, body: wire.Renew) -> Reply:
        """A heartbeat; the answer brings pending orders."""
        self._presence.seen(body.runner)
        command = fenced(c.RecordHeartbeat, request, body, lease_seconds=self._terms.lease_seconds)
        outcome = await self._handle(command, request, body.runner)
        return await self._renewed(request.params[0], body, outcome.state)

    async def steps(self, request: Request, body: wire.Steps) -> Reply:
        """Step transitions in order; known ones are dropped."""
        await self._handle(reported(request.params[0], body), request, body.runner)
        return answer(wire.Accepted(through=through(body), now=self._clock.now()))

    async def many_steps(self, request: Request, body: wire.ManySteps) -> Reply:
        """The same for several jobs in one commit; each has an answer of its own."""
        orders = [(reported(report.job, report), self._origin(request, report.runner)) for report in body.reports]
        outcomes = await self._handler.handle_each(orders) if orders else []
        for (command, origin), outcome in zip(orders, outcomes, strict=True):
            await self._record(command, origin, outcome.refusal)
        answers = [
            wire.JobAccepted(through=through(report)) if outcome.refusal is None else wire.JobAccepted(problem=_told(outcome.refusal))
            for report, outcome in zip(body.reports, outcomes, strict=True)
        ]
        return answer(wire.ManyAccepted(answers=tuple(answers), now=self._clock.now()))

    async def lines(self, request: Request, body: wire.Logs) -> Reply:
        """Log lines: data beside the log of events, so no command unless the lease is stale."""
        fence = fenced(c.StoreLogSegments, request, body, segments=())
        origin = self._origin(request, body.runner)
        if not await self._is_live(request.identity.tenant, fence):
            await self._handle(fence, request, body.runner)  # refused there, with its evidence
        if any(later.line != earlier.line + 1 for earlier, later in zip(body.lines, body.lines[1:], strict=False)):
            raise problem(422, "log_gap", "the lines of one batch are not numbered in a row", hint="send lines in order, without a gap")
        first = body.lines[0].line if body.lines else 1
        records = _RECORDS.encode_lines(body.lines)
        received, stored = await self._logs.accept(fence, origin, first, len(body.lines), records)
        if body.lines and received == body.lines[-1].line:  # not those that were sent again, nor those after a gap
            self._log_latency.observe((self._clock.now() - body.lines[0].at).total_seconds())
        return answer(wire.LogsAccepted(received_through=received, stored_through=stored))

    async def complete(self, request: Request, body: wire.Complete) -> Reply:
        """How the attempt ended; answered after its log is stored and its event is committed."""
        fence = fenced(c.StoreLogSegments, request, body, segments=())
        live = await self._is_live(request.identity.tenant, fence)
        honest = body.result == result_digest(body)
        if live and not honest:
            refusal = Refusal("wrong_digest", "the report's digest is not that of its facts", state="reported")
            await self._refusals.record(self._origin(request, body.runner), "ReportAttempt", str(request.params[0]), refusal)
            raise problem(422, refusal.code, refusal.message, hint="see runner.effects.result_digest")
        if not live:
            # A late one is stale, and with a wrong digest never the repeat of what was accepted.
            await self._end(request, body, (), body.result if honest else "")
            return answer(wire.Completed(conclusion=body.conclusion))
        async with self._logs.seal(fence, self._origin(request, body.runner), body.last_line) as (received, segments):
            if received < body.last_line:
                raise _logs_missing(body.last_line, received)
            if not await self._end(request, body, segments, body.result):
                self._logs.close(request.params[0], body.attempt)
                raise _logs_missing(body.last_line, body.last_line - sum(segment.lines for segment in segments))
            self._logs.close(request.params[0], body.attempt)
        return answer(wire.Completed(conclusion=body.conclusion))

    async def _end(self, request: Request, body: wire.Complete, segments: tuple[c.Segment, ...], result: str) -> bool:
        """Whether the log goes on with these segments; not where another gateway has stored some of the attempt's meanwhile."""
        command = fenced(
            c.ReportAttempt,
            request,
            body,
            conclusion=body.conclusion,
            reason=body.reason,
            result=result,
            outputs=body.outputs,
            failed_step=body.failed_step,
            message=body.message,
            segments=segments,
        )
        origin = self._origin(request, body.runner)
        outcome = await self._handler.handle(command, origin)
        if outcome.refusal is not None and outcome.refusal.code == "sequence_gap":
            return False
        await self._refuse(command, origin, outcome)
        return True

    async def _handle(self, command: Any, request: Request, runner: UUID) -> Outcome:
        origin = self._origin(request, runner)
        outcome = await self._handler.handle(command, origin)
        await self._refuse(command, origin, outcome)
        return outcome

    async def _refuse(self, command: Any, origin: Origin, outcome: Outcome) -> None:
        """Raise what a refusal is to the runner."""
        await self._record(command, origin, outcome.refusal)
        if outcome.refusal is not None:
            raise refused(outcome.refusal)

    async def _record(self, command: Any, origin: Origin, refusal: Refusal | None) -> None:
        """Keep a refusal for the audit; what leaves evidence in the job's own stream is recorded there."""
        if refusal is not None and not refusal.evidence:
            await self._refusals.record(origin, type(command).__name__, str(target(command)[1]), refusal)

    async def _renewed(self, job: UUID, body: wire.Fence, state: JobState | None) -> Reply:
        now = self._clock.now()
        seconds = (state.lease.expires_at - now).total_seconds() if isinstance(state, Acquired | Running) else 0.0
        orders = await self._acquiring.orders(body.runner, (job,))
        return answer(wire.Renewed(expires_in_seconds=seconds, orders=orders, now=now))

    async def _is_live(self, tenant: str, fence: c.FencedCommand) -> bool:
        state: JobState | None = await self._handler.own(tenant, fence.job, "job")
        if not isinstance(state, Acquired | Running):
            return False
        lease = state.lease
        return (lease.runner, lease.attempt, lease.epoch, lease.lease) == (fence.runner, fence.attempt, fence.epoch, fence.lease)

    def _origin(self, request: Request, runner: UUID) -> Origin:
        return Origin(request.identity.tenant, f"runner:{runner}", request.identity.token, _command(request.request_id))


def _logs_missing(announced: int, received: int) -> Exception:
    """The runner has lines that this gateway has not."""
    message = f"the log has {announced} lines, the gateway has {received} of them"
    return problem(409, "logs_missing", message, hint=f"send the lines from {received + 1} on, then complete again")


@lru_cache(256)  # one request may bring the reports of many jobs
def _command(request_id: str) -> UUID:
    return ids.command_id("request", request_id)


def fenced(kind: type[Fenced], request: Request, body: wire.Fence, **facts: Any) -> Fenced:
    """The command of this kind for the job in the path, with the message's fence."""
    return kind(request.params[0], runner=body.runner, attempt=body.attempt, epoch=body.epoch, lease=body.lease, **facts)


def reported(job: UUID, body: wire.Steps) -> c.ReportSteps:
    """The command of a report."""
    return c.ReportSteps(
        job,
        runner=body.runner,
        attempt=body.attempt,
        epoch=body.epoch,
        lease=body.lease,
        seq=body.seq,
        transitions=tuple(transition(step) for step in body.transitions),
    )


def through(body: wire.Steps) -> int:
    """The number of a report's last transition."""
    return body.seq + len(body.transitions) - 1


def _told(refusal: Refusal) -> wire.Problem:
    """A refusal as a problem within an answer."""
    shown = refused(refusal).problem
    return wire.Problem(code=shown.code, title=shown.title, status=shown.status, detail=shown.detail, hint=shown.hint)


def transition(step: wire.StepStart | wire.StepEnd) -> c.StepTransition:
    """A step's message in the domain's words."""
    if isinstance(step, wire.StepStart):
        return c.StepTransition(step.index, step.started_at)
    return c.StepTransition(
        index=step.index,
        started_at=step.started_at,
        outcome=step.outcome,
        conclusion=step.conclusion,
        exit_code=step.exit_code,
        effect=step.effect,
        ended_at=step.ended_at,
        outputs=step.outputs,
        message=step.message,
        subjects=step.subjects,
    )
