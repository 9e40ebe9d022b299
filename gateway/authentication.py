"""Finds the identity behind a bearer token: the data directory's, made by command, of registrations, runners' keys, running jobs.

A token names its stream, so the log itself says whether it lives; the command side keeps that state in memory and hears of a
revocation, by whichever gateway, with the feed. That a token is used is noted once an hour, beside the request. It must
never write a token's text anywhere.
"""

import asyncio
import logging
from datetime import datetime
from uuid import UUID

from commands.handle import Handler, Origin
from domain.job.state import Acquired, JobState, Running
from domain.ports import Clock, StoreUnavailable
from domain.registration import Registration
from domain.token import NoteTokenUse, Token, hour
from gateway import secrets
from gateway.assertions import Assertions
from gateway.auth import Identity, Tokens
from gateway.job_tokens import PREFIX as JOB
from gateway.job_tokens import JobTokens
from runner.assertions import PREFIX

log = logging.getLogger(__name__)

LOOKUPS_MAX = 8
"""So many tokens are looked up at a time: whoever guesses must not use up the database."""


class Authentication:
    """Knows everybody who may ask. local: the tokens of the data directory."""

    def __init__(self, local: Tokens, handler: Handler, clock: Clock, assertions: Assertions, jobs: JobTokens) -> None:
        self._local = local
        self._jobs = jobs
        self._assertions = assertions
        self._handler = handler
        self._clock = clock
        self._lookups = asyncio.Semaphore(LOOKUPS_MAX)
        self._noted: dict[UUID, datetime] = {}
        self._notes: set[asyncio.Task[None]] = set()

    async def identify(self, authorization: bytes | None) -> Identity | None:
        """The caller behind an Authorization header's value, or None where it is missing, wrong, revoked or too old."""
        text = bearer(authorization)
        if text is None:
            return None
        known = self._local.identify(text)
        if known is not None:
            return known
        async with self._lookups:
            if text.startswith(PREFIX):
                return await self._assertions.identify(text)
            if text.startswith(secrets.REGISTRATION):
                return await self._registration(text)
            if text.startswith(JOB):
                return await self._job(text)
            return await self._token(text)

    async def _token(self, text: str) -> Identity | None:
        stream = secrets.stream_of(secrets.ACCESS, text)
        if stream is None:
            return None
        token: Token | None = await self._handler.state(stream, "token")
        now = self._clock.now()
        if not isinstance(token, Token) or not secrets.fits(text, token.facts.digest) or not token.lives(now):
            return None
        self._note(stream, token, now)
        return Identity(tenant=token.tenant, role=token.role, actor=f"token:{stream}", token=str(stream))

    async def _registration(self, text: str) -> Identity | None:
        """Who may join as a runner; whether it still may is decided when it does, so that it hears the reason."""
        stream = secrets.stream_of(secrets.REGISTRATION, text)
        state: Registration | None = await self._handler.state(stream, "registration") if stream else None
        if not isinstance(state, Registration) or not secrets.fits(text, state.facts.digest):
            return None
        return Identity(tenant=state.tenant, role="registration", actor=f"registration:{stream}", token=str(stream))

    async def _job(self, text: str) -> Identity | None:
        """A job, for as long as it is in the lease that its credential names."""
        named = self._jobs.read(text)
        if named is None:
            return None
        job, epoch = named
        state: JobState | None = await self._handler.state(job, "job")
        match state:
            case Acquired(life=life, lease=lease) | Running(life=life, lease=lease) if lease.epoch == epoch:
                return Identity(tenant=life.tenant, role="job", actor=f"job:{job}", token=f"job:{job}:{epoch}", job=job)
            case _:
                return None

    def _note(self, stream: UUID, token: Token, now: datetime) -> None:
        """Write down, beside the request, that the token is used; one attempt an hour."""
        if token.noted(now) or self._noted.get(stream) == hour(now):
            return
        self._noted[stream] = hour(now)
        task = asyncio.create_task(self._write(stream, token.tenant))
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
