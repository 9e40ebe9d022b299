"""Access tokens: made, used, revoked. Of the token itself only a digest is known; its text is shown once and never kept.

That a token was used is written down once an hour, so that one sees which are idle and reading costs no writes.
"""

from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.access import Role
from domain.refusals import REPEAT, Decision, Refusal, mismatch

NAME_LENGTH_MAX = 100
LIFETIME_SECONDS_MAX = 10 * 366 * 86_400


class TokenCreated(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A token for a role. digest: SHA-256 of its text, hexadecimal. expires_at: None where it lives until it is revoked."""

    name: str
    role: str
    digest: str
    expires_at: datetime | None = None


class TokenRevoked(msgspec.Struct, frozen=True, gc=False):
    """It opens nothing any more."""

    reason: str


class TokenUsed(msgspec.Struct, frozen=True, gc=False):
    """It was used, for the first time in this hour."""


TokenEvent = TokenCreated | TokenRevoked | TokenUsed


class CreateToken(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Make a token known. lifetime_seconds: from now; None: until it is revoked."""

    token: UUID
    name: str
    role: Role
    digest: str
    lifetime_seconds: int | None = None


class RevokeToken(msgspec.Struct, frozen=True, gc=False):
    """It must open nothing any more. versions: only where its stream is at one of these; None: wherever it is."""

    token: UUID
    reason: str = ""
    versions: tuple[int, ...] | None = None


class NoteTokenUse(msgspec.Struct, frozen=True, gc=False):
    """It was used now."""

    token: UUID


TokenCommand = CreateToken | RevokeToken | NoteTokenUse


class Token(msgspec.Struct, frozen=True, gc=False):
    """A token's state. used_at: of the last TokenUsed; version: of the stream."""

    facts: TokenCreated
    tenant: str
    created_at: datetime
    revoked: bool = False
    used_at: datetime | None = None
    version: int = 1

    @property
    def role(self) -> Role:
        """What it may do."""
        return cast("Role", self.facts.role)

    def lives(self, now: datetime) -> bool:
        """Whether it opens anything."""
        return not self.revoked and (self.facts.expires_at is None or now < self.facts.expires_at)

    def noted(self, now: datetime) -> bool:
        """Whether its use in this hour is written down."""
        return self.used_at is not None and hour(self.used_at) == hour(now)


def hour(at: datetime) -> datetime:
    """The hour of an instant."""
    return at.replace(minute=0, second=0, microsecond=0)


def decide(state: Token | None, command: TokenCommand, now: datetime) -> Decision | Refusal:
    """The answer of a token to each command."""
    if isinstance(command, CreateToken):
        return _create(state, command, now)
    if state is None:
        return Refusal("token_not_found", f"there is no token {command.token}", state="absent")
    match command:
        case RevokeToken():
            other = mismatch(f"token {command.token}", state.version, command.versions)
            return REPEAT if state.revoked else other or Decision((TokenRevoked(command.reason),))
        case NoteTokenUse():
            if not state.lives(now):
                return Refusal("token_over", f"token {state.facts.name} is revoked or has expired", state="over")
            return REPEAT if state.noted(now) else Decision((TokenUsed(),))


def _create(state: Token | None, command: CreateToken, now: datetime) -> Decision | Refusal:
    seconds = command.lifetime_seconds
    if not command.name.strip() or len(command.name) > NAME_LENGTH_MAX or not command.name.isprintable():
        message = f"a token needs a name of 1 to {NAME_LENGTH_MAX} printable characters"
        return Refusal("bad_token", message, state="absent", help="name what it is for")
    if seconds is not None and not 0 < seconds <= LIFETIME_SECONDS_MAX:
        message = f"a token cannot live for {seconds} seconds"
        return Refusal("bad_token", message, state="absent", help=f"from 1 to {LIFETIME_SECONDS_MAX} seconds, or without a limit")
    expires_at = None if seconds is None else now + timedelta(seconds=seconds)
    if state is None:
        return Decision((TokenCreated(command.name, command.role, command.digest, expires_at),))
    ends = None if seconds is None else state.created_at + timedelta(seconds=seconds)
    same = (state.facts.name, state.facts.role, state.facts.expires_at) == (command.name, command.role, ends)
    if same:
        return REPEAT
    message = "the Idempotency-Key was used for another token"
    return Refusal("idempotency_key_reused", message, state="present", help="use a new key for a new token")


def evolve(state: Token | None, event: TokenEvent, tenant: str, at: datetime) -> Token:
    """How each event changes a token."""
    if isinstance(event, TokenCreated):
        return Token(event, tenant, at)
    assert state is not None, "a token's stream begins with TokenCreated"  # noqa: S101 - a fact, not a check
    match event:
        case TokenRevoked():
            return replace(state, revoked=True, version=state.version + 1)
        case TokenUsed():
            return replace(state, used_at=at, version=state.version + 1)
