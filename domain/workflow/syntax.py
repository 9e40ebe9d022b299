"""The table of the workflow syntax: every key of workflow, job and step, its values, and the contexts that it can name.

It states GitHub's language (docs "Workflow syntax" and "Contexts: context availability"), nothing of how it is read. A
new key of GitHub is one more line here and, where it means something, one in the reader.
"""

from domain.workflow.shapes import (
    ANY_NUMBER,
    ANYTHING,
    BOOLEAN,
    NAME,
    NAME_OR_NAMES,
    NAMES,
    NULL,
    NUMBER,
    SCALAR,
    TEXT,
    Scope,
    Shape,
    constant,
    listed,
    mapping,
    one_of,
)
from domain.workflow.syntax_events import ON

_BASE = ("github", "inputs", "vars")
_STRATEGY = (*_BASE, "needs", "strategy", "matrix")
_HASH = ("hashFiles", 1, ANY_NUMBER)
WORKFLOW = Scope(_BASE)
WORKFLOW_ENV = Scope((*_BASE, "secrets"))
JOB_CONDITION = Scope((*_BASE, "needs"), (("always", 0, 0), ("cancelled", 0, 0), ("failure", 0, ANY_NUMBER), ("success", 0, ANY_NUMBER)))
NEEDS = Scope((*_BASE, "needs"))
JOB = Scope(_STRATEGY)
JOB_ENV = Scope((*_STRATEGY, "secrets"))
JOB_DEFAULTS = Scope((*_STRATEGY, "env"))
OUTPUT = Scope((*_STRATEGY, "secrets", "steps", "job", "runner", "env"))
ENVIRONMENT_URL = Scope((*_STRATEGY, "steps", "job", "runner", "env"))
STEP = Scope(OUTPUT.contexts, (_HASH,))
STEP_CONDITION = Scope(ENVIRONMENT_URL.contexts, (("always", 0, 0), ("cancelled", 0, 0), ("failure", 0, 0), ("success", 0, 0), _HASH))
CREDENTIALS = Scope((*_BASE, "secrets", "env"))

_LEVEL = constant("read", "write", "none")
_READ = constant("read", "none")
_WRITE = constant("write", "none")
_SCOPES_ANY = (
    "actions artifact-metadata attestations checks code-quality contents deployments discussions drives issues packages pages"
    " pull-requests repository-projects security-events statuses"
)
PERMISSION_LEVELS: dict[str, Shape] = {
    **dict.fromkeys(_SCOPES_ANY.split(), _LEVEL),
    "copilot-requests": _WRITE,
    "id-token": _WRITE,
    "models": _READ,
    "vulnerability-alerts": _READ,
}
_PERMISSIONS = one_of(mapping("permissions", PERMISSION_LEVELS), constant("read-all", "write-all"))

_CONCURRENCY_KEYS = mapping(
    "concurrency", {"group": NAME, "cancel-in-progress": BOOLEAN, "queue": constant("single", "max")}, required=["group"]
)
_DEFAULTS_RUN = mapping("run", {"shell": NAME, "working-directory": NAME})


def _environment(scope: Scope) -> Shape:
    return mapping("env", loose=TEXT).within(scope)


_CONTAINER_KEYS = {
    "image": NAME,
    "options": TEXT,
    "env": mapping("env", loose=TEXT.within(OUTPUT)),
    "ports": NAMES,
    "volumes": NAMES,
    "credentials": mapping("credentials", {"username": NAME, "password": NAME}).within(CREDENTIALS),
}
_CONTAINER = one_of(TEXT, mapping("container", _CONTAINER_KEYS), scope=JOB)
_SERVICE = one_of(NAME, mapping("service", {**_CONTAINER_KEYS, "entrypoint": TEXT, "command": TEXT}), scope=JOB)
_SERVICES = mapping("services", loose=_SERVICE).within(JOB)

_MATRIX_FILTER = listed(mapping("matrix entry", loose=ANYTHING))
_MATRIX = mapping("matrix", {"include": _MATRIX_FILTER, "exclude": _MATRIX_FILTER}, loose=listed(ANYTHING))
_STRATEGY_SHAPE = mapping("strategy", {"fail-fast": BOOLEAN, "max-parallel": NUMBER, "matrix": _MATRIX}).within(NEEDS)
_RUNS_ON = one_of(NAME, NAMES, mapping("runs-on", {"group": NAME, "labels": NAME_OR_NAMES}), scope=JOB)
_DEPLOYMENT = one_of(
    TEXT,
    mapping("environment", {"name": TEXT, "url": TEXT.within(ENVIRONMENT_URL), "deployment": BOOLEAN}, required=["name"]),
    scope=JOB,
)
_SNAPSHOT = one_of(
    NAME,
    mapping("snapshot", {"image-name": NAME, "if": Shape(text=True, condition=True, scope=JOB), "version": NAME}, required=["image-name"]),
)

_ANY_STEP = {"name": TEXT.within(STEP), "id": NAME, "continue-on-error": BOOLEAN.within(STEP)}
_WORK_STEP = {
    **_ANY_STEP,
    "if": Shape(text=True, condition=True, scope=STEP_CONDITION),
    "timeout-minutes": NUMBER.within(STEP),
    "env": _environment(STEP),
    "background": BOOLEAN,
}
_RUN_STEP = mapping("step", {**_WORK_STEP, "run": TEXT.within(STEP), "working-directory": TEXT.within(STEP), "shell": NAME}, ["run"])
_USES_STEP = mapping("step", {**_WORK_STEP, "uses": NAME, "with": mapping("with", loose=TEXT).within(STEP)}, ["uses"])
_WAIT_STEP = mapping("step", {**_ANY_STEP, "wait": NAME_OR_NAMES}, ["wait"])
_WAIT_ALL_STEP = mapping("step", {**_ANY_STEP, "wait-all": one_of(NULL, BOOLEAN)}, ["wait-all"])
_CANCEL_STEP = mapping("step", {**_ANY_STEP, "cancel": NAME}, ["cancel"])
BACKGROUND_KEYS = frozenset(("background", "wait", "wait-all", "cancel", "parallel"))


def _steps(*, background: bool) -> Shape:
    plain = [_RUN_STEP, _USES_STEP]
    if not background:
        return listed(one_of(*(_without_background(each) for each in plain)))
    steps = listed(one_of(*plain, _WAIT_STEP, _WAIT_ALL_STEP, _CANCEL_STEP))
    assert steps.item is not None  # noqa: S101 - a list has items
    parallel = mapping("step", {"parallel": steps}, ["parallel"])
    steps.item.mappings += parallel.mappings
    return steps


def _without_background(step: Shape) -> Shape:
    keys = step.mappings[0]
    return mapping(keys.title, {name: shape for name, shape in keys.keys.items() if name != "background"}, keys.required)


_ANY_JOB = {
    "name": TEXT.within(JOB),
    "needs": NAME_OR_NAMES,
    "if": Shape(text=True, condition=True, scope=JOB_CONDITION),
    "permissions": _PERMISSIONS,
    "concurrency": one_of(NAME, _CONCURRENCY_KEYS, scope=JOB),
    "strategy": _STRATEGY_SHAPE,
}
_CALL_JOB = mapping(
    "job",
    {
        **_ANY_JOB,
        "uses": NAME,
        "with": mapping("with", loose=SCALAR.within(JOB)),
        "secrets": one_of(constant("inherit"), mapping("secrets", loose=SCALAR.within(JOB_ENV))),
    },
    required=["uses"],
)


def _job(*, background: bool) -> Shape:
    own = mapping(
        "job",
        {
            **_ANY_JOB,
            "runs-on": _RUNS_ON,
            "timeout-minutes": NUMBER.within(JOB),
            "cancel-timeout-minutes": NUMBER.within(JOB),
            "continue-on-error": BOOLEAN.within(JOB),
            "container": _CONTAINER,
            "services": _SERVICES,
            "env": _environment(JOB_ENV),
            "environment": _DEPLOYMENT,
            "outputs": mapping("outputs", loose=TEXT.within(OUTPUT)),
            "defaults": mapping("defaults", {"run": _DEFAULTS_RUN.within(JOB_DEFAULTS)}),
            "steps": _steps(background=background),
            "snapshot": _SNAPSHOT,
        },
        required=["runs-on"],
    )
    return one_of(own, _CALL_JOB)


def _root(*, background: bool) -> Shape:
    return mapping(
        "workflow",
        {
            "on": ON,
            "name": TEXT,
            "run-name": TEXT.within(WORKFLOW),
            "defaults": mapping("defaults", {"run": _DEFAULTS_RUN}),
            "env": _environment(WORKFLOW_ENV),
            "permissions": _PERMISSIONS,
            "concurrency": one_of(TEXT, _CONCURRENCY_KEYS, scope=WORKFLOW),
            "jobs": mapping("jobs", loose=_job(background=background)),
        },
        required=["on", "jobs"],
    )


ROOT = _root(background=True)
ROOT_WITHOUT_BACKGROUND = _root(background=False)
