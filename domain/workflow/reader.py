"""The door to the language: a workflow file's text in, a typed workflow or diagnostics out.

Three passes, each only after the one before found no error: YAML (nodes), shapes (validator: keys, types, expressions
and the contexts that they may name), meaning (reader_on, reader_jobs, reader_steps, reader_calls: ids, needs, cron,
inputs, called workflows). The verdict is GitHub's; what GitHub accepts and this version does not run is told by
`unsupported` alone. Pure: files that a workflow calls are passed in. `read_action` is the door for action.yml.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from domain.workflow import taint
from domain.workflow.diagnostics import Diagnostic, errors
from domain.workflow.fields import Fields
from domain.workflow.model import Workflow
from domain.workflow.nodes import DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX, Kind, Limits, Node, NodesError, parse
from domain.workflow.probe import Hopeless, check_sizes, looker
from domain.workflow.reader_action import read_action
from domain.workflow.reader_calls import CallChecker, ReadCalled
from domain.workflow.reader_jobs import read_jobs
from domain.workflow.reader_on import read_on
from domain.workflow.syntax import ROOT, ROOT_WITHOUT_BACKGROUND
from domain.workflow.validator import TooManyFindings, Validator

__all__ = ["build", "read", "read_action", "released"]


def read(
    name: str, content: str, files: Mapping[str, str] | None = None, options: Mapping[str, Any] | None = None
) -> tuple[Workflow | None, list[Diagnostic]]:
    """Reads the workflow file `name` with this content.

    files: the called workflows by their reference (`owner/repo/path@ref` or `./path`); None: calls are not followed.
    options: limits and features as GitHub's parser names them (`max-file-size`, `max-depth`, `max-job-limit`,
    `permissions-policy`, `experimental-features`, ...); None: everything that GitHub has released. `untrusted-values`:
    "deny" makes an error of a script into which a payload's value is pasted, else a warning. `server-rules`: make errors
    of what only GitHub's server refuses, its parser does not (WF053, WF404). `unknown-repositories`: calls of other
    repositories that are not among the files are no errors. `repository`: the full name of the file's. Returns the workflow
    (None when there is an error) and all findings, warnings too, in the order of the file.
    """
    options_ = options or {}
    root, checked = _nodes(name, content, options_, background=_background(options))
    if root is None or errors(checked.found):
        return None, _sorted(checked.found)
    workflow = None
    with contextlib.suppress(TooManyFindings):
        workflow = build(name, root, checked)
        if files is not None and not errors(checked.found):
            CallChecker(checked, files, options_, _reader(options)).check(workflow, root)
        if not errors(checked.found):
            taint.warn(root, checked, deny=options_.get("untrusted-values") == "deny")
    return (None if errors(checked.found) else workflow), _sorted(checked.found)


def released(untrusted_values: str = "warn") -> dict[str, Any]:
    """The options for files that shall run: everything that GitHub has released, and the rules of its server too."""
    return {"untrusted-values": untrusted_values, "experimental-features": {"all": True}, "server-rules": True}


def build(name: str, root: Node, checked: Validator) -> Workflow:
    """The typed workflow of a tree that fits the shapes; what its parts mean is checked on the way."""
    top = Fields(root)
    jobs = read_jobs(top, checked)
    return Workflow(
        path=name,
        jobs=jobs,
        on=read_on(top.node("on"), checked),
        name=top.text("name"),
        run_name=top.text("run-name"),
        env=top.mapping("env"),
        defaults=top.defaults(),
        permissions=top.value("permissions"),
        concurrency=top.value("concurrency"),
    )


def _nodes(name: str, content: str, options: Mapping[str, Any], *, background: bool) -> tuple[Node | None, Validator]:
    """The first two passes."""
    checked = Validator(name, content, as_server=bool(options.get("server-rules")))
    shape = ROOT if background else ROOT_WITHOUT_BACKGROUND
    limits = Limits(
        file_bytes_max=int(options.get("max-file-size", FILE_BYTES_MAX)),
        depth_max=int(options.get("max-depth", DEPTH_MAX)),
        nodes_max=int(options.get("max-nodes", NODES_MAX)),
    )
    try:
        root = parse(content, limits, looker(name, content, shape))
    except Hopeless as hopeless:
        checked.found.extend(hopeless.found)
        return None, checked
    except NodesError as error:
        place = Node(Kind.NULL, None, error.line, error.column, error.line, error.column + 1)
        checked.report(error.code, place, error.message, because=error.because)
        return None, checked
    if root.kind is Kind.NULL:
        checked.report("WF008", root, "the file is empty", help='a workflow begins with "on:" and "jobs:"')
        return None, checked
    with contextlib.suppress(TooManyFindings):
        check_sizes(root, checked)
        checked.check(root, shape, "the workflow")
    return root, checked


def _background(options: Mapping[str, Any] | None) -> bool:
    if options is None:
        return True
    features = options.get("experimental-features") or {}
    return bool(features.get("allowBackgroundSteps", features.get("all", False)))


def _reader(options: Mapping[str, Any] | None) -> ReadCalled:
    """How a called file is read: the same passes without following its calls."""

    def read_called(name: str, content: str) -> tuple[Workflow | None, Node | None, list[Diagnostic]]:
        root, checked = _nodes(name, content, options or {}, background=_background(options))
        if root is None or errors(checked.found):
            return None, root, checked.found
        workflow = build(name, root, checked)
        return (None if errors(checked.found) else workflow), root, checked.found

    return read_called


def _sorted(found: list[Diagnostic]) -> list[Diagnostic]:
    return sorted(found, key=lambda each: (each.file, each.line, each.column)) if len(found) > 1 else found
