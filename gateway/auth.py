"""Who is asking: bearer tokens of the data directory, and the identities they stand for.

A server keeps two tokens in its data directory, each in a file of mode 0600: `token` (role admin: people and the CLI)
and `runner-token` (role runner: the runner protocol only). Both belong to the first tenant. Only their SHA-256 digests
stay in memory, compared in constant time. The actor that events name is an opaque id, never a person.

It must never write a token to a log, an event or an answer.
"""

import hashlib
import hmac
import os
import secrets
from datetime import datetime
from pathlib import Path
from uuid import UUID

import msgspec

from domain.access import FIRST_TENANT, Least, Role, Standing, may
from gateway.problems import problem

ADMIN_FILE = "token"
RUNNER_FILE = "runner-token"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller. actor: opaque id for the envelope; token: id of the token used (not the token).

    runner: the one that this credential may speak for; job: the one whose own it is. None where it is not bound to one.
    until: when it ends, if it does.
    """

    tenant: str
    role: Standing
    actor: str
    token: str
    runner: UUID | None = None
    job: UUID | None = None
    until: datetime | None = None


def authorise(identity: Identity, least: Least) -> None:
    """Nothing where the identity may use what needs this role; else 403."""
    if not may(identity.role, identity.tenant, least):
        raise problem(
            403, "wrong_role", f"this needs a token of role {least}, the one given has role {identity.role}", hint=ROLE_HINTS[least]
        )


ROLE_HINTS: dict[Least, str] = {
    "viewer": "a runner's token opens the runner protocol only; make another one with ledgermill token create",
    "developer": "ask an admin for a token: ledgermill token create --role developer",
    "maintainer": "ask an admin for a token: ledgermill token create --role maintainer",
    "admin": "use the token in DATA/token, or one that was made with ledgermill token create --role admin",
    "operator": "this is about all tenants: use the token in DATA/token of the server",
    "observer": "this is about all tenants: ask whoever runs the server for a viewer's token of its own tenant",
    "registration": "make a registration token: ledgermill runner token",
    "job": "only a running job's own credential opens this",
    "signed": "send the signature that the route asks for",
    "runner": "use the token in DATA/runner-token, or register the runner: ledgermill runner register",
}


class Tokens:
    """The tokens that this server accepts."""

    def __init__(self, *, admin: str, runner: str) -> None:
        self._known: list[tuple[bytes, Identity]] = []
        given: tuple[tuple[Role, str], ...] = (("admin", admin), ("runner", runner))
        for role, token in given:
            digest = hashlib.sha256(token.encode()).digest()
            name = digest.hex()[:12]
            self._known.append((digest, Identity(tenant=FIRST_TENANT, role=role, actor=f"{role}-{name}", token=name)))

    def identify(self, token: str) -> Identity | None:
        """The caller behind a bearer token, None where it is not known here."""
        digest = hashlib.sha256(token.encode()).digest()
        found = None
        for known, identity in self._known:
            if hmac.compare_digest(known, digest):
                found = identity
        return found


def ensure_tokens(data: Path) -> Tokens:
    """The tokens of a data directory (made at the first start)."""
    return Tokens(admin=ensure_text(data / ADMIN_FILE), runner=ensure_text(data / RUNNER_FILE))


def ensure_text(path: Path) -> str:
    """The secret text in a file of mode 0600, 256 bits of chance; made where it is missing, once among several processes."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    token = secrets.token_urlsafe(32)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(partial, path)  # never replaces a token that another process made in the same moment
    except FileExistsError:
        token = path.read_text().strip()
    partial.unlink()
    return token
