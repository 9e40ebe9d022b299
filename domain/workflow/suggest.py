"""Which known word a misspelled one may have meant, by edit distance with swapped neighbours as one edit."""

from collections.abc import Iterable
from itertools import islice

CANDIDATES_MAX = 128
"""Of more words than this (the jobs of a hostile file) only the first are compared."""


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The sentence `did you mean "runs-on"?`, or None where nothing is near enough."""
    found = nearest(word, known)
    return f'did you mean "{found}"?' if found else None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word with the fewest edits: at most a third of its length, and always one where only case or dashes differ."""
    best, best_distance = None, 99
    folded = word.lower().replace("_", "-")[:64]
    for candidate in sorted(islice(known, CANDIDATES_MAX)):
        allowed = min(max(1, len(candidate) // 3), best_distance - 1)
        if abs(len(candidate) - len(folded)) > allowed:
            continue
        other = candidate.lower().replace("_", "-")
        if len(set(folded) - set(other)) > allowed:
            continue
        distance = _distance(folded, other)
        if distance <= allowed:
            best, best_distance = candidate, distance
    return best


def quoted_list(words: Iterable[str], limit: int = 24) -> str:
    """The words, separated by commas; a long list is cut."""
    listed = list(words)
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")


def _distance(one: str, other: str) -> int:
    """Optimal string alignment distance."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
