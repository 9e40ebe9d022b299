"""Ids of jobs and steps: which are valid, and which GitHub makes up for a step that has none."""

import re

LENGTH_MAX = 100
_VALID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def fault(value: str) -> str | None:
    """Why an id is not valid, or None."""
    if value.startswith("__"):
        return "ids that begin with __ are reserved for generated ones"
    if len(value) >= LENGTH_MAX:
        return f"an id has fewer than {LENGTH_MAX} characters"
    if not _VALID.match(value):
        return "an id consists of letters, digits, _ and -, and begins with a letter or _"
    return None


class StepIds:
    """The step ids of one job. They are unique without regard to case."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._bases: dict[tuple[str | None, str], str] = {}
        self._last: dict[str, int] = {}  # of each generated base, the highest number: thousands of alike steps stay linear

    def take(self, value: str) -> bool:
        """Takes a given id; False where it is taken."""
        if value.lower() in self._taken:
            return False
        self._taken.add(value.lower())
        return True

    def generate(self, uses: str | None, kind: str = "run") -> str:
        """A new id: `__run`, `__actions_checkout`, then `__run_2` and so on."""
        base = self._bases.get((uses, kind))
        if base is None:
            base = self._bases[uses, kind] = "__" + _FOREIGN.sub("_", _stem(uses) if uses else kind)
        number = self._last.get(base.lower(), 0) + 1
        while True:
            suffix = "" if number == 1 else f"_{number}"
            candidate = base[: LENGTH_MAX - len(suffix)] + suffix
            if self.take(candidate):
                self._last[base.lower()] = number
                return candidate
            number += 1


def _stem(uses: str) -> str:
    """What the id of a `uses` step is made from: the image, `self`, or owner/repository."""
    if uses.startswith("docker://"):
        return uses.removeprefix("docker://")
    if uses.startswith(("./", ".\\", "$/")):
        return "self"
    path, at, ref = uses.partition("@")
    segments = [segment for segment in re.split(r"[\\/]", path) if segment]
    if at and ref and "@" not in ref and len(segments) >= 2:
        return f"{segments[0]}/{segments[1]}"
    return "run"
