"""`Range` of HTTP (RFC 9110, 14): which bytes of a document a client asks for."""

import re

import msgspec

SINGLE = re.compile(rb" *bytes *= *(\d*) *- *(\d*) *", re.IGNORECASE)


class ByteRange(msgspec.Struct, frozen=True):
    """first..last, both included, counted from 0. first None: the last `last` bytes; last None: to the end."""

    first: int | None
    last: int | None

    def within(self, size: int) -> tuple[int, int] | None:
        """(first, last) of a document of so many bytes; None where it has none of what is asked for."""
        if self.first is None:
            found = max(0, size - (self.last or 0)), size - 1
        else:
            found = self.first, size - 1 if self.last is None else min(self.last, size - 1)
        return found if found[0] <= found[1] else None


def asked(headers: dict[bytes, bytes]) -> ByteRange | None:
    """The range that a request asks for; None: the whole. What is not understood, or several ranges, means the whole.

    So does If-Range: nothing here has a validator that it could name.
    """
    match = SINGLE.fullmatch(headers.get(b"range", b""))
    if match is None or match[1] + match[2] == b"" or b"if-range" in headers:
        return None
    first, last = (int(text) if text else None for text in match.groups())
    if first is not None and last is not None and last < first:
        return None
    return ByteRange(first, last)
