"""Bytes of a pipe into lines of text, whatever a program writes: half lines, no newline, bytes that are no UTF-8.

A line ends with LF, CR LF or CR, as in GitHub's runner. A line without an end is given out in pieces, and never held in
memory beyond a bound; where it is cut is decided by the caller, who knows which texts must stay whole.
"""

from collections.abc import Callable

LINE_CHARACTERS_MAX = 32 * 1024


class LineSplitter:
    """Feed it chunks; it gives back whole lines.

    cut(text, limit): where to cut a line that is too long. slack(): how much more than the limit `cut` wants to see.
    """

    def __init__(self, cut: Callable[[str, int], int], slack: Callable[[], int]) -> None:
        self.rest = b""
        self.cut = cut
        self.slack = slack

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that `chunk` completes, in order."""
        *whole, self.rest = (self.rest + chunk).split(b"\n")
        lines: list[str] = []
        for line in whole:
            for part in line.removesuffix(b"\r").split(b"\r"):
                lines.extend(self.bounded(part))
        bound = LINE_CHARACTERS_MAX + self.slack()
        if len(self.rest) > bound:
            text = self.rest.decode("utf-8", "surrogateescape")
            while len(text) > bound:
                at = self.cut(text, LINE_CHARACTERS_MAX)
                lines.append(clean(text[:at]))
                text = text[at:]
            self.rest = text.encode("utf-8", "surrogateescape")
        return lines

    def end(self) -> list[str]:
        """What is left when the pipe was closed without a last newline."""
        rest, self.rest = self.rest, b""
        if not rest:
            return []
        return [piece for part in rest.removesuffix(b"\r").split(b"\r") for piece in self.bounded(part)]

    def bounded(self, line: bytes) -> list[str]:
        """One line as text, in pieces where it is too long."""
        text = line.decode("utf-8", "replace")
        if len(text) <= LINE_CHARACTERS_MAX:
            return [text]
        pieces = []
        while len(text) > LINE_CHARACTERS_MAX:
            at = self.cut(text, LINE_CHARACTERS_MAX)
            pieces.append(text[:at])
            text = text[at:]
        return [*pieces, text]


def clean(text: str) -> str:
    """Replace what was no UTF-8 by U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
