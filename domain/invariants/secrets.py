"""Invariant 7: no event contains a secret value or a person in clear.

What looks like a credential of a well-known kind is found by its form. Values that somebody knows to be secret (canaries of
a test, the registered ones) are looked for as they are and as they are usually encoded. An actor is an opaque id.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
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


BATCH_EVENTS = 256
"""So many events are looked at in one go: what is sought is nearly never there, and to look costs most when it is done often."""


class SecretScan:
    """Looks at every event. secrets: values that must not appear in any."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._needles = [needle for secret in secrets for needle in encodings(secret)]
        self._sought = (*(start for start, _ in FORMS), *self._needles)
        self._actors: set[str] = set()
        self._batch: list[Recorded] = []

    def see(self, event: Recorded) -> Iterable[Finding]:
        """The findings about one event's envelope."""
        actor = event.meta.actor
        if actor in self._actors:
            return ()
        if _PERSON.search(actor) is not None:
            return ((7, "the actor is a name or an address, not an opaque id"),)
        self._actors.add(actor)
        return ()

    def read(self, event: Recorded) -> Iterable[tuple[Recorded, Finding]]:
        """The findings about the content of the events so far, some of them later than they come; the rest tells `end`."""
        self._batch.append(event)
        return self.end() if len(self._batch) == BATCH_EVENTS else ()

    def end(self) -> list[tuple[Recorded, Finding]]:
        """What is left to tell."""
        batch, self._batch = self._batch, []
        content = b" ".join([_ENCODER.encode([event.data for event in batch]), *map(_unread, batch)])
        if not any(each in content for each in self._sought):
            return []
        return [(event, finding) for event in batch for finding in self._told(event)]

    def _told(self, event: Recorded) -> Iterator[Finding]:
        content = _unread(event) or _ENCODER.encode(event.data)
        for start, form in FORMS:
            if start in content and form.search(content):
                yield 7, f"{event.type} holds what looks like a credential ({start.decode()}...)"
        if any(needle in content for needle in self._needles):
            yield 7, f"{event.type} holds a secret value"


def _unread(event: Recorded) -> bytes:
    """The bytes of an event that this code cannot read, as they are stored."""
    return event.data.content if isinstance(event.data, Unreadable) else b""


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
def holds_text(kind: type) -> bool:
    """Whether an event of this type has a field that may hold free text; a heartbeat, for one, has none."""
    return any(not _bare(field.type) for field in msgspec.structs.fields(kind))


def _bare(kind: Any) -> bool:
    return kind in (int, float, bool, UUID, datetime, type(None)) or (
        get_origin(kind) in (Union, UnionType, tuple) and all(map(_bare, get_args(kind)))
    )
