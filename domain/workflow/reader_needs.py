"""Whether every job can start: needs name jobs of the file and are no circle. Linear in the number of needs."""

from collections.abc import Mapping

from domain.workflow.nodes import Node
from domain.workflow.suggest import did_you_mean, quoted_list
from domain.workflow.validator import Validator

_SHOWN_MAX = 12
_HINTS_MAX = 8
Needs = Mapping[str, Mapping[str, Node]]


def check_needs(jobs: Node, needs: Needs, checked: Validator) -> None:
    """Reports each need that keeps a job from ever starting. needs: of each job, the needed ones with their nodes."""
    if all(needs.values()):
        because = "every job needs another one" if needs else 'there is no job under "jobs"'
        checked.report("WF034", jobs, "no job can start first", because=because, help="one job must have no needs")
        return
    stuck = _stuck(needs)
    following = {name: next((other for other in needed if other in stuck), None) for name, needed in stuck.items()}
    hints = _HINTS_MAX
    all_of_them = f"jobs in this file: {quoted_list(needs)}"
    for name, needed in stuck.items():
        for other in needed:
            place = needs[name][other]
            if other not in needs:
                hints -= 1
                hint = (did_you_mean(other, needs) if hints >= 0 else None) or all_of_them
                checked.report("WF032", place, f'job "{name}" needs the job "{other}", which is not in this file', help=hint)
            else:
                message = f'job "{name}" needs the job "{other}", which can never finish before it'
                checked.report("WF033", place, message, because=_circle(other, following))


def _stuck(needs: Needs) -> dict[str, list[str]]:
    """The jobs that can never start, each with the needs that can never finish."""
    remaining = {name: dict.fromkeys(needed) for name, needed in needs.items()}
    dependents: dict[str, list[str]] = {}
    for name, needed in needs.items():
        for each in needed:
            dependents.setdefault(each, []).append(name)
    ready = [name for name, needed in remaining.items() if not needed]
    while ready:
        done = ready.pop()
        del remaining[done]
        for name in dependents.get(done, ()):
            del remaining[name][done]
            if not remaining[name]:
                ready.append(name)
    return {name: list(needed) for name, needed in remaining.items()}


def _circle(start: str, following: Mapping[str, str | None]) -> str:
    """The circle that a job is in or leads to, as `two -> three -> two`; a long one is not followed to its end."""
    path = [start]
    while len(path) <= _SHOWN_MAX:
        after = following.get(path[-1])
        if after is None:
            return f'"{path[-1]}" needs a job that is not in this file'
        if after in path:
            return "the needs are a circle: " + " -> ".join([*path[path.index(after) :], after])
        path.append(after)
    return "the needs lead on: " + " -> ".join(path) + " -> ..."
