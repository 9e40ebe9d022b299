"""What a log is as text: the `text` of its records, each ended by a newline.

A record is a JSON object `{line, step, at, stream, text}`. Sizes of segments and ranges of bytes both lean on this one
rule, so nothing else may turn records into text.
"""

from collections.abc import Iterable

import msgspec


class Extent(msgspec.Struct, frozen=True):
    """A piece of a log: how many lines from first_line on, and how many bytes they have as records and as text."""

    first_line: int
    lines: int
    bytes: int
    text_bytes: int


class _Worded(msgspec.Struct, gc=False):
    text: str


_decode = msgspec.json.Decoder(_Worded).decode


def texts(records: Iterable[bytes]) -> list[str]:
    """The text of each record."""
    return [_decode(record).text for record in records]


def as_text(records: Iterable[bytes]) -> bytes:
    """The records as text."""
    return "\n".join([*texts(records), ""]).encode()
