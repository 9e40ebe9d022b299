r"""The patterns under branches, tags and paths (and their -ignore forms): which names they let through.

The language is GitHub's own, neither glob nor regular expression: `*` is any characters but `/`, `**` any characters,
`**/` at the start of a segment any folders or none, `?` and `+` make the character before them optional or repeatable, `[]`
is one letter or digit out of a set, `\` takes the next character as it is, and a leading `!` takes back what an earlier
pattern matched. Names come from strangers (a pull request chooses its paths), so matching walks each name once, over a set
of pattern positions; a regular expression could be made to take years.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

_ALPHANUMERIC: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


class PatternError(ValueError):
    """A pattern that says nothing. position: of the character at fault, from 1; message: what is wrong there."""

    def __init__(self, pattern: str, offset: int, message: str) -> None:
        super().__init__(f"{message}. Located at position {offset + 1} within pattern: {pattern}")
        self.pattern = pattern
        self.position = offset + 1
        self.message = message


class _Element:
    """One element of a pattern. allowed: the characters it takes, None for any but those in `refused`."""

    __slots__ = ("allowed", "leap", "optional", "refused", "repeated")

    def __init__(self, allowed: frozenset[str] | None, refused: str = "", *, star: bool = False, leap: bool = False) -> None:
        self.allowed = allowed
        self.refused = refused
        self.optional = star
        self.repeated = star
        self.leap = leap  # this element and the next one may be left out together: `**/`

    @property
    def literal(self) -> str:
        """The one character this element stands for, else nothing."""
        if self.optional or self.repeated or self.allowed is None or len(self.allowed) != 1:
            return ""
        return next(iter(self.allowed))


class Pattern:
    """A compiled pattern. negative: it began with `!`."""

    def __init__(self, pattern: str) -> None:
        self.negative = pattern.startswith("!")
        elements = _read(pattern, 1 if self.negative else 0)
        start = next((index for index, element in enumerate(elements) if not element.literal), len(elements))
        self._prefix = "".join(element.literal for element in elements[:start])
        end = len(elements)
        while end > start and elements[end - 1].literal and not (end - 2 >= start and elements[end - 2].leap):
            end -= 1
        self._suffix = "".join(element.literal for element in elements[end:])
        self._states = _States(elements[start:end])

    def matches(self, name: str) -> bool:
        """Whether the whole name fits the pattern (its `!` left aside). Takes time linear in the name's length."""
        middle = len(name) - len(self._suffix)
        if middle < len(self._prefix) or not name.startswith(self._prefix) or not name.endswith(self._suffix):
            return False
        return self._states.accepts(name, len(self._prefix), middle)


class _States:
    """The elements of a pattern as bit masks: bit i is the position before element i."""

    def __init__(self, elements: list[_Element]) -> None:
        self._optional = sum(1 << index for index, element in enumerate(elements) if element.optional)
        self._repeated = sum(1 << index for index, element in enumerate(elements) if element.repeated)
        self._leaps = sum(1 << index for index, element in enumerate(elements) if element.leap)
        self._final = 1 << len(elements)
        self._other = sum(1 << index for index, element in enumerate(elements) if element.allowed is None)
        named = {character for element in elements for character in (element.allowed or element.refused)}
        self._masks = {character: self._mask(elements, character) for character in named}
        self._first = self._close(1)

    @staticmethod
    def _mask(elements: list[_Element], character: str) -> int:
        takes = (character not in one.refused if one.allowed is None else character in one.allowed for one in elements)
        return sum(1 << index for index, taken in enumerate(takes) if taken)

    def _close(self, states: int) -> int:
        """Add the positions that are reached without a character."""
        while more := (((states & self._optional) << 1) | ((states & self._leaps) << 2)) & ~states:
            states |= more
        return states

    def accepts(self, name: str, start: int, end: int) -> bool:
        """Whether name[start:end] leads from the first position to the last."""
        states = self._first
        for offset in range(start, end):
            mask = self._masks.get(name[offset], self._other)
            states = self._close(((states & mask) << 1) | (states & ((mask & self._repeated) << 1)))
            if not states:
                return False
        return bool(states & self._final)


def _read(pattern: str, offset: int) -> list[_Element]:
    """The elements of a pattern from an offset on. Raises PatternError."""
    elements: list[_Element] = []
    first = offset
    while offset < len(pattern):
        character = pattern[offset]
        if character == "*":
            if not pattern.startswith("**", offset):
                elements.append(_Element(None, "/", star=True))
                offset += 1
                continue
            folders = pattern.startswith("**/", offset) and (offset == first or pattern[offset - 1] == "/")
            elements.append(_Element(None, star=True, leap=folders))
            if folders:
                elements.append(_Element(frozenset("/")))
            offset += 3 if folders else 2
        elif character in "?+" and elements:
            elements[-1].optional |= character == "?"
            elements[-1].repeated |= character == "+"
            offset += 1
        elif character == "[":
            closing = pattern.find("]", offset)
            if closing < 0:
                raise PatternError(pattern, offset, "Missing closing bracket ']' after '['")
            elements.append(_Element(_set(pattern, offset + 1, closing)))
            offset = closing + 1
        else:
            if character == "\\":
                offset += 1
                if offset == len(pattern):
                    raise PatternError(pattern, offset - 1, "Missing symbol after \\")
            elements.append(_Element(frozenset(pattern[offset])))
            offset += 1
    return elements


def _set(pattern: str, start: int, end: int) -> frozenset[str]:
    """The characters between brackets: letters, digits and ranges of them."""
    if start == end:
        raise PatternError(pattern, start - 1, "The brackets '[]' hold no character")
    found: set[str] = set()
    offset = start
    while offset < end:
        first = last = pattern[offset]
        if offset + 2 < end and pattern[offset + 1] == "-":
            last = pattern[offset + 2]
        if first not in _ALPHANUMERIC or last not in _ALPHANUMERIC:
            raise PatternError(pattern, offset if first not in _ALPHANUMERIC else offset + 2, "Brackets can only hold a-z, A-Z and 0-9")
        if last < first:
            raise PatternError(pattern, offset, f"The range '{first}-{last}' runs backwards")
        found.update(chr(code) for code in range(ord(first), ord(last) + 1) if chr(code) in _ALPHANUMERIC)
        offset += 3 if offset + 2 < end and pattern[offset + 1] == "-" else 1
    return frozenset(found)


@lru_cache(maxsize=1_024)
def compile_pattern(pattern: str) -> Pattern:
    """The compiled form of a pattern. Raises PatternError."""
    return Pattern(pattern)


def deciding(patterns: Iterable[str], name: str) -> str | None:
    """The last pattern that matches the name, with its `!` if it has one: it decides. None when none matches."""
    decided = None
    for pattern in patterns:
        if compile_pattern(pattern).matches(name):
            decided = pattern
    return decided


def chosen(patterns: Iterable[str], name: str) -> bool:
    """Whether the patterns select the name: the last that matches it is not a negation."""
    decided = deciding(patterns, name)
    return decided is not None and not decided.startswith("!")


def included(patterns: Sequence[str], inputs: Iterable[str]) -> bool:
    """Whether `branches`, `tags` or `paths` let an event through: one of the names is chosen. No patterns: no filter."""
    return not patterns or any(chosen(patterns, name) for name in inputs)


def ignored(patterns: Sequence[str], inputs: Iterable[str]) -> bool:
    """Whether `branches-ignore`, `tags-ignore` or `paths-ignore` keep an event away: every one of the names is chosen.

    An event without any name (no changed file) is kept away by any filter, as on GitHub.
    """
    return bool(patterns) and all(chosen(patterns, name) for name in inputs)
