"""Sending an event to a subscriber: how it is signed, and what follows from an attempt that failed.

Signatures are those of the Standard Webhooks specification, so that subscribers verify them with a library. An event
that its subscriber refuses while it takes others is given up after a while; a subscriber that takes nothing for a day is
disabled, and loses nothing.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with
SECRET_BYTES = range(24, 65)

ATTEMPTS_MAX = 12
"""After so many an event is given up, if its subscriber has taken others since the first: over an hour after it."""
DISABLED_AFTER = timedelta(days=1)
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 2.0, 1800.0
GONE = 410


class Failing(msgspec.Struct, frozen=True):
    """An event that could not be delivered yet. since: the first attempt; answer: the last one's status, None for none."""

    attempts: int
    since: datetime
    answer: int | None


class Retry(msgspec.Struct, frozen=True):
    """Try again then."""

    at: datetime


class GiveUp(msgspec.Struct, frozen=True):
    """Go on without this event."""


class Disable(msgspec.Struct, frozen=True):
    """Send nothing more to this subscriber, for this reason."""

    reason: str


def after_failure(
    event: UUID, failing: Failing, now: datetime, *, enabled_at: datetime, taken_at: datetime | None
) -> Retry | GiveUp | Disable:
    """What follows. enabled_at: since when things are sent to this subscriber; taken_at: when it took something last."""
    if failing.answer == GONE:
        return Disable("the subscriber answered 410: it is gone")
    since = max(failing.since, enabled_at)
    takes_others = taken_at is not None and taken_at >= since
    if takes_others and failing.attempts >= ATTEMPTS_MAX:
        return GiveUp()
    if not takes_others and now - since >= DISABLED_AFTER:
        return Disable(f"nothing could be delivered since {since.isoformat(timespec='seconds')}")
    return Retry(now + pause(event, failing.attempts))


def pause(event: UUID, attempts: int) -> timedelta:
    """Doubled each time, capped, plus up to a fifth, which comes from the id: many do not come back at once."""
    base = min(BACKOFF_SECONDS * 2 ** min(attempts - 1, 32), BACKOFF_SECONDS_MAX)
    share = hashlib.sha256(event.bytes + attempts.to_bytes(4, "big")).digest()[0] / 256
    return timedelta(seconds=base * (1 + share / 5))


def key(secret: str) -> bytes | None:
    """The bytes behind a secret, `whsec_` and base64; None where it is no such text."""
    try:
        found = base64.b64decode(secret.removeprefix(SECRET_PREFIX).encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return found if secret.startswith(SECRET_PREFIX) and len(found) in SECRET_BYTES else None


def signed(keys: Iterable[bytes], event: UUID, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers by which a subscriber knows who sent this. One signature a key: two count during a rotation."""
    seconds = str(int(at.timestamp()))
    content = f"{event}.{seconds}.".encode() + body
    made = [base64.b64encode(hmac.new(each, content, hashlib.sha256).digest()).decode() for each in keys]
    return {"webhook-id": str(event), "webhook-timestamp": seconds, "webhook-signature": " ".join(f"v1,{each}" for each in made)}
