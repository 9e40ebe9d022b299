"""Finds the identity behind a bearer token: the data directory's, made by command, of registrations, runners' keys, running jobs.

A token names its stream, so the log itself says whether it lives; the command side keeps that state in memory and hears of a
revocation, by whichever gateway, with the feed. That a token is used is noted once an hour, beside the request.

Who is not known is counted; where it is known whose token was used too late, the audit is told, once a minute. So whoever
guesses fills nothing. It must never write a token's text anywhere.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from commands.handle import Handler, Origin
from domain import ids
from domain.histogram import Labels
from domain.job.state import Acquired, JobState, Running
from domain.ports import Clock, StoreUnavailable
from domain.refusals import Refusal
from domain.registration import Registration
from domain.token import NoteTokenUse, Token, hour
from gateway import secrets
from gateway.assertions import Assertions
from gateway.auth import Identity, Tokens
from gateway.job_tokens import PREFIX as JOB
from gateway.job_tokens import JobTokens
from gateway.refusals import Refusals
from runner.assertions import PREFIX

log = logging.getLogger(__name__)

Failure = Literal["missing", "unknown", "revoked", "expired", "signature", "time"]
AUTHENTICATION_FAILURES: tuple[Failure, ...] = ("missing", "unknown", "revoked", "expired", "signature", "time")
"""Why a request is answered 401; see the metric."""

LOOKUPS_MAX = 8
"""So many tokens are looked up at a time: whoever guesses must not use up the database."""


class Authentication:
    """Knows everybody who may ask. local: the tokens of the data directory. failures: counts, by (Failure,)."""

    def __init__(
        self,
        local: Tokens,
        handler: Handler,
        clock: Clock,
        assertions: Assertions,
        jobs: JobTokens,
        *,
        refusals: Refusals,
        failures: Counter[Labels],
    ) -> None:
        self._local = local
        self._jobs = jobs
        self._assertions = assertions
        self._handler = handler
        self._clock = clock
        self._refusals = refusals
        self._failures = failures
        self._lookups = asyncio.Semaphore(LOOKUPS_MAX)
        self._noted: dict[UUID, datetime] = {}
        self._notes: set[asyncio.Task[None]] = set()

    async def identify(self, authorization: bytes | None) -> Identity | None:
        """The caller behind an Authorization header's value, or None where it is missing, wrong, revoked or too old."""
        found = await self._known(bearer(authorization))
        if isinstance(found, Identity):
            return found
        self.failed(found)
        return None

    def failed(self, reason: Failure) -> None:
        """Count a request that is answered 401."""
        self._failures[reason,] += 1

    async def _known(self, text: str | None) -> Identity | Failure:
        if text is None:
            return "missing"
        known = self._local.identify(text)
        if known is not None:
            return known
        async with self._lookups:
            if text.startswith(PREFIX):
                return await self._assertions.identify(text) or "unknown"
            if text.startswith(secrets.REGISTRATION):
                return await self._registration(text) or "unknown"
            if text.startswith(JOB):
                return await self._job(text)
            return await self._token(text)

    async def _token(self, text: str) -> Identity | Failure:
        stream = secrets.stream_of(secrets.ACCESS, text)
        token: Token | None = await self._handler.state(stream, "token") if stream is not None else None
        now = self._clock.now()
        if stream is None or not isinstance(token, Token) or not secrets.fits(text, token.facts.digest):
            return "unknown"
        if not token.lives(now):
            self._beside(self._tell(stream, token))
            return "revoked" if token.revoked else "expired"
        self._note(stream, token, now)
        until = token.facts.expires_at
        return Identity(tenant=token.tenant, role=token.role, actor=f"token:{stream}", token=str(stream), until=until)

    async def _registration(self, text: str) -> Identity | None:
        """Who may join as a runner; whether it still may is decided when it does, so that it hears the reason."""
        stream = secrets.stream_of(secrets.REGISTRATION, text)
        state: Registration | None = await self._handler.state(stream, "registration") if stream else None
        if not isinstance(state, Registration) or not secrets.fits(text, state.facts.digest):
            return None
        return Identity(tenant=state.tenant, role="registration", actor=f"registration:{stream}", token=str(stream))

    async def _job(self, text: str) -> Identity | Failure:
        """A job, for as long as it is in the lease that its credential names."""
        named = self._jobs.read(text)
        if named is None:
            return "unknown"
        job, epoch = named
        state: JobState | None = await self._handler.state(job, "job")
        match state:
            case Acquired(life=life, lease=lease) | Running(life=life, lease=lease) if lease.epoch == epoch:
                return Identity(tenant=life.tenant, role="job", actor=f"job:{job}", token=f"job:{job}:{epoch}", job=job)
            case _:
                return "expired"

    async def _tell(self, stream: UUID, token: Token) -> None:
        """Let the audit know that a token was used after its end: somebody may have stolen it."""
        over = "revoked" if token.revoked else "expired"
        command = ids.command_id("authentication", secrets.draw(secrets.ACCESS, stream))
        refusal = Refusal(f"token_{over}", f"the {over} token {token.facts.name} was used", state="over")
        await self._refusals.record(Origin(token.tenant, f"token:{stream}", str(stream), command), "Authenticate", str(stream), refusal)

    def _note(self, stream: UUID, token: Token, now: datetime) -> None:
        """Write down, beside the request, that the token is used; one attempt an hour."""
        if token.noted(now) or self._noted.get(stream) == hour(now):
            return
        self._noted[stream] = hour(now)
        self._beside(self._write(stream, token.tenant))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the request."""
        task = asyncio.create_task(work)
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _write(self, stream: UUID, tenant: str) -> None:
        try:
            await self._handler.handle(NoteTokenUse(stream), Origin(tenant, f"token:{stream}", str(stream)))
        except StoreUnavailable as error:
            log.warning("the use of a token was not noted: %s", error)


def bearer(authorization: bytes | None) -> str | None:
    """The token in an Authorization header's value."""
    if authorization is None:
        return None
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
