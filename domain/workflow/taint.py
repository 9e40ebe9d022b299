"""Scripts that a stranger can write into: values of an event payload that are pasted into a script by `${{ }}`.

GitHub replaces an expression in a script by its text before a shell sees it, so a title such as `$(rm -rf .)` runs. What
counts is GitHub's published list of untrusted values, and where they go on from there: through `env`, through outputs
of steps that a script plainly writes them to, and through outputs of jobs. What an expression only compares or tests does
not flow into the script. It must never say that a script is safe.
"""

from collections.abc import Iterator
from functools import lru_cache

from domain.workflow.expression_error import ExpressionError
from domain.workflow.fields import Fields
from domain.workflow.grammar import Call, Index, Literal, Logic, Named, parse
from domain.workflow.grammar import Node as Tree
from domain.workflow.nodes import Kind, Node
from domain.workflow.taint_outputs import leaves_something, left, variables
from domain.workflow.templates import parts
from domain.workflow.validator import Validator

Path = tuple[str, ...]

_WRITTEN = """
head_ref
event.issue.title event.issue.body
event.discussion.title event.discussion.body
event.comment.body event.review.body event.review_comment.body
event.pull_request.title event.pull_request.body event.pull_request.head.ref event.pull_request.head.label
event.pull_request.head.repo.default_branch event.pull_request.head.repo.description event.pull_request.head.repo.homepage
event.pages.*.page_name event.pages.*.title
event.commits.*.message event.commits.*.author.email event.commits.*.author.name
event.commits.*.committer.email event.commits.*.committer.name
event.head_commit.message event.head_commit.author.email event.head_commit.author.name
event.head_commit.committer.email event.head_commit.committer.name
event.workflow_run.head_branch event.workflow_run.display_title event.workflow_run.head_commit.message
event.workflow_run.head_commit.author.email event.workflow_run.head_commit.author.name
event.workflow_run.head_repository.description event.workflow_run.pull_requests.*.head.ref
event.changes.title.from event.changes.body.from event.changes.head.ref.from
event.client_payload.*
"""
UNTRUSTED: tuple[Path, ...] = tuple(("github", *line.split(".")) for line in _WRITTEN.split())
"""What anybody who can open an issue, comment or push to a fork decides; `*` stands for any key."""

_CLEAN_CALLS = frozenset(("contains", "startswith", "endswith", "hashfiles", "success", "failure", "cancelled", "always"))
_SCRIPT_ACTION = "actions/github-script"


Tainted = frozenset[Path]
"""Values of other contexts that hold such text: ("env", name), ("steps", id, "outputs", name), ("needs", job, "outputs", name)."""

_ROUNDS_MAX = 8
"""Through so many jobs an output is followed."""


def warn(root: Node, checked: Validator, *, deny: bool = False) -> None:
    """Reports each script of a workflow into which an untrusted value is pasted. The tree has no errors. deny: as errors."""
    top = Fields(root)
    jobs = [(name, Fields(job)) for name, _, job in Fields(top.node("jobs"))]
    outer = _with_env(top.node("env"), frozenset())
    giving = [(name, job) for name, job in jobs if "outputs" in job]
    for _ in range(_ROUNDS_MAX if giving else 0):
        found = outer.union(*(_given(name, job, outer) for name, job in giving))
        if found == outer:
            break
        outer = found
    for _, job in jobs:
        warn_steps(job.node("steps"), checked, _with_env(job.node("env"), outer), deny=deny)


def warn_steps(steps: Node | None, checked: Validator | None, outer: Tainted = frozenset(), *, deny: bool = False) -> Tainted:
    """The same for a list of steps. outer: what is untrusted around them. Returns what is after them; None: without reporting."""
    if steps is None or steps.kind is not Kind.SEQUENCE:
        return outer
    for step in steps.value:
        fields = Fields(step)
        outer = warn_steps(fields.node("parallel"), checked, outer, deny=deny)
        tainted = _with_env(fields.node("env"), outer)
        if checked is not None:
            for script in _scripts(fields):
                _warn_of(script, tainted, checked, deny=deny)
        outer |= _left(fields, tainted)
    return outer


def _given(name: str, job: Fields, outer: Tainted) -> Tainted:
    """The outputs of a job that hold untrusted text."""
    tainted = warn_steps(job.node("steps"), None, _with_env(job.node("env"), outer))
    written = Fields(job.node("outputs"))
    return frozenset(
        ("needs", name.lower(), "outputs", key.lower()) for key, _, value in written if any(True for _ in _pasted(value, tainted))
    )


def _left(fields: Fields, tainted: Tainted) -> Tainted:
    """What a step leaves for later ones."""
    script = fields.text("run")
    if script is None or not leaves_something(script):
        return frozenset()
    names = {path[1] for path in tainted if path[0] == "env"}
    roots = _roots(tainted)

    def is_tainted(piece: str) -> bool:
        return not names.isdisjoint(variables(piece)) or any(True for _ in _paths(piece, tainted, roots))

    step = (fields.text("id") or "").lower()
    found = set(left(script, is_tainted))
    return frozenset(("env", name.lower()) if kind == "env" else ("steps", step, "outputs", name.lower()) for kind, name in found)


def _scripts(fields: Fields) -> Iterator[Node]:
    run, uses, inputs = fields.node("run"), fields.node("uses"), fields.node("with")
    if run is not None:
        yield run
    if uses is not None and inputs is not None and str(uses.value).partition("@")[0].lower() == _SCRIPT_ACTION:
        script = Fields(inputs).node("script")
        if script is not None:
            yield script


def _warn_of(script: Node, tainted: Tainted, checked: Validator, *, deny: bool) -> None:
    for offset, width, path in _pasted(script, tainted):
        name = path[-1].upper().replace("-", "_") if path[-1] != "*" else "VALUE"
        checked.report(
            "WF501",
            script,
            f'"{".".join(path)}" is pasted into a script',
            because="whoever causes the event decides its text, and the shell runs what the text holds",
            help=f'pass it by env, and use the variable in quotes: env: {{{name}: "${{{{ {".".join(path)} }}}}"}}, then "${name}"'
            if path[0] != "env"
            else f'use the variable in quotes instead of the expression: "${path[-1]}"',
            focus=checked.focus(script, offset, width),
            severity="error" if deny else "warning",
        )


def _with_env(env: Node | None, outer: Tainted) -> Tainted:
    """What is untrusted within this `env`: its own names, and all around it that it does not give anew."""
    if env is None or env.kind is not Kind.MAPPING:
        return outer
    own = {("env", str(key.value).lower()): any(True for _ in _pasted(value, outer)) for key, value in env.value}
    return frozenset({path for path in outer if path not in own} | {path for path, bad in own.items() if bad})


def _roots(tainted: Tainted) -> set[str]:
    return {"github", *(path[0] for path in tainted)}


def _pasted(node: Node, tainted: Tainted) -> Iterator[tuple[int, int, Path]]:
    """The untrusted paths in a text, each with offset and length of its expression."""
    if node.kind is Kind.EXPRESSION:
        yield from _paths(node.value, tainted, _roots(tainted))


def _paths(text: str, tainted: Tainted, roots: set[str]) -> Iterator[tuple[int, int, Path]]:
    folded = text.lower()
    if "${{" not in text or not any(root in folded for root in roots):
        return
    try:
        pieces = parts(text)
    except ExpressionError:  # a piece of a script may end within an expression
        return
    for piece in pieces:
        if piece.is_expression:
            for path in flowing(piece.text):
                if _untrusted(path) or (len(path) > 1 and any(_meet(path, known) for known in tainted)):
                    yield piece.start, len(piece.text), path


def _meet(path: Path, known: Path) -> bool:
    """Whether one is the other, is inside it, or holds it."""
    return all(one == other or "*" in (one, other) for one, other in zip(path, known, strict=False))


@lru_cache(maxsize=2_048)
def _untrusted(path: Path) -> bool:
    """Whether the path is an untrusted value, is inside one, or holds one (`toJSON(github.event)`)."""
    if path[0] != "github":
        return False
    return any(_meet(path, known) for known in UNTRUSTED)


@lru_cache(maxsize=2_048)
def flowing(text: str) -> tuple[Path, ...]:
    """The context values whose text can become part of an expression's value, as paths in lower case."""
    try:
        tree = parse(text).tree
    except ExpressionError:
        return ()
    return () if tree is None else tuple(dict.fromkeys(_flow(tree)))


def _flow(node: Tree) -> Iterator[Path]:
    match node:
        case Named(name=name):
            yield (name.lower(),)
        case Index():
            yield from _path(node)
        case Logic(operator=operator, operands=operands):
            # The left side of && is only the value where it is falsy, and then it is no text of a stranger's choice.
            for operand in operands if operator == "||" else operands[-1:]:
                yield from _flow(operand)
        case Call(name=name, arguments=arguments) if name.lower() not in _CLEAN_CALLS:
            kept = arguments if name.lower() != "case" else (*arguments[1::2], *arguments[-1:])
            for argument in kept:
                yield from _flow(argument)


def _path(node: Index) -> Iterator[Path]:
    keys: list[str] = []
    target: Tree = node
    while isinstance(target, Index):
        key = target.key
        keys.append(str(key.value).lower() if isinstance(key, Literal) and isinstance(key.value, str) else "*")
        target = target.target
    if isinstance(target, Named):
        yield (target.name.lower(), *reversed(keys))
    else:
        yield from _flow(target)
