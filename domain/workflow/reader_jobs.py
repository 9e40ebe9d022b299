"""What `jobs` mean: ids, needs without circles, runner groups, containers with an image, a matrix of bearable size."""

import re
from typing import Any

from domain.workflow import ids
from domain.workflow.fields import Fields
from domain.workflow.matrix import INSTANCES_MAX, size_at_least
from domain.workflow.model import Job, Place, Strategy
from domain.workflow.nodes import Kind, Node, plain, walk
from domain.workflow.reader_needs import check_needs
from domain.workflow.reader_steps import read_steps
from domain.workflow.validator import Validator

_PLACED = ("runs-on", "strategy", "uses", "container", "services", "environment", "concurrency", "env", "if", "name", "timeout-minutes")
_CALLED = re.compile(r"(?:(?:\./|\$/)[^@]+\.ya?ml|[^/@]+/[^/@]+/[^@]+\.ya?ml@.+)\Z")
_GROUP_PREFIXES = frozenset(("org", "organization", "ent", "enterprise"))


def read_jobs(top: Fields, checked: Validator) -> dict[str, Job]:
    """The jobs by their ids, in the order of the file."""
    node = top.node("jobs")
    if node is None:
        return {}
    fields = Fields(node)
    folded = {name.lower(): name for name, _, _ in fields}
    needs = {name: _needs(Fields(value).node("needs"), folded) for name, _, value in fields}
    check_needs(node, needs, checked)
    jobs = {}
    for name, key, value in fields:
        fault = ids.fault(name)
        if fault is not None:
            checked.report("WF030", key, f'the job id "{name[:100]}" is not valid', because=fault)
        jobs[name] = _job(name, key, Fields(value), tuple(needs[name]), checked)
    return jobs


def _needs(node: Node | None, folded: dict[str, str]) -> dict[str, Node]:
    """The needed jobs by their own spelling, each with the node that names it first."""
    named = [] if node is None else node.value if node.kind is Kind.SEQUENCE else [node]
    found: dict[str, Node] = {}
    for each in named:
        found.setdefault(folded.get(each.value.lower(), each.value), each)
    return found


def _job(name: str, key: Node, fields: Fields, needs: tuple[str, ...], checked: Validator) -> Job:
    group, labels = _runs_on(fields.node("runs-on"), checked)
    uses = fields.node("uses")
    if uses is not None and not _CALLED.match(uses.value):
        checked.report(
            "WF045",
            uses,
            f'"{uses.value[:100]}" is no reference of a workflow file',
            help='write "./.github/workflows/FILE.yml" or "OWNER/REPOSITORY/.github/workflows/FILE.yml@REF"',
        )
    container, services = fields.node("container"), fields.node("services")
    if container is not None:
        _check_image(container, "the container", checked)
    if services is not None:
        for service, _, value in Fields(services):
            _check_image(value, f'the service "{service}"', checked)
    optional: dict[str, Any] = {}
    for attribute, own in (("timeout_minutes", "timeout-minutes"), ("cancel_timeout_minutes", "cancel-timeout-minutes")):
        if own in fields:
            optional[attribute] = fields.value(own)
    return Job(
        key=name,
        place=Place(key.line, key.column),
        name=fields.text("name") or None,
        needs=needs,
        condition=fields.condition(),
        runs_on=labels,
        runs_on_group=group,
        env=fields.mapping("env"),
        defaults=fields.defaults(),
        steps=read_steps(fields.node("steps"), checked),
        outputs=fields.mapping("outputs"),
        strategy=_strategy(fields.node("strategy"), checked),
        continue_on_error=fields.value("continue-on-error") or False,
        permissions=fields.value("permissions"),
        environment=fields.value("environment"),
        concurrency=fields.value("concurrency"),
        container=fields.value("container"),
        services=fields.value("services"),
        uses=fields.text("uses"),
        with_=fields.mapping("with"),
        secrets=fields.value("secrets"),
        snapshot=fields.value("snapshot"),
        places=fields.places(_PLACED),
        **optional,
    )


def _strategy(node: Node | None, checked: Validator) -> Strategy | None:
    if node is None:
        return None
    if node.kind is Kind.EXPRESSION:
        return Strategy(matrix=None, whole=node.value)
    fields = Fields(node)
    matrix = fields.node("matrix")
    written = plain(matrix) if matrix is not None else None
    size = size_at_least(written)
    if matrix is not None and size > INSTANCES_MAX:
        checked.report(
            "WF100",
            matrix,
            f"the matrix makes more than {INSTANCES_MAX} jobs",
            because=f"it makes {size:,}",
            help="exclude combinations, or split the job",
        )
    optional = {}
    if "fail-fast" in fields:
        optional["fail_fast"] = fields.value("fail-fast")
    return Strategy(matrix=written, max_parallel=fields.value("max-parallel"), **optional)


def _runs_on(node: Node | None, checked: Validator) -> tuple[str | None, tuple[str, ...] | str]:
    """The group and the labels of `runs-on`."""
    if node is None:
        return None, ()
    if node.kind is not Kind.MAPPING:
        return None, _labels(node)
    fields = Fields(node)
    group = fields.node("group")
    if group is not None and group.kind is Kind.STRING:
        prefix, slash, rest = group.value.partition("/")
        if slash and (prefix not in _GROUP_PREFIXES or not rest or "/" in rest):
            checked.report(
                "WF042", group, f'the runner group "{group.value}" is not valid', help='write "organization/NAME" or "enterprise/NAME"'
            )
    return fields.text("group"), _labels(fields.node("labels"))


def _labels(node: Node | None) -> tuple[str, ...] | str:
    if node is None:
        return ()
    if node.kind is Kind.SEQUENCE:
        return tuple(item.value for item in node.value)
    return node.value if node.kind is Kind.EXPRESSION else (node.value,)


def _check_image(node: Node, what: str, checked: Validator) -> None:
    """A container needs an image; one that holds an expression is judged when it is evaluated."""
    if node.kind is Kind.MAPPING and "image" not in Fields(node) and all(each.kind is not Kind.EXPRESSION for each in walk(node)):
        checked.report("WF041", node, f"{what} has no image", help='add "image:"')
