r"""The patterns of `hashFiles`, as the package @actions/glob reads them, followed through a tree one name at a time.

A pattern is a list of path segments with `*`, `?`, `[...]` and `\`; `**` stands for any folders; `!` takes back what earlier
patterns matched; a pattern that matches a folder matches all below it, and with a `/` at its end it matches folders only.
While the tree is walked, `Progress` holds how far into the pattern the path has come, so that nothing is matched twice and a
folder that cannot matter is never opened. Names that begin with a dot are names like any other.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

_ANY_FOLDERS: Final = "**"
_POSIX: Final = {
    "alnum": r"[^\W_]",
    "alpha": r"[^\W\d_]",
    "ascii": r"[\x00-\x7f]",
    "blank": r"[ \t]",
    "digit": r"\d",
    "lower": r"[a-z\xdf-\xf6\xf8-\xff]",
    "punct": r"[!\"#%&'()*,\-./:;?@\[\\\]_{}]",
    "space": r"\s",
    "upper": r"[A-Z\xc0-\xd6\xd8-\xde]",
    "word": r"\w",
    "xdigit": r"[0-9a-fA-F]",
}
"""Named sets inside brackets. Letters of all scripts count, but lower and upper know only those of Latin-1."""

_CLASS: Final = re.compile(r"\[([!^]?)(\]?(?:\[:[a-z]+:\]|\\.|[^\]\\])*)\]", re.DOTALL)
_CLASS_ITEM: Final = re.compile(r"\[:([a-z]+):\]|(\\.|.)(?:-(\\.|[^\]]))?", re.DOTALL)
_ONE_OF: Final = re.compile(r"\[((?:\\.|[^\]\\])+)\]", re.DOTALL)
_TOKEN: Final = re.compile(r"\*+|\?|\\.|\[|.", re.DOTALL)

Progress = frozenset[int]
"""Positions in a pattern that a path has reached: before segment n; `reached` is its end, one more is below its end."""


class GlobError(ValueError):
    """A pattern that GitHub refuses. The message names it."""


class Glob(msgspec.Struct, frozen=True):
    """A pattern. segments: from the root of the file system; search: the literal ones in front; folders_only: ends in `/`."""

    negative: bool
    segments: tuple[str | re.Pattern[str], ...]
    search: tuple[str, ...]
    folders_only: bool

    def begin(self) -> Progress:
        """The progress at the root of the file system."""
        return self._close({0})

    def step(self, progress: Progress, name: str) -> Progress:
        """The progress one name deeper."""
        end = len(self.segments)
        found = set()
        for position in progress:
            if position >= end:
                found.add(end + 1)
                continue
            segment = self.segments[position]
            if segment == _ANY_FOLDERS:
                found.add(position)
            elif segment == name if isinstance(segment, str) else segment.match(name):
                found.add(position + 1)
        return self._close(found)

    def _close(self, positions: set[int]) -> Progress:
        """`**` may stand for no folder at all."""
        for position in sorted(positions):
            reached = position
            while reached < len(self.segments) and self.segments[reached] == _ANY_FOLDERS:
                reached += 1
                positions.add(reached)
        return frozenset(positions)

    def matches_file(self, progress: Progress) -> bool:
        """Whether a file at this point matches."""
        end = len(self.segments)
        return end + 1 in progress or (end in progress and not self.folders_only)

    def matches_below(self, progress: Progress) -> bool:
        """Whether everything below a folder at this point matches."""
        return max(progress, default=-1) >= len(self.segments)


def read(lines: str, workspace: Sequence[str]) -> list[Glob]:
    """The patterns of a text, one a line; blank lines and those with `#` in front are left out.

    workspace: the segments of the absolute path that relative patterns start from. Raises GlobError.
    """
    stripped = (line.strip() for line in lines.split("\n"))
    globs = (_read_one(line, workspace) for line in stripped if line and not line.startswith("#"))
    return [glob for glob in globs if glob is not None]


def _read_one(written: str, workspace: Sequence[str]) -> Glob | None:
    """One pattern; None for one of the home directory, which lies outside the workspace and so matches nothing."""
    pattern, negative = written, False
    while pattern.startswith("!"):
        negative, pattern = not negative, pattern[1:].strip()
    if not pattern:
        raise GlobError(f"Invalid pattern '{written}'. The pattern is empty.")
    if pattern == "~" or pattern.startswith("~/"):
        return None
    names = [name for name in pattern.split("/") if name]
    rooted = pattern.startswith("/")
    if not rooted and names[:1] == ["."]:
        names = names[1:]
    literals = [literal(name) for name in names]
    if "." in literals or ".." in literals:
        raise GlobError(f"Invalid pattern '{written}'. Relative pathing '.' and '..' is not allowed.")
    base = () if rooted else tuple(workspace)
    known = next((index for index, text in enumerate(literals) if text is None), len(literals))
    search = (*base, *(text for text in literals[:known] if text is not None))
    return Glob(negative, (*base, *map(_segment, names)), search, pattern.endswith("/"))


def literal(segment: str) -> str | None:
    """The one name that a segment stands for, None when it may stand for several."""
    found = ""
    offset = 0
    while offset < len(segment):
        token = _TOKEN.match(segment, offset)
        text = token[0] if token is not None else ""
        if text[0] in "*?":
            return None
        bracket = _ONE_OF.match(segment, offset) if text == "[" else None
        if bracket is not None:
            if len(bracket[1]) > (2 if bracket[1][0] == "\\" else 1):
                return None
            text, offset = bracket[1], bracket.end() - len(bracket[1])
        found += text[-1]
        offset += len(text)
    return found


def _segment(segment: str) -> str | re.Pattern[str]:
    """A segment as `**`, as its one name, or as an expression that takes time linear in the name's length."""
    if segment == _ANY_FOLDERS:
        return segment
    if any(character in segment for character in "*?[\\"):
        return re.compile(_translate(segment), re.DOTALL)
    return segment


def _translate(segment: str) -> str:
    """A regular expression for one segment. Between stars the earliest match is as good as any, so none is ever retried."""
    chunks = [""]
    offset = 0
    while offset < len(segment):
        token = _TOKEN.match(segment, offset)
        text = token[0] if token is not None else ""
        found = _CLASS.match(segment, offset) if text == "[" else None
        if text[0] == "*":
            chunks.append("")
        elif text == "?":
            chunks[-1] += "."
        elif found is not None:
            chunks[-1] += _class(found)
            offset = found.end()
            continue
        else:
            chunks[-1] += re.escape(text[-1])
        offset += len(text)
    if len(chunks) == 1:
        return chunks[0] + r"\Z"
    middle = "".join(f"(?>.*?{chunk})" for chunk in chunks[1:-1] if chunk)
    return f"{chunks[0]}{middle}.*{chunks[-1]}\\Z"


def _class(found: re.Match[str]) -> str:
    """A bracket expression as alternatives; a range that runs backwards matches nothing."""
    alternatives = []
    for item in _CLASS_ITEM.finditer(found[2]):
        first, last = (item[2] or "")[-1:], (item[3] or item[2] or "")[-1:]
        if item[1] is not None:
            alternatives.append(_POSIX.get(item[1], "(?!)"))
        elif first <= last:
            alternatives.append(f"[{re.escape(first)}-{re.escape(last)}]")
    one_of = "|".join(alternatives) or "(?!)"
    return f"(?!{one_of})." if found[1] else f"(?:{one_of})"
