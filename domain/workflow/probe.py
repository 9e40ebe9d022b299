"""Whether the beginning of a big file already settles that it is refused.

Reading a dense file costs two microseconds a value, so one with thousands of errors or jobs is given up after its first
values instead of its last. Only what nothing further down can repair counts: as many errors as are ever reported, more
jobs than a file may have, a matrix or a list beside it that no `exclude` can bring back. It works on a copy, so the
reading itself goes on untouched. It must never refuse what a whole reading would accept.
"""

import contextlib
import math

import msgspec

from domain.workflow.diagnostics import Diagnostic
from domain.workflow.fields import Fields
from domain.workflow.matrix import COMPARISONS_MAX, CROSSED_MAX, INSTANCES_MAX
from domain.workflow.nodes import LOOK_NODES, Kind, Look, Node, duplicate
from domain.workflow.reader_jobs import read_jobs
from domain.workflow.shapes import Shape
from domain.workflow.validator import FINDINGS_MAX, TooManyFindings, Validator

JOBS_MAX = 1_024
"""Jobs of one file: beyond it neither GitHub's page of a run nor a person could follow them."""
_MANY = 20
"""Errors among the first values, from which on a second look is worth its time."""
_LATER = frozenset(("WF032", "WF033", "WF034"))
"""Needs of jobs that may come later in the file."""
_MISSING = frozenset(("WF012", "WF016"))
"""Missing keys. Only the few collections that are still open can get them, so among many such errors most are real."""


class Hopeless(Exception):  # noqa: N818 - not an error of the program
    """The file is refused whatever follows. found: why."""

    def __init__(self, found: list[Diagnostic]) -> None:
        super().__init__()
        self.found = found


class _Seen(msgspec.Struct):
    """What earlier looks at a file saw. errors: in the last look at them; many, where there was none yet."""

    jobs: int = 0
    errors: int = 1_000_000


def looker(name: str, text: str, shape: Shape) -> Look:
    """The looks at the first values of this file: each raises Hopeless where they settle it.

    Sizes are looked at each time. Errors cost as much as the reading, so they are looked at once, and a second time where
    there are many.
    """
    seen = _Seen()

    def look(prefix: Node, count: int) -> None:
        sized = Validator(name, text)
        seen.jobs = check_sizes(prefix, sized, seen.jobs)
        if sized.found:
            raise Hopeless(sized.found)
        if count > 3 * LOOK_NODES or seen.errors < _MANY:
            return
        prefix = duplicate(prefix)
        checked = Validator(name, text)
        with contextlib.suppress(TooManyFindings):
            checked.check(prefix, shape, "the workflow")
            if all(each.code in _MISSING for each in checked.found):
                read_jobs(Fields(prefix), checked)
        settled = [each for each in checked.found if each.severity == "error" and each.code not in _LATER]
        if len(settled) >= FINDINGS_MAX:
            raise Hopeless(settled)
        seen.errors = len(settled)

    return look


def check_sizes(root: Node, checked: Validator, after: int = 0) -> int:
    """Reports a file with too many jobs and each matrix that is too large whatever it excludes. Needs no checked shapes.

    after: so many jobs were looked at before. Returns how many are whole by now, the last one may still grow.
    """
    jobs = _child(root, "jobs")
    if jobs is None or jobs.kind is not Kind.MAPPING:
        return after
    if len(jobs.value) > JOBS_MAX:
        message = f"the workflow has more than {JOBS_MAX:,} jobs"
        checked.report("WF048", jobs.value[JOBS_MAX][0], message, help="split the file, or make the jobs of a matrix")
        return after
    for _, job in jobs.value[after:]:
        matrix = _child(_child(job, "strategy"), "matrix")
        if matrix is not None and matrix.kind is Kind.MAPPING:
            _matrix(matrix, checked)
    return max(len(jobs.value) - 1, 0)


def _matrix(matrix: Node, checked: Validator) -> None:
    lists = {str(key.value): value for key, value in matrix.value if value.kind is Kind.SEQUENCE}
    product = math.prod(len(node.value) for name, node in lists.items() if name not in ("include", "exclude"))
    excluded = len(lists["exclude"].value) if "exclude" in lists else 0
    if product > CROSSED_MAX or (product > INSTANCES_MAX and product * excluded > COMPARISONS_MAX):
        checked.report(
            "WF100",
            matrix,
            f"the matrix makes more than {INSTANCES_MAX} jobs",
            because=f"it makes {product:,} before anything is excluded",
            help="exclude combinations, or split the job",
        )


def _child(node: Node | None, name: str) -> Node | None:
    if node is None or node.kind is not Kind.MAPPING:
        return None
    for key, value in node.value:
        if key.value == name:
            return value  # type: ignore[no-any-return] # the values of a mapping are nodes
    return None
