"""The steps of a job as they are run: one flat list, and who waits for whom.

As GitHub does it: a `parallel` group is its steps in the background and a `wait` for them; a job that leaves background
steps to themselves waits for all of them at its end. Planner and runner number steps by this list alone.
"""

from typing import Final

from msgspec.structs import replace

from domain.workflow.model import Step

BACKGROUND_MAX: Final = 10
"""How many background steps of a job run at a time; the others wait for a place, in the order of the file."""

LAST_WAIT: Final = "__implicit_wait_all"


def in_order(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps as they are run, numbered from 0. A list that is in order already stays as it is."""
    if not any(step.background or step.parallel for step in steps):
        return steps
    flat: list[Step] = []
    for step in steps:
        group = [replace(each, background=True) for each in step.parallel]
        flat += [*group, replace(step, parallel=(), wait=tuple(each.id for each in group))] if group else [step]
    if _left_alone(flat):
        flat.append(Step(index=0, id=LAST_WAIT, place=steps[-1].place, name="Wait for all background steps", wait_all=True))
    return tuple(replace(step, index=index) for index, step in enumerate(flat))


def _left_alone(steps: list[Step]) -> bool:
    """Whether nothing waits for some background step, and nothing cancels it."""
    left: set[str] = set()
    for step in steps:
        if step.background:
            left.add(step.id.lower())
        elif step.wait_all:
            left.clear()
        else:
            left -= _named(step)
    return bool(left)


def control(step: Step) -> str:
    """What a step does to background steps: "wait", "wait-all" or "cancel"; "" for one that runs something itself."""
    if step.wait_all:
        return "wait-all"
    return "wait" if step.wait else "cancel" if step.cancel is not None else ""


def targets(steps: tuple[Step, ...], step: Step) -> tuple[int, ...]:
    """The background steps that a control step waits for or cancels, by index. steps: all, in order."""
    named = _named(step)
    return tuple(each.index for each in steps[: step.index] if each.background and (step.wait_all or each.id.lower() in named))


def _named(step: Step) -> set[str]:
    return {name.lower() for name in (*step.wait, *((step.cancel,) if step.cancel is not None else ()))}
