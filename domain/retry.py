"""Retry policy as data, and the backoff that replay computes again to the same instant."""

import hashlib
from datetime import timedelta
from uuid import UUID

import msgspec


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and after what an attempt of a job is tried again.

    attempts_max: counted attempts in all. on: which ends are retried, of "lost", "failed", "timed_out".
    backoff_seconds: the first pause; it doubles up to backoff_seconds_max. within_seconds: no retry later than this
    after the job was first queued, or None.
    """

    attempts_max: int = 3
    on: tuple[str, ...] = ("lost",)
    backoff_seconds: float = 1.0
    backoff_seconds_max: float = 60.0
    within_seconds: float | None = None


NOT_STARTED_MAX = 5
"""Attempts that were acquired but never started do not count against the maximum; this many in a row end the job."""

JITTER_MAX = 0.2


def backoff(policy: RetryPolicy, job: UUID, retry_index: int) -> timedelta:
    """The pause before retry number `retry_index` (from 1): doubled each time, capped, plus up to 20 % jitter.

    The jitter comes from the job's id, not from chance, so that replay gives the same instant.
    """
    base = min(policy.backoff_seconds * 2 ** min(retry_index - 1, 32), policy.backoff_seconds_max)
    digest = hashlib.sha256(job.bytes + retry_index.to_bytes(4, "big")).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return timedelta(seconds=base * (1 + JITTER_MAX * share))
