"""How many times slower this machine is, at this moment, than the one on which the bounds of time were set.

A bound in milliseconds means the reference machine. Elsewhere, or beside a loaded neighbour, a fixed piece of pure work is
measured beside the tested one and widens the bound in proportion; a faster machine never narrows it. The work is of the
kind that the readers do (libyaml, many small objects, a walk), but none of the project's own code: a reader that becomes
slow must not make its own yardstick longer.
"""

import gc
import time
from collections.abc import Callable

import yaml

REFERENCE_MILLISECONDS = 6.0
"""Processor time of the work on the reference machine at rest."""
_TEXT = "jobs:\n" + "".join(f" j{n}: {{runs-on: x, needs: [a, b], steps: [{{run: 'a {n}'}}]}}\n" for n in range(200))


def milliseconds(work: Callable[[], object]) -> float:
    """Processor time: another process's turn does not count. What it does to the caches does: so rounds are apart.

    Nor does the heap of the tests that ran before count, through which the collector would walk.
    """
    gc.freeze()
    try:
        before = time.process_time()
        work()
        return (time.process_time() - before) * 1000
    finally:
        gc.unfreeze()


def kept(work: Callable[[], object], milliseconds_max: float, rounds_max: int = 10) -> bool:
    """Whether one of the rounds of work took no longer than it may on the reference machine."""
    return any(in_time(milliseconds(work), milliseconds_max) for _ in range(rounds_max))


def in_time(spent: float, milliseconds_max: float) -> bool:
    """Whether work that was measured just now took no longer than it may on the reference machine. Both in milliseconds."""
    return spent <= milliseconds_max or spent <= milliseconds_max * slowness()


def slowness() -> float:
    """1.0 on the reference machine and on faster ones; costs a dozen milliseconds there."""
    return max(1.0, min(milliseconds(_work), milliseconds(_work)) / REFERENCE_MILLISECONDS)


def _work() -> None:
    stack = [yaml.compose(_TEXT, Loader=yaml.CSafeLoader)]
    seen: dict[str, tuple[int, int]] = {}
    while stack:
        node = stack.pop()
        seen[node.tag] = (node.start_mark.line, node.start_mark.column)
        if isinstance(node, yaml.MappingNode):
            stack.extend(each for pair in node.value for each in pair)
        elif isinstance(node, yaml.SequenceNode):
            stack.extend(node.value)
