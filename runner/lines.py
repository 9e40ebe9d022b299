"""Bytes of a pipe into lines of text, whatever a program writes: half lines, no newline, bytes that are no UTF-8.

A line ends with LF, CR LF or CR, as in GitHub's runner. A line without an end is given out in pieces, and never held in
memory beyond a bound; where it is cut is decided by the caller, who knows which texts must stay whole.
"""

from codecs import utf_8_decode
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
        data = self.rest + chunk
        end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1  # a CR at the very end may be half of a CR LF
        self.rest = data[end:]
        lines = self.lines(data[:end])
        bound = LINE_CHARACTERS_MAX + self.slack()
        if len(self.rest) > bound:
            text, used = utf_8_decode(self.rest, "surrogateescape", False)  # the start of a character waits for its end
            while len(text) > bound:
                at = self.cut(text, LINE_CHARACTERS_MAX)
                lines.append(clean(text[:at]))
                text = text[at:]
            self.rest = text.encode("utf-8", "surrogateescape") + self.rest[used:]
        return lines

    def end(self) -> list[str]:
        """What is left when the pipe was closed without a last newline."""
        rest, self.rest = self.rest, b""
        return self.lines(rest if rest.endswith(b"\r") or not rest else rest + b"\n")

    def lines(self, data: bytes) -> list[str]:
        """Whole lines as text, in pieces where they are too long."""
        if not data:
            return []
        text = data.decode("utf-8", "replace")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text[:-1].split("\n")
        if len(max(lines, key=len)) <= LINE_CHARACTERS_MAX:
            return lines
        return [piece for line in lines for piece in self.pieces(line)]

    def pieces(self, text: str) -> list[str]:
        """One line, cut where it is too long."""
        pieces = []
        while len(text) > LINE_CHARACTERS_MAX:
            at = self.cut(text, LINE_CHARACTERS_MAX)
            pieces.append(text[:at])
            text = text[at:]
        return [*pieces, text]


def clean(text: str) -> str:
    """Replace what was no UTF-8 by U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
