"""What decides a step, in which order steps are run, and which of them a run refuses to plan."""

from uuid import UUID

import pytest

from domain.run.events import RunTriggered
from domain.workflow import contexts, plan, step_order, steps
from domain.workflow.evaluation import Evaluator
from domain.workflow.support import unsupported
from tests.domain.workflow.reading import CALL_JOB, accepted, job


@pytest.mark.parametrize(
    ("condition", "after_success", "after_failure", "when_cancelled"),
    [
        ("", True, False, False),
        ("success()", True, False, False),
        ("failure()", False, True, False),
        ("always()", True, True, True),
        ("cancelled()", False, False, True),
        ("!cancelled()", True, True, False),
        ("${{ failure() || cancelled() }}", False, True, True),
        ("true", True, False, False),
        ("false", False, False, False),
    ],
)
def test_a_step_runs_by_its_condition(condition, after_success, after_failure, when_cancelled):
    """A condition without a status function also asks for success."""
    assert steps.should_run(condition, job_failed=False) is after_success
    assert steps.should_run(condition, job_failed=True) is after_failure
    assert steps.should_run(condition, job_failed=True, cancelled=True) is when_cancelled


def test_a_condition_may_read_contexts():
    """They are passed in."""
    assert steps.should_run("steps.a.outputs.b == 'x'", job_failed=False, contexts={"steps": {"a": {"outputs": {"b": "X"}}}})


def test_a_failure_that_may_continue_concludes_as_success():
    """Nothing else is changed by continue-on-error."""
    assert steps.conclusion("failure", continue_on_error=True) == "success"
    assert steps.conclusion("failure", continue_on_error=False) == "failure"
    assert steps.conclusion("cancelled", continue_on_error=True) == "cancelled"
    assert steps.conclusion("skipped", continue_on_error=True) == "skipped"


def test_what_is_not_run_yet_is_told_with_its_place():
    """`read` accepts it, as GitHub does; planning a run refuses it."""
    text = job(
        "runs-on: x\ncontainer: node:20\nservices:\n  db: {image: postgres}\nsteps:\n  - uses: actions/checkout@v4\n"
        "  - name: N\n    uses: actions/setup-node@v4\n  - parallel:\n      - uses: docker://alpine"
    )
    assert [(each.code, each.line, each.column) for each in unsupported(accepted(text))] == [
        ("WF201", 5, 16),
        ("WF201", 7, 7),
        ("WF202", 11, 15),
        ("WF202", 13, 19),
    ]
    assert unsupported(accepted(CALL_JOB)) == []


def flat(*lines):
    """The steps of a job with these steps, in the order in which they are run."""
    return step_order.in_order(accepted(job("runs-on: x\nsteps:\n" + "\n".join(f"  - {line}" for line in lines))).jobs["build"].steps)


def test_a_parallel_group_is_its_steps_in_the_background_and_a_wait():
    """All are numbered anew, and the wait names the group's own steps."""
    steps_ = flat("run: a", "parallel: [{id: One, run: b}, {run: c}]", "run: d")
    assert [(each.index, each.id, each.background) for each in steps_] == [
        (0, "__run", False),
        (1, "One", True),
        (2, "__run_2", True),
        (3, "__parallel", False),
        (4, "__run_3", False),
    ]
    assert step_order.targets(steps_, steps_[3]) == (1, 2)
    assert step_order.in_order(steps_) == steps_


@pytest.mark.parametrize(
    ("lines", "last"),
    [
        (("{id: a, run: x, background: true}",), True),
        (("{run: x, background: true}", "wait-all:"), False),
        (("wait-all:", "{run: x, background: true}"), True),
        (("{id: a, run: x, background: true}", "wait: A"), False),
        (("{id: a, run: x, background: true}", "cancel: a"), False),
        (("{id: a, run: x, background: true}", "{id: b, run: x, background: true}", "wait: a"), True),
        (("run: x",), False),
    ],
)
def test_a_job_waits_in_the_end_for_what_nothing_waits_for(lines, last):
    """As a step of its own; targets are all background steps before it."""
    steps_ = flat(*lines)
    assert (steps_[-1].id == step_order.LAST_WAIT) is last
    if last:
        assert step_order.targets(steps_, steps_[-1]) == tuple(each.index for each in steps_ if each.background)


def test_what_waits_is_planned_with_whom_it_waits_for():
    """The names are GitHub's."""
    text = "runs-on: x\nsteps:\n  - {id: a, run: x, background: true}\n  - wait: a\n  - wait-all:\n  - cancel: a"
    found = plan.planned_steps(accepted(job(text)).jobs["build"], Evaluator({}))
    assert [(each.name, each.background, each.control, each.targets) for each in found] == [
        ("Run x", True, "", ()),
        ("Wait", False, "wait", (0,)),
        ("Wait for all", False, "wait-all", (0,)),
        ("Cancel", False, "cancel", (0,)),
    ]


def facts(**changes):
    known = {
        "repository": UUID(int=1),
        "repository_name": "octo/hello",
        "workflow": UUID(int=2),
        "workflow_path": ".github/workflows/ci.yml",
        "name": "CI",
        "number": 7,
        "event": "push",
        "ref": "refs/heads/feature/x",
        "sha": "a" * 40,
        "source": "",
        "source_url": "",
        "payload": "",
        "payload_bytes": 0,
        "request": "",
    }
    return RunTriggered(**{**known, **changes})


def test_the_github_context_is_what_github_documents():
    """From recorded facts; numbers are texts, as on GitHub."""
    found = contexts.github(facts(), run=UUID(int=3), run_attempt=2, actor="actor-1", payload={"a": 1})
    wanted = {
        "event": {"a": 1},
        "event_name": "push",
        "ref": "refs/heads/feature/x",
        "ref_name": "feature/x",
        "ref_type": "branch",
        "repository": "octo/hello",
        "repository_owner": "octo",
        "repositoryUrl": "git://github.com/octo/hello.git",
        "workflow": "CI",
        "workflow_ref": "octo/hello/.github/workflows/ci.yml@refs/heads/feature/x",
        "run_id": "00000000-0000-0000-0000-000000000003",
        "run_number": "7",
        "run_attempt": "2",
        "actor": "actor-1",
        "server_url": "https://github.com",
        "api_url": "https://api.github.com",
    }
    assert {name: found[name] for name in wanted} == wanted


def test_server_and_ids_come_from_the_payload_where_it_has_them():
    """Another server has its API below itself; a tag and a pull request have short names."""
    payload = {"repository": {"id": 5, "html_url": "https://git.example.org/octo/hello", "owner": {"id": 6}}}
    found = contexts.github(facts(ref="refs/tags/v1", name=""), run=UUID(int=3), run_attempt=1, actor="a", payload=payload)
    assert (found["server_url"], found["api_url"]) == ("https://git.example.org", "https://git.example.org/api/v3")
    assert (found["repository_id"], found["repository_owner_id"], found["ref_name"], found["ref_type"]) == ("5", "6", "v1", "tag")
    assert found["workflow"] == ".github/workflows/ci.yml"
    assert contexts.ref_name(facts(ref="refs/pull/4/merge")) == "4/merge"
