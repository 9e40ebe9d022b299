"""What `steps` mean: one thing per step, ids given and generated, and which steps wait for which."""

from typing import Any

from domain.workflow import ids
from domain.workflow.fields import Fields
from domain.workflow.model import Place, Step
from domain.workflow.nodes import Kind, Node
from domain.workflow.suggest import did_you_mean
from domain.workflow.validator import Validator

_DOES = ("run", "uses", "wait", "wait-all", "cancel", "parallel")


def read_steps(node: Node | None, checked: Validator, taken: ids.StepIds | None = None) -> tuple[Step, ...]:
    """The steps of a job, or of a parallel group (which shares the ids of its job)."""
    if node is None or node.kind is not Kind.SEQUENCE:
        return ()
    taken = taken or ids.StepIds()
    given: list[str | None] = []
    known: set[str] = set()
    for item in node.value:
        fields = Fields(item)
        given.append(_given_id(fields, checked, taken))
        _targets(fields, known, checked)
        if given[-1]:
            known.add(str(given[-1]).lower())
    return tuple(_step(index, Fields(item), own, checked, taken) for index, (item, own) in enumerate(zip(node.value, given, strict=True)))


def _given_id(fields: Fields, checked: Validator, taken: ids.StepIds) -> str | None:
    node = fields.node("id")
    if node is None:
        return None
    value: str = node.value
    fault = ids.fault(value)
    if fault is not None:
        checked.report("WF030", node, f'the step id "{value[:100]}" is not valid', because=fault)
    elif not taken.take(value):
        checked.report("WF031", node, f'the step id "{value}" is used twice in this job', because="ids are compared without case")
    return value


def _targets(fields: Fields, known: set[str], checked: Validator) -> None:
    """`wait` and `cancel` name steps above."""
    for name in ("wait", "cancel"):
        node = fields.node(name)
        if node is None or node.kind is Kind.EXPRESSION:
            continue
        for target in node.value if node.kind is Kind.SEQUENCE else [node]:
            if str(target.value).lower() not in known:
                hint = did_you_mean(str(target.value), known) or "name the id of a step above this one"
                checked.report("WF050", target, f'"{name}" names the step "{target.value}", which is not above it', help=hint)


def _step(index: int, fields: Fields, given: str | None, checked: Validator, taken: ids.StepIds) -> Step:
    assert fields.owner is not None  # noqa: S101 - a step is a mapping
    does = [name for name in _DOES if name in fields]
    wait = fields.node("wait")
    wait_all = fields.node("wait-all")
    if wait_all is not None and wait_all.value is False:
        checked.report("WF015", wait_all, '"wait-all" can only be true', help='write "wait-all:" alone')
    parallel = fields.node("parallel")
    if parallel is not None:
        _check_parallel(parallel, checked)
    identity = given or taken.generate(fields.text("uses"), does[0] if does else "run")
    extras: dict[str, Any] = {}
    if wait is not None:
        extras["wait"] = tuple(item.value for item in wait.value) if wait.kind is Kind.SEQUENCE else (wait.value,)
    if wait_all is not None:
        extras["wait_all"] = True
    if "cancel" in fields:
        extras["cancel"] = fields.text("cancel")
    if "background" in fields:
        extras["background"] = bool(fields.value("background"))
    if parallel is not None:
        extras["parallel"] = read_steps(parallel, checked, taken)
    if "uses" in fields:
        extras["places"] = fields.places(("uses",))
    return Step(
        index=index,
        id=identity,
        place=Place(fields.owner.line, fields.owner.column),
        name=fields.text("name"),
        run=fields.text("run"),
        uses=fields.text("uses"),
        with_=fields.mapping("with"),
        shell=fields.text("shell"),
        working_directory=fields.text("working-directory"),
        env=fields.mapping("env"),
        condition=fields.condition() or "success()",
        continue_on_error=fields.value("continue-on-error") or False,
        timeout_minutes=fields.value("timeout-minutes"),
        **extras,
    )


def _check_parallel(node: Node, checked: Validator) -> None:
    if node.kind is not Kind.SEQUENCE:
        return
    for item in node.value:
        fields = Fields(item)
        for name in ("background", "wait", "wait-all", "cancel", "parallel"):
            if name in fields:
                checked.report(
                    "WF051",
                    fields.key(name),
                    f'"{name}" cannot be used inside a parallel group',
                    because="the steps of a group run in the background already" if name == "background" else None,
                )
