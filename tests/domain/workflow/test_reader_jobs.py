"""Ids, needs, schedules, inputs and called workflows: what keys mean."""

import pytest

from domain.workflow.reader import read, released
from tests.domain.workflow.reading import JOB, accepted, job, places, refused

CALL = "on: push\njobs:\n  call:\n    uses: ./.github/workflows/called.yml\n"
CALLED = "on:\n  workflow_call:\n{}jobs:\n  inner:\n    runs-on: x\n    steps: [{{run: x}}]\n"


def needing(**needs: str) -> str:
    return "on: push\njobs:\n" + "".join(f"  {name}:\n    needs: [{each}]\n    runs-on: x\n" for name, each in needs.items())


def test_steps_without_an_id_get_githubs():
    """`__run`, owner and repository of an action, and a number where it is taken."""
    steps = "[{run: x}, {uses: actions/checkout@v4}, {run: y}, {uses: './a'}, {uses: 'docker://alpine:3'}, {id: mine, run: z}]"
    found = accepted(job(f"runs-on: x\nsteps: {steps}")).jobs["build"].steps
    assert [each.id for each in found] == ["__run", "__actions_checkout", "__run_2", "__self", "__alpine_3", "mine"]


@pytest.mark.parametrize("id_", ["-a", "1a", "a.b", "a b", "__a", "a" * 100])
def test_an_id_has_a_form(id_):
    """Of jobs and steps alike."""
    assert places(f"on: push\njobs:\n  '{id_}': {{runs-on: x}}\n") == [("WF030", 3, 3)]
    assert places(job(f"runs-on: x\nsteps: [{{run: x, id: '{id_}'}}]")) == [("WF030", 5, 26)]


def test_a_step_id_stands_once_in_a_job():
    """Compared without case; another job may have it."""
    assert places(job("runs-on: x\nsteps: [{run: x, id: a}, {run: x, id: A}]")) == [("WF031", 5, 43)]


def test_needs_may_be_one_name_or_many_in_any_case():
    """Needs get the spelling of the job's id."""
    workflow = accepted(
        "on: push\njobs:\n  Build: {runs-on: x}\n  b: {runs-on: x, needs: build}\n  c: {runs-on: x, needs: [b, BUILD, b]}\n"
    )
    assert [each.needs for each in workflow.jobs.values()] == [(), ("Build",), ("b", "Build")]


def test_an_unknown_need_is_reported_with_a_guess():
    """The place is the need itself."""
    found = refused("on: push\njobs:\n  build: {runs-on: x}\n  test: {runs-on: x, needs: [biuld]}\n")
    assert [(each.code, each.line, each.column, each.help) for each in found] == [("WF032", 4, 30, 'did you mean "build"?')]


def test_a_circle_of_needs_is_shown():
    """Each need that keeps a job from starting, with the circle."""
    found = refused("on: push\njobs:\n  a: {runs-on: x}\n" + needing(b="a, c", c="b", d="c").removeprefix("on: push\njobs:\n"))
    assert [(each.code, each.line) for each in found] == [("WF033", 5), ("WF033", 8), ("WF033", 11)]
    assert found[0].because == "the needs are a circle: c -> b -> c"


def test_some_job_must_be_able_to_start():
    """All jobs in a circle give one error at `jobs`."""
    assert places(needing(a="b", b="a")) == [("WF034", 3, 3)]


def test_a_matrix_of_more_than_256_jobs_is_refused_when_read():
    """As far as the file tells; excluded combinations do not count."""
    axes = "a: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17], b: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"
    assert places(job(f"runs-on: x\nstrategy: {{matrix: {{{axes}}}}}")) == [("WF100", 5, 24)]
    accepted(job(f"runs-on: x\nstrategy: {{matrix: {{{axes}, exclude: [{{a: 17}}]}}}}"))


@pytest.mark.parametrize("cron", ["0 0 * * *", "*/15 1-5,8 1 jan-mar MON", "30 5 * * 1,3", "0 0 1-31/2 * *"])
def test_a_schedule_is_five_fields_of_cron(cron):
    """Names, ranges, steps and lists."""
    workflow = accepted(f"on: {{schedule: [{{cron: '{cron}', timezone: Europe/Berlin}}]}}\n{JOB}")
    assert workflow.on["schedule"] == [{"cron": cron, "timezone": "Europe/Berlin"}]


@pytest.mark.parametrize(
    "cron",
    [
        "@daily",
        "0 0 * *",
        "60 0 * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 * 13 *",
        "0 0 * * 7",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "0 0 L * *",
        "1/2/3 * * * *",
    ],
)
def test_a_schedule_that_github_refuses_is_refused(cron):
    """With the field at fault."""
    assert places(f"on: {{schedule: [{{cron: '{cron}'}}]}}\n{JOB}") == [("WF043", 1, 24)]


@pytest.mark.parametrize(
    ("input_", "severity"),
    [
        ("{type: boolean, default: 'true'}", "error"),
        ("{type: string, default: true}", "error"),
        ("{type: number, default: many}", "error"),
        ("{type: choice}", "error"),
        ("{type: string, options: [a]}", "error"),
        ("{type: choice, options: [a], default: b}", "warning"),
    ],
)
def test_an_input_that_contradicts_itself_is_reported(input_, severity):
    """Default and options have to fit the type."""
    _, found = read("ci.yml", f"on: {{workflow_dispatch: {{inputs: {{x: {input_}}}}}}}\n{JOB}")
    assert [each.severity for each in found] == [severity]


FILTERS = f"on: {{push: {{branches: a, branches-ignore: b}}}}\n{JOB}"


def uses(reference):
    return f"on: push\njobs:\n a:\n  runs-on: x\n  steps: [{{uses: '{reference}'}}]\n"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        (FILTERS, "WF404", (1, 26)),
        *((uses(each), "WF053", (5, 18)) for each in ("foo", "foo@v1", "foo/bar", "foo/bar@", "foo/@v1", "a/b@c@d", "docker://", "../a")),
    ],
)
def test_what_only_githubs_server_refuses_is_an_error_of_files_that_shall_run(text, code, place):
    """Its parser reads two twin filters and any `uses`: so `read` warns, and with the options of a run it refuses."""
    workflow, found = read("ci.yml", text)
    assert workflow is not None
    assert [(each.code, each.severity, (each.line, each.column)) for each in found] == [(code, "warning", place)]
    workflow, found = read("ci.yml", text, None, released())
    assert workflow is None
    assert [(each.code, each.severity, (each.line, each.column)) for each in found] == [(code, "error", place)]


@pytest.mark.parametrize("reference", ["a/b@v1", "a/b/c/d@v1", "./a", "./", "$/a", "docker://alpine", "a/b@feature/x"])
def test_references_of_actions(reference):
    """All that GitHub's server takes."""
    assert read("ci.yml", uses(reference), None, released())[1] == []


def called(files: dict[str, str] | None, call: str = CALL, options: dict[str, object] | None = None):
    return [(each.code, each.file, each.line, each.column) for each in read("ci.yml", call, files, options)[1]]


def test_calls_are_followed_where_the_files_are_given():
    """Without files the call is only checked for its form."""
    path = "./.github/workflows/called.yml"
    assert called(None) == []
    assert called({}) == [("WF045", "ci.yml", 4, 11)]
    assert called({path: CALLED.format("")}) == []
    assert called({path: "on: push\n" + JOB}) == [("WF045", "ci.yml", 4, 11)]
    assert called({path: "on: workflow_call\njobs: {a: {}}\n"}) == [("WF016", path, 2, 11)]
    assert called(None, CALL.replace("./.github/workflows/called.yml", "nowhere")) == [("WF045", "ci.yml", 4, 11)]


@pytest.mark.parametrize(
    ("declared", "given", "wanted"),
    [
        ("    inputs: {a: {type: string, required: true}}\n", "", [4]),
        ("    inputs: {a: {type: string, required: true}}\n", "    with: {a: 1}\n", []),
        ("    inputs: {a: {type: number}}\n", "    with: {a: one}\n", [5]),
        ("    inputs: {a: {type: boolean}}\n", "    with: {A: true}\n", []),
        ("    inputs: {a: {type: boolean}}\n", "    with: {a: '${{ inputs.x }}'}\n", []),
        ("", "    with: {a: 1}\n", [5]),
        ("    secrets: {s: {required: true}}\n", "", [4]),
        ("    secrets: {s: {required: true}}\n", "    secrets: inherit\n", []),
        ("    secrets: {s: }\n", "    secrets: {t: x}\n", [5]),
    ],
)
def test_a_call_gives_what_the_called_workflow_declares(declared, given, wanted):
    """Inputs and secrets: required ones, undeclared ones, types."""
    files = {"./.github/workflows/called.yml": CALLED.format(declared)}
    assert [line for _, _, line, _ in called(files, CALL + given)] == wanted


@pytest.mark.parametrize(
    ("caller", "wanted", "refused_"),
    [
        ("permissions: {actions: read}\n", "permissions: {actions: write}\n", True),
        ("permissions: {actions: write}\n", "permissions: {actions: read}\n", False),
        ("permissions: write-all\n", "permissions: read-all\n", False),
        ("permissions: {}\n", "permissions: read-all\n", True),
        ("", "permissions: write-all\n", False),
    ],
)
def test_a_called_workflow_gets_no_more_than_its_caller_holds(caller, wanted, refused_):
    """The finding stands at the calling job."""
    files = {"./.github/workflows/called.yml": wanted + CALLED.format("")}
    assert bool(called(files, caller + CALL)) is refused_


def test_without_stated_permissions_the_policy_of_the_repository_counts():
    """`LimitedRead` gives contents and packages to read, and nothing else; without a policy nothing is too much."""
    files = {"./.github/workflows/called.yml": "permissions: {actions: read}\n" + CALLED.format("")}
    assert called(files, CALL, {"permissions-policy": "LimitedRead"}) == [("WF047", "ci.yml", 3, 3)]
    assert called(files, CALL) == []
    files = {"./.github/workflows/called.yml": "permissions: {contents: read}\n" + CALLED.format("")}
    assert called(files, CALL, {"permissions-policy": "LimitedRead"}) == []


def test_calls_are_bounded_in_depth_and_jobs():
    """A workflow that calls itself ends, and job limits count called jobs."""
    path = "./.github/workflows/called.yml"
    itself = "on: workflow_call\njobs:\n  again:\n    uses: ./.github/workflows/called.yml\n"
    assert ("WF046", path, 4, 11) in called({path: itself})
    assert called({path: CALLED.format("")}, CALL, {"max-job-limit": 1}) == [("WF048", "ci.yml", 1, 1)]
