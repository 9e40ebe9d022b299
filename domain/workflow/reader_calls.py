"""Called workflows: whether they exist, fit their call, and ask for no more permissions than their caller has.

Only followed where the files are given. Errors of a called file stand at its own places; what does not fit stands at the
call. Depth and number of calls are bounded.
"""

from collections.abc import Callable, Mapping
from typing import Any

from domain.workflow.diagnostics import Diagnostic, errors
from domain.workflow.fields import Fields
from domain.workflow.model import Job, Workflow
from domain.workflow.nodes import Kind, Node
from domain.workflow.permissions import Granted, excess, granted, initial, requested
from domain.workflow.references import remote, same_owner, within
from domain.workflow.suggest import did_you_mean
from domain.workflow.validator import Validator
from domain.workflow.values import to_text

NESTING_MAX = 10
CALLED_MAX = 50
ReadCalled = Callable[[str, str], tuple[Workflow | None, Node | None, list[Diagnostic]]]


class CallChecker:
    """Follows the calls of one workflow. files: called workflows by reference. read_called: reads one, not its calls."""

    def __init__(self, checked: Validator, files: Mapping[str, str], options: Mapping[str, Any], read_called: ReadCalled) -> None:
        self._checked = checked
        self._files = files
        self._read = read_called
        self._cache: dict[str, tuple[Workflow | None, Node | None]] = {}
        self._nesting_max = int(options.get("max-nested-reusable-workflows-depth", NESTING_MAX))
        self._jobs_max = int(options.get("max-job-limit", 0))
        self._policy = str(options.get("permissions-policy", ""))
        self._unknown_repositories = bool(options.get("unknown-repositories"))
        self._repository = str(options.get("repository", ""))
        self._jobs = 0

    def check(self, workflow: Workflow, root: Node) -> None:
        """Checks all calls, at any depth; findings go to the validator of the workflow itself."""
        self._follow(workflow, root, self._checked, granted(workflow.permissions, initial(self._policy)), ())
        if self._jobs_max and self._jobs > self._jobs_max:
            message = f"the workflow has {self._jobs} jobs with those that it calls, and the limit is {self._jobs_max}"
            self._checked.report("WF048", root, message)

    def _follow(self, workflow: Workflow, root: Node, checked: Validator, held: Granted, chain: tuple[str, ...]) -> None:
        """Checks the calls of one file. chain: the references that lead to it."""
        jobs = Fields(Fields(root).node("jobs"))
        for name, job in workflow.jobs.items():
            self._jobs += 1
            if self._jobs_max and self._jobs > self._jobs_max * 2:
                return
            if job.uses is not None:
                self._call(job, jobs.key(name), Fields(jobs.node(name)), checked, held=granted(job.permissions, held), chain=chain)

    def _call(self, job: Job, key: Node, fields: Fields, checked: Validator, *, held: Granted, chain: tuple[str, ...]) -> None:
        node = fields.node("uses")
        assert node is not None  # noqa: S101 - the job has it
        assert job.uses is not None  # noqa: S101 - the job has it
        caller = chain[-1] if chain else ""
        reference = within(caller, job.uses)
        if len(chain) >= self._nesting_max:
            message = f"workflows are called more than {self._nesting_max} levels deep"
            checked.report("WF046", node, message, because=_circle(chain, reference), help="call fewer levels")
            return
        called, root = self._load(reference, node, checked)
        if called is None or root is None:
            return
        if "workflow_call" not in called.on:
            message = f'the called workflow "{reference}" does not listen to workflow_call'
            checked.report("WF045", node, message, help='add "workflow_call:" under its "on:"')
            return
        declared = called.on["workflow_call"] or {}
        _check_inputs(declared.get("inputs") or {}, node, Fields(fields.node("with")), checked)
        if job.secrets != "inherit":
            _check_secrets(declared.get("secrets") or {}, node, Fields(fields.node("secrets")), checked)
        elif not same_owner(caller, reference, self._repository):
            _check_secrets(declared.get("secrets") or {}, node, Fields(None), checked)
        self._check_permissions(reference, called, key, checked, held)
        inner = Validator(reference, self._files[reference])
        self._follow(called, root, inner, granted(called.permissions, held), (*chain, reference))
        checked.found.extend(inner.found)

    def _load(self, reference: str, node: Node, checked: Validator) -> tuple[Workflow | None, Node | None]:
        if reference in self._cache:
            return self._cache[reference]
        if reference not in self._files:
            if self._unknown_repositories and remote(reference) is not None:
                return None, None
            checked.report("WF045", node, f'the called workflow "{reference}" cannot be found')
            return None, None
        if len(self._cache) >= CALLED_MAX:
            checked.report("WF046", node, f"more than {CALLED_MAX} different workflows are called")
            return None, None
        workflow, root, found = self._read(reference, self._files[reference])
        checked.found.extend(errors(found))
        self._cache[reference] = workflow, root
        return workflow, root

    def _check_permissions(self, reference: str, called: Workflow, key: Node, checked: Validator, held: Granted) -> None:
        if not held.limited:
            return
        own = requested(called.permissions)
        over = excess(own, held)
        if over:
            checked.report("WF047", key, f'the called workflow "{reference}" asks for {over}', because=held.describe(own), help=_RAISE)
            return
        for name, job in called.jobs.items():
            wanted = requested(job.permissions)
            over = excess(wanted, held)
            if over:
                message = f'the job "{name}" of the called workflow "{reference}" asks for {over}'
                checked.report("WF047", key, message, because=held.describe(wanted), help=_RAISE)


def _circle(chain: tuple[str, ...], reference: str) -> str | None:
    """The words for a file that is called again within its own call."""
    if reference not in chain:
        return None
    after = chain[chain.index(reference) + 1 :]
    between = after[: after.index(reference)] if reference in after else after
    return f"they call each other in a circle: {' -> '.join((reference, *between, reference))}"


_RAISE = 'give the calling job these "permissions:", or ask for less in the called workflow'


def _check_inputs(declared: Mapping[str, Any], node: Node, given: Fields, checked: Validator) -> None:
    names = {name.lower(): name for name in declared}
    present = set()
    for name, key, value in given:
        own = names.get(name.lower())
        if own is None:
            help_ = did_you_mean(name, declared)
            checked.report("WF045", value, f'the called workflow has no input "{key.value}"', help=help_)
            continue
        present.add(own)
        kind = declared[own].get("type", "string")
        if not _fits(kind, value):
            checked.report("WF045", value, f'the input "{own}" cannot be "{to_text(value.value)[:100]}"', because=f"its type is {kind}")
    for name, input_ in declared.items():
        if input_.get("required") and name not in present:
            checked.report("WF045", node, f'the called workflow requires the input "{name}"', help='add it under "with:"')


def _fits(kind: str, value: Node) -> bool:
    """Whether a literal can be an input of this type; any single value is a text."""
    if value.kind is Kind.EXPRESSION or kind == "string":
        return True
    return value.kind is (Kind.BOOLEAN if kind == "boolean" else Kind.NUMBER)


def _check_secrets(declared: Mapping[str, Any], node: Node, given: Fields, checked: Validator) -> None:
    names = {name.lower(): name for name in declared}
    present = set()
    for name, _, value in given:
        if name.lower() not in names:
            checked.report("WF045", value, f'the called workflow has no secret "{name}"', help=did_you_mean(name, declared))
        else:
            present.add(names[name.lower()])
    for name, secret in declared.items():
        if secret and secret.get("required") and name not in present:
            help_ = 'add it under "secrets:", or write "secrets: inherit"'
            checked.report("WF045", node, f'the called workflow requires the secret "{name}"', help=help_)
