"""Keys and values: what is not GitHub's is reported with place, a guess, and what would be right."""

import pytest

from domain.workflow.reader import read
from tests.domain.workflow.reading import JOB, accepted, job, places, refused, step


def test_a_small_workflow_is_read():
    """Names, events, steps and defaults arrive in the model."""
    workflow = accepted(f"name: CI\non: [push, pull_request]\n{JOB}")
    build = workflow.jobs["build"]
    assert (workflow.name, list(workflow.on)) == ("CI", ["push", "pull_request"])
    assert (build.runs_on, build.timeout_minutes, build.steps[0].run) == (("ubuntu-latest",), 360, "echo hi")
    assert (build.place.line, build.place.column) == (4, 3)


def test_an_unknown_key_is_named_with_a_guess():
    """The nearest key is offered; without a near one all valid keys are listed."""
    one = refused(job("run-on: x\nruns-on: x\nbanana: 1"))
    assert [(each.code, each.line, each.column) for each in one] == [("WF014", 4, 5), ("WF014", 6, 5)]
    assert one[0].help == 'did you mean "runs-on"?'
    assert "timeout-minutes" in str(one[1].help)


def test_a_key_twice_is_an_error_whatever_its_case():
    """Keys are compared without case."""
    assert places(f"on: push\nenv:\n  A: 1\n  a: 2\n{JOB}") == [("WF011", 4, 3)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{}\n", [("WF012", 1, 1), ("WF012", 1, 1)]),
        ("", [("WF008", 1, 1)]),
        ("- a\n", [("WF013", 1, 1)]),
        ("on: push\n", [("WF012", 1, 1)]),
        ("on: pushh\n" + JOB, [("WF015", 1, 5)]),
        ("on: {push: {branch: main}}\n" + JOB, [("WF014", 1, 13)]),
        ("on: {issues: {types: [opened, shut]}}\n" + JOB, [("WF015", 1, 31)]),
        ("on: push\npermissions: {contents: admin}\n" + JOB, [("WF015", 2, 25)]),
        ("on: push\npermissions: {file: read}\n" + JOB, [("WF014", 2, 15)]),
        ("on: push\nenv: production\n" + JOB, [("WF015", 2, 6)]),
        ("on: push\nenv: {A: [1]}\n" + JOB, [("WF013", 2, 10)]),
        ("on: push\njobs: {}\n", [("WF034", 2, 7)]),
        ("on: push\njobs: [a]\n", [("WF013", 2, 7)]),
        (job("steps: [{run: x}]"), [("WF012", 4, 5)]),
        (job("runs-on:"), [("WF015", 4, 13)]),
        (job("runs-on: x\nsteps: echo"), [("WF015", 5, 12)]),
        (job("runs-on: x\ntimeout-minutes: soon"), [("WF015", 5, 22)]),
        (job("runs-on: x\ncontinue-on-error: 'yes'"), [("WF015", 5, 24)]),
        (job("runs-on: x\nuses: ./.github/workflows/x.yml"), [("WF014", 5, 5)]),
        (step("name: only"), [("WF016", 6, 9)]),
        (step("shell: bash"), [("WF012", 6, 9)]),
        (step("run: x\nuses: a/b@c"), [("WF014", 7, 9)]),
        (step("uses: a/b@c\nwith: text"), [("WF015", 7, 15)]),
        (step("run:\nwait-all: false"), [("WF014", 7, 9)]),
        ("on: push\nconcurrency: {cancel-in-progress: true}\n" + JOB, [("WF012", 2, 14)]),
    ],
)
def test_wrong_keys_and_values_are_refused_at_their_place(text, wanted):
    """Each error has the place that GitHub names."""
    assert places(text) == wanted


def test_a_number_where_a_text_is_wanted_becomes_text_as_on_github():
    """`1.10` in env is the text 1.1, true is true, nothing is empty."""
    workflow = accepted("on: push\nenv: {A: 1.10, B: true, C: , D: 0x10}\n" + JOB)
    assert workflow.env == {"A": "1.1", "B": "true", "C": "", "D": "16"}


def test_merge_keys_are_refused_with_the_reason():
    """`<<` is an unknown key, and the reason is said."""
    found = refused("on: push\njobs:\n  a: &a\n    runs-on: x\n  b:\n    <<: *a\n    runs-on: x\n")
    assert found[0].because == "GitHub does not support YAML merge keys"


def test_all_step_keys_arrive_in_the_model():
    """A step keeps what it says; texts keep their expressions."""
    workflow = accepted(
        step(
            "name: N\nid: one\nif: always()\nrun: echo ${{ env.A }}\nshell: bash\nworking-directory: d\nenv: {A: 1}\n"
            "continue-on-error: true\ntimeout-minutes: 2"
        )
    )
    one = workflow.jobs["build"].steps[0]
    assert (one.name, one.id, one.condition, one.run, one.shell) == ("N", "one", "always()", "echo ${{ env.A }}", "bash")
    assert (one.working_directory, one.env, one.continue_on_error, one.timeout_minutes) == ("d", {"A": "1"}, True, 2)


def test_background_steps_are_read():
    """wait, wait-all, cancel and parallel arrive in the model."""
    workflow = accepted(
        job(
            "runs-on: x\nsteps:\n  - {id: a, run: serve, background: true}\n  - {id: b, run: x, background: true}\n"
            "  - wait: [a]\n  - cancel: b\n  - wait-all:\n  - parallel: [{run: x}, {uses: a/b@c}]"
        )
    )
    steps = workflow.jobs["build"].steps
    assert (steps[0].background, steps[2].wait, steps[3].cancel, steps[4].wait_all) == (True, ("a",), "b", True)
    assert [each.id for each in steps] == ["a", "b", "__wait", "__cancel", "__wait-all", "__parallel"]
    assert [each.id for each in steps[5].parallel] == ["__run", "__a_b"]


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ("[{wait: later}, {id: later, run: x}]", ("WF050", 5, 20)),
        ("[{parallel: [{run: x, background: true}]}]", ("WF051", 5, 34)),
        ("[{id: a, run: x}, {wait-all: false}]", ("WF015", 5, 41)),
    ],
)
def test_background_steps_that_make_no_sense_are_refused(steps, wanted):
    """Waiting for what is not there, background inside parallel, wait-all: false."""
    assert places(job(f"runs-on: x\nsteps: {steps}")) == [wanted]


def test_features_can_be_those_of_an_older_github():
    """With options that do not name background steps they are unknown keys."""
    workflow, found = read("ci.yml", step("run: x\nbackground: true"), None, {"experimental-features": {}})
    assert workflow is None
    assert [each.code for each in found] == ["WF014"]


def test_a_container_needs_an_image_unless_it_is_an_expression():
    """An image may come out of an expression later."""
    assert places(job("runs-on: x\ncontainer: {options: a}")) == [("WF041", 5, 16)]
    assert places(job("runs-on: x\nservices: {db: {options: a}}")) == [("WF041", 5, 20)]
    accepted(job("runs-on: x\ncontainer: {env: {A: '${{ matrix.x }}'}}"))


def test_a_runner_group_has_a_known_prefix_or_none():
    """organization/ and enterprise/ and their short forms."""
    accepted(job("runs-on: {group: org/fast, labels: [a, b]}"))
    assert places(job("runs-on: {group: team/fast}")) == [("WF042", 4, 22)]


def test_findings_end_at_a_hundred():
    """A file of errors is not read to its end."""
    assert len(refused("on: push\n" + "".join(f"key{n}: 1\n" for n in range(500)))) == 100


def test_a_schedule_has_a_time_zone_of_the_iana_database():
    """A misspelled one is refused with what it may have meant."""
    text = "on:\n  schedule:\n    - cron: '0 6 * * 1'\n      timezone: {}\n" + JOB
    for good in ("Europe/Berlin", "America/Argentina/Ushuaia", "UTC", "Etc/GMT+5"):
        assert accepted(text.format(good)).on["schedule"] == [{"cron": "0 6 * * 1", "timezone": good}]
    (fault,) = refused(text.format("Europe/Berln"))
    assert (fault.code, fault.line, fault.column, fault.help) == ("WF043", 4, 17, 'did you mean "Europe/Berlin"?')
    (fault,) = refused(text.format("Nowhere"))
    assert fault.help is not None
    assert "Europe/Berlin" in fault.help
