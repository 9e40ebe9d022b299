"""Invariant 7: no event contains a secret value or a person in clear.

What looks like a credential of a well-known kind is found by its form. Values that somebody knows to be secret (canaries of
a test, the registered ones) are looked for as they are and as they are usually encoded. An actor is an opaque id.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin
from urllib.parse import quote
from uuid import UUID

import msgspec

from domain.envelope import Recorded, Unreadable
from domain.invariants.job import Finding

FORMS: tuple[tuple[bytes, re.Pattern[bytes]], ...] = tuple(
    {
        b"ghp_": re.compile(rb"ghp_[A-Za-z0-9]{36}"),
        b"gho_": re.compile(rb"gho_[A-Za-z0-9]{36}"),
        b"ghs_": re.compile(rb"ghs_[A-Za-z0-9]{36}"),
        b"github_pat_": re.compile(rb"github_pat_[A-Za-z0-9_]{22}"),
        b"glpat-": re.compile(rb"glpat-[A-Za-z0-9_-]{20}"),
        b"AKIA": re.compile(rb"\bAKIA[A-Z0-9]{16}\b"),
        b"xoxb-": re.compile(rb"xoxb-[0-9A-Za-z-]{20}"),
        b"PRIVATE KEY-": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
        b"://": re.compile(rb"[a-z]://[^/\s:@\"]+:[^/\s:@\"]{3,}@"),
    }.items()
)
"""What is quick to look for, and the form that it must have then."""

_ENCODER = msgspec.json.Encoder()
_PERSON = re.compile(r"[@\s]")


class SecretScan:
    """Looks at every event. secrets: values that must not appear in any."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._needles = [needle for secret in secrets for needle in encodings(secret)]
        self._actors: set[str] = set()

    def see(self, event: Recorded) -> list[Finding]:
        """The findings about one event and its envelope."""
        found: list[Finding] = []
        actor = event.meta.actor
        if actor not in self._actors:
            if _PERSON.search(actor) is not None:
                found.append((7, "the actor is a name or an address, not an opaque id"))
            else:
                self._actors.add(actor)
        data = event.data
        kind: type = type(data)
        if not _holds_text(kind):
            return found
        content = data.content if kind is Unreadable else _ENCODER.encode(data)
        for start, form in FORMS:
            if start in content and form.search(content):
                found.append((7, f"{event.type} holds what looks like a credential ({start.decode()}...)"))
        for needle in self._needles:
            if needle in content:
                found.append((7, f"{event.type} holds a secret value"))
                break
        return found


def encodings(secret: str) -> set[bytes]:
    """The value as it may stand in JSON: in clear, escaped, in base64 at each of three places, hexadecimal, in a URL."""
    raw = secret.encode()
    found = {raw, _ENCODER.encode(secret)[1:-1], raw.hex().encode(), raw.hex().upper().encode(), quote(secret, safe="").encode()}
    for shift in range(3):
        encoded = b64encode(b"\0" * shift + raw)
        # without the characters that the bytes before and after have a share in
        found.add(encoded[(shift * 8 + 5) // 6 : len(encoded) - 4 if (shift + len(raw)) % 3 else None])
    return {each for each in found if len(each) >= 4}


@cache
def _holds_text(kind: type) -> bool:
    """Whether an event of this type has a field that may hold free text; a heartbeat, for one, has none."""
    return any(not _bare(field.type) for field in msgspec.structs.fields(kind))


def _bare(kind: Any) -> bool:
    return kind in (int, float, bool, UUID, datetime, type(None)) or (
        get_origin(kind) in (Union, UnionType, tuple) and all(map(_bare, get_args(kind)))
    )
