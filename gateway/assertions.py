"""Runners that say who they are: JWTs that each signs with its own key, whose public half its registration brought (RFC 7523).

One is checked once and then remembered until it ends, so a runner's thousand requests cost one signature. There is one
header and one algorithm: whatever begins otherwise is no assertion.
"""

import base64
import binascii
from collections.abc import Callable

import msgspec

from commands.handle import Handler
from domain.ports import Clock
from domain.runner_pool import Runner
from gateway.auth import Identity
from gateway.problems import problem
from runner.assertions import AUDIENCE, PREFIX, Claims

REMEMBERED_MAX = 10_000
LIFETIME_SECONDS_MAX = 900
SKEW_SECONDS = 60
ASSERTION_BYTES_MAX = 1024

IsSigned = Callable[[str, bytes, bytes], bool]
"""(public key, signature, content); see infra.signatures."""


class Assertions:
    """The assertions that this gateway has checked."""

    def __init__(self, handler: Handler, clock: Clock, is_signed: IsSigned) -> None:
        self._handler = handler
        self._clock = clock
        self._is_signed = is_signed
        self._checked: dict[str, Claims] = {}

    async def identify(self, text: str) -> Identity | None:
        """The runner that has signed this; None where none has. 401 with the reason where only its time is wrong."""
        claims = self._checked.get(text)
        fresh = claims is None
        if claims is None:
            claims = read(text)
        if claims is None:
            return None
        state: Runner | None = await self._handler.state(claims.iss, "runner")
        if not isinstance(state, Runner) or not state.facts.key:
            return None
        if fresh:
            signed, _, signature = text.rpartition(".")
            if not self._is_signed(state.facts.key, decoded(signature) or b"", signed.encode()):
                return None
        now = self._clock.now().timestamp()
        if not (claims.iat - SKEW_SECONDS <= now < claims.exp) or claims.exp - claims.iat > LIFETIME_SECONDS_MAX:
            message = f"the runner's clock is {claims.iat - now:+.0f} s from the server's, or its assertion is too old"
            raise problem(401, "wrong_time", message, hint="set the clock of the runner's machine, e.g. with NTP")
        if fresh:
            self._remember(text, claims, now)
        return Identity(
            tenant=state.tenant, role="runner", actor=f"runner:{claims.iss}", token=f"key:{state.facts.key[:12]}", runner=claims.iss
        )

    def _remember(self, text: str, claims: Claims, now: float) -> None:
        if len(self._checked) >= REMEMBERED_MAX:
            self._checked = {known: each for known, each in self._checked.items() if each.exp > now}
        if len(self._checked) < REMEMBERED_MAX:
            self._checked[text] = claims


def read(text: str) -> Claims | None:
    """The claims of an assertion, unchecked; None where it is none."""
    if not text.startswith(PREFIX) or len(text) > ASSERTION_BYTES_MAX or text.count(".") != 2:
        return None
    content = decoded(text.split(".")[1])
    try:
        claims = msgspec.json.decode(content or b"", type=Claims)
    except (msgspec.DecodeError, ValueError):
        return None
    return claims if claims.aud == AUDIENCE else None


def decoded(text: str) -> bytes | None:
    """base64url without padding."""
    try:
        return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
