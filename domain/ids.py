"""Identity is idempotency: every id is derived from what it names, never drawn.

The same request derives the same stream, and a stream has one version 1; so a request that arrives twice cannot act
twice. This is the only module of the domain that may import uuid. It must never call uuid1, uuid4 or uuid7.
"""

from functools import lru_cache
from hashlib import sha1
from uuid import UUID

import msgspec

NAMESPACE = UUID("8a6e0804-2bd0-4672-b79d-d97027f9071a")
"""The root of all names, fixed for ever: changing it would rename every stream of every store."""

_ROOT = NAMESPACE.bytes


def derive(*parts: object) -> UUID:
    """The id of what `parts` name. Parts are joined by U+001F, which none of them may hold.

    It is uuid5 of the namespace, spelled out: a busy server derives some ten thousand ids a second, and msgspec reads and
    writes ids in half of the time that their own class takes.
    """
    name = "\x1f".join([msgspec.to_builtins(part) if type(part) is UUID else str(part) for part in parts]).encode()
    digest = bytearray(sha1(_ROOT + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50  # version 5
    digest[8] = digest[8] & 0x3F | 0x80  # variant of RFC 9562
    return msgspec.convert(digest, UUID)


def tenant_id(name: str) -> UUID:
    """The stream of a tenant."""
    return derive("tenant", name)


def repository_id(tenant: str, provider: str, full_name: str) -> UUID:
    """The stream of a repository, e.g. ("default", "local", "acme/pay")."""
    return derive("repository", tenant, provider, full_name)


def workflow_id(tenant: str, repository: UUID, path: str) -> UUID:
    """The stream of the workflow file at `path`, e.g. ".github/workflows/ci.yml"."""
    return derive("workflow", tenant, repository, path)


def run_id(tenant: str, trigger_key: str) -> UUID:
    """The stream of the run that one trigger starts. The key: see `trigger_key` of domain.run.TriggerRun."""
    return derive("run", tenant, trigger_key)


def job_id(run: UUID, run_attempt: int, key: str, instance: str) -> UUID:
    """The stream of one job instance. `instance` is the canonical JSON of its matrix values, or "" without a matrix."""
    return derive("job", run, run_attempt, key, instance)


def call_id(run: UUID, run_attempt: int, call: str, of: str) -> UUID:
    """Who holds a concurrency group for a call (its prefix). of: "job" or "workflow", whose `concurrency` that is."""
    return derive("call", run, run_attempt, call, of)


def concurrency_group_id(repository: UUID, name: str) -> UUID:
    """The stream of a concurrency group of a repository; its name counts without regard to case."""
    return derive("concurrency", repository, name.casefold())


def lease_id(job: UUID, epoch: int) -> UUID:
    """The id of the lease that acquisition number `epoch` of a job hands out."""
    return derive("lease", job, epoch)


def runner_id(tenant: str, registration: str) -> UUID:
    """The stream of a runner; `registration` is the registration id that the runner made for itself."""
    return derive("runner", tenant, registration)


def token_id(tenant: str, command: UUID) -> UUID:
    """The stream of an access token: made by this command."""
    return derive("token", tenant, command)


def subscription_id(tenant: str, command: UUID) -> UUID:
    """The stream of a subscription: made by this command."""
    return derive("subscription", tenant, command)


def registration_id(tenant: str, command: UUID) -> UUID:
    """The stream of a registration token for a runner: made by this command."""
    return derive("registration", tenant, command)


def runner_group_id(tenant: str, name: str) -> UUID:
    """The stream of a group of runners."""
    return derive("runner group", tenant, name)


def audit_id(tenant: str, day: str) -> UUID:
    """The stream that holds the refusals of one tenant on one day (ISO date, UTC)."""
    return derive("audit", tenant, day)


@lru_cache(maxsize=10_000)  # each is asked for some three times, within milliseconds: as a cause, by followers, by the bridge
def event_id(stream: UUID, version: int) -> UUID:
    """The id of the event at `version` (from 1) of `stream`."""
    return derive("event", stream, version)


def event_root(stream: UUID) -> bytes:
    """What the names of all events of a stream begin with; see `event_number`."""
    return _ROOT + f"event\x1f{msgspec.to_builtins(stream)}\x1f".encode()


def event_number(root: bytes, version: int) -> int:
    """`event_id` as an integer, without the objects: a checker asks for that of every event of a log. root: `event_root` of its stream."""
    digest = sha1(root + b"%d" % version, usedforsecurity=False).digest()
    return int.from_bytes(digest[:16], "big") & _UNVERSIONED | _VERSION_5


_UNVERSIONED = ~(0xC000 << 48) & ~(0xF000 << 64)
_VERSION_5 = (0x8000 << 48) | (5 << 76)


def command_id(scope: str, key: str) -> UUID:
    """The id of a command from its Idempotency-Key within a scope (tenant, route, target)."""
    return derive("command", scope, key)


def schedule_id(repository: UUID) -> UUID:
    """The stream of a repository's schedule."""
    return derive("schedule", repository)


def delivery_id(tenant: str, provider: str, repository: str, key: str) -> UUID:
    """The stream of a webhook delivery; `key` is the forge's own id of it, `repository` the full name that it is about, or ""."""
    return derive("delivery", tenant, provider, repository, key)


def commit_status_id(repository: UUID, sha: str, context: str) -> UUID:
    """The stream of what a repository's forge is told of a commit under one context."""
    return derive("commit status", repository, sha, context)
