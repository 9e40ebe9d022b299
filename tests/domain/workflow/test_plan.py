"""Planning: the nodes of a file, and what each becomes once its needs are done."""

import pytest

from domain.retry import RetryPolicy
from domain.workflow import plan
from tests.domain.workflow.reading import accepted, job

NOTHING = {"github": {"ref": "refs/heads/main", "event_name": "push"}, "inputs": {}, "vars": {"SIZE": "big"}, "needs": {}}


def expanded(lines: str, contexts=NOTHING, **kwargs) -> plan.Expanded:
    found = plan.expand(accepted(job(lines)), "build", contexts, {}, **kwargs)
    assert isinstance(found, plan.Expanded), found
    return found


def broken(lines: str, contexts=NOTHING) -> tuple[str, int, int]:
    found = plan.expand(accepted(job(lines)), "build", contexts, {})
    assert isinstance(found, plan.Broken), found
    return found.diagnostic.code, found.diagnostic.line, found.diagnostic.column


def gated(condition: str, ancestors: dict[str, str], *, cancelled: bool = False):
    text = f"on: push\njobs:\n  a: {{runs-on: x}}\n  b: {{runs-on: x}}\n  c:\n    needs: [a, b]\n    if: {condition}\n    runs-on: x\n"
    needs = {name: {"result": result, "outputs": {}} for name, result in ancestors.items()}
    return plan.expand(accepted(text), "c", {**NOTHING, "needs": needs}, ancestors, cancelled=cancelled)


def test_nodes_come_in_an_order_in_which_they_can_start():
    """As near to the file's order as needs allow."""
    workflow = accepted(
        "on: push\njobs:\n  c: {needs: [a, b], runs-on: x, if: github.ref}\n  b: {needs: a, runs-on: x, strategy: {matrix: {v: [1]}}}\n"
        "  a: {name: First, runs-on: x}\n  d: {name: 'D ${{ github.ref }}', runs-on: x}\n"
    )
    assert [(node.key, node.name, node.needs, node.condition, node.matrix) for node in plan.nodes(workflow)] == [
        ("a", "First", (), "", False),
        ("d", "d", (), "", False),
        ("b", "b", ("a",), "", True),
        ("c", "c", ("a", "b"), "github.ref", False),
    ]
    assert [node.key for node in plan.nodes(workflow, ("b",))] == ["a", "b"]


def test_a_plain_job_becomes_one_instance():
    """With GitHub's defaults."""
    (one,) = expanded(
        "runs-on: [self-hosted, x]\nsteps: [{run: 'echo a\n\n\n       echo b'}, {name: N, uses: actions/checkout@v4}]"
    ).instances
    assert (one.instance, one.matrix, one.name, one.labels) == ("", {}, "build", ("self-hosted", "x"))
    assert (one.timeout_seconds, one.cancel_timeout_seconds, one.continue_on_error, one.retry) == (21600, 300, False, RetryPolicy())
    assert [(step.index, step.id, step.name) for step in one.steps] == [(0, "__run", "Run echo a"), (1, "__actions_checkout", "N")]


def test_a_matrix_becomes_an_instance_a_combination():
    """Name, labels, minutes and flags may read the matrix."""
    found = expanded(
        "strategy: {fail-fast: false, matrix: {os: [a, b], v: [1.5]}}\nruns-on: '${{ matrix.os }}'\n"
        "timeout-minutes: ${{ matrix.v }}\ncontinue-on-error: ${{ matrix.os == 'b' }}"
    )
    assert [(one.name, one.labels, one.timeout_seconds, one.continue_on_error) for one in found.instances] == [
        ("build (a, 1.5)", ("a",), 90, False),
        ("build (b, 1.5)", ("b",), 90, True),
    ]
    assert found.instances[0].instance == '{"os":"a","v":1.5}'
    assert found.fail_fast is False


def test_a_steps_limit_is_known_as_far_as_it_can_be_told_before():
    """What only the runner can evaluate, or has to refuse, is 0: no limit that the server could hold."""
    limits = (2, "${{ matrix.v }}", "${{ env.V }}", "${{ steps.a.outputs.v }}", "${{ matrix.none }}", 0, "1.0e300")
    steps = "".join(f"  - run: x\n    timeout-minutes: {limit}\n" for limit in limits)
    (one,) = expanded(f"runs-on: x\nstrategy: {{matrix: {{v: [1.5]}}}}\nsteps:\n  - run: x\n{steps}").instances
    assert [step.timeout_seconds for step in one.steps] == [0, 120, 90, 0, 0, 0, 0, 35 * 86400]


def test_no_limit_of_a_job_is_longer_than_a_run():
    """So no instant lies outside of what a calendar can tell."""
    assert expanded("runs-on: x\ntimeout-minutes: 1.0e300").instances[0].timeout_seconds == 35 * 86400


def test_a_name_with_an_expression_says_it_all():
    """A literal name gets the values behind it, an evaluated one does not."""
    matrix = "runs-on: x\nstrategy: {matrix: {os: [a]}}\nname: "
    assert expanded(matrix + "Test").instances[0].name == "Test (a)"
    assert expanded(matrix + "Test ${{ matrix.os }} ${{ strategy.job-total }}").instances[0].name == "Test a 1"
    assert expanded(matrix + "${{ inputs.none }}").instances[0].name == "build (a)"


def test_a_matrix_may_come_out_of_needs():
    """The whole matrix, one axis, or include; numbers keep one identity however they came about."""
    contexts = {**NOTHING, "needs": {"a": {"result": "success", "outputs": {"m": '{"v": [1, 2.0]}', "l": "[1, 2]"}}}}
    for written in ("${{ fromJSON(needs.a.outputs.m) }}", "{v: '${{ fromJSON(needs.a.outputs.l) }}'}"):
        found = expanded(
            f"runs-on: x\nstrategy: {{matrix: {written}}}" if written[0] == "{" else f"runs-on: x\nstrategy:\n  matrix: {written}", contexts
        )
        assert [one.instance for one in found.instances] == ['{"v":1}', '{"v":2}']


def test_a_strategy_may_be_one_expression():
    """With fail-fast and matrix inside."""
    contexts = {**NOTHING, "inputs": {"s": '{"fail-fast": false, "matrix": {"v": [1]}}'}}
    found = expanded("runs-on: x\nstrategy: ${{ fromJSON(inputs.s) }}", contexts)
    assert (found.fail_fast, [one.matrix for one in found.instances]) == (False, [{"v": 1}])


def test_a_matrix_can_be_narrowed():
    """`--matrix v:2`; axes that a job does not have do not count."""
    lines = "runs-on: x\nstrategy: {matrix: {os: [a, b], v: [1, 2]}}"
    assert [one.matrix for one in expanded(lines, matrix_filter={"v": ("2",), "other": ("x",)}).instances] == [
        {"os": "a", "v": 2},
        {"os": "b", "v": 2},
    ]
    assert isinstance(plan.expand(accepted(job(lines)), "build", NOTHING, {}, matrix_filter={"v": ("9",)}), plan.Skipped)


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("runs-on: x\nstrategy:\n  matrix: ${{ fromJSON('[]') }}", ("WF101", 6, 7)),
        ("runs-on: x\nstrategy: {matrix: {a: '${{ fromJSON(''[]'') }}'}}", ("WF101", 5, 15)),
        ("runs-on: x\nstrategy: {matrix: '${{ fromJSON(vars.SIZE) }}'}", ("WF102", 5, 15)),
        ("runs-on: ${{ vars.NONE }}", ("WF103", 4, 14)),
        ("runs-on: [x, '${{ vars.NONE }}']", ("WF103", 4, 14)),
        ("runs-on: x\ntimeout-minutes: ${{ vars.SIZE }}", ("WF104", 5, 22)),
        ("runs-on: x\ntimeout-minutes: 0", ("WF104", 5, 22)),
        ("runs-on: x\ncontinue-on-error: ${{ vars.SIZE }}", ("WF106", 3, 3)),
        ("runs-on: x\nenv: {LEDGERMILL_RETRY: often}", ("WF105", 5, 10)),
        ("runs-on: x\nif: fromJSON(vars.SIZE)", ("WF102", 5, 9)),
        ("runs-on: x\nstrategy: {max-parallel: '${{ vars.SIZE }}', matrix: {a: [1]}}", ("WF104", 5, 15)),
    ],
)
def test_what_cannot_be_planned_is_broken_with_a_place(lines, wanted):
    """Never an exception: the node fails, and the message names the key."""
    assert broken(lines) == wanted


@pytest.mark.parametrize(
    ("condition", "results", "runs"),
    [
        ("", "ss", True),
        ("", "sf", False),
        ("", "sk", False),
        ("", "sc", False),
        ("success()", "ss", True),
        ("failure()", "sf", True),
        ("failure()", "ss", False),
        ("failure()", "sk", False),
        ("always()", "fk", True),
        ("cancelled()", "fc", False),
        ("needs.a.result == 'success'", "ss", True),
        ("needs.a.result == 'success'", "sf", False),
        ("always() && needs.a.result == 'success'", "sf", True),
        ("success('a')", "sf", True),
        ("failure('a')", "sf", False),
        ("'${{ !cancelled() }}'", "ff", True),
        ("github.ref == 'refs/heads/dev'", "ss", False),
    ],
)
def test_the_condition_of_a_job_sees_the_results_before_it(condition, results, runs):
    """success() asks for success of all jobs before, and a skipped one is none."""
    words = {"s": "success", "f": "failure", "k": "skipped", "c": "cancelled"}
    found = gated(condition, {"a": words[results[0]], "b": words[results[1]]})
    assert isinstance(found, plan.Expanded) is runs


def test_a_cancelled_run_only_starts_what_asks_for_it():
    """always() and cancelled() run, success() and failure() do not."""
    done = {"a": "success", "b": "failure"}
    runs = [isinstance(gated(each, done, cancelled=True), plan.Expanded) for each in ("always()", "cancelled()", "success()", "failure()")]
    assert runs == [True, True, False, False]


def test_a_skip_says_why_with_values():
    """A need that did not succeed, or a condition with the value of each part."""
    by_needs = gated("needs.a.result == 'success'", {"a": "success", "b": "failure"})
    assert isinstance(by_needs, plan.Skipped)
    assert (by_needs.reason, by_needs.condition) == ("needs", "success() && (needs.a.result == 'success')")
    assert ("needs.b.result", '"failure"') in [(each.text, each.value) for each in by_needs.trace]
    by_condition = gated("github.ref == 'refs/heads/dev'", {"a": "success", "b": "success"})
    assert isinstance(by_condition, plan.Skipped)
    assert by_condition.reason == "condition"
    assert ("github.ref", '"refs/heads/main"') in [(each.text, each.value) for each in by_condition.trace]


def test_the_retry_policy_comes_from_the_jobs_env():
    """Written so that GitHub, which does not know it, runs the same file."""
    text = 'runs-on: x\nenv:\n  LEDGERMILL_RETRY: "max=5 on=lost,failed backoff=500ms cap=5m within=1h"'
    assert expanded(text).instances[0].retry == RetryPolicy(5, ("lost", "failed"), 0.5, 300, 3600)
    assert expanded("runs-on: x\nenv: {LEDGERMILL_RETRY: max=1}").instances[0].retry == RetryPolicy(attempts_max=1)


@pytest.mark.parametrize(
    "text", ["max=0", "max=many", "max=1 max=2", "on=never", "backoff=soon", "retries=3", "max", "cap=1y", "max=٣", "cap=36d"]
)
def test_a_retry_policy_that_says_nothing_is_refused(text):
    """Every word is checked."""
    assert broken(f'runs-on: x\nenv: {{LEDGERMILL_RETRY: "{text}"}}')[0] == "WF105"


def test_results_and_conclusions():
    """A failure that may continue counts as success; the worst result is the run's."""
    assert [plan.job_result(each, continue_on_error=True) for each in ("failure", "timed_out", "cancelled")] == [
        "success",
        "success",
        "cancelled",
    ]
    assert [plan.job_result(each, continue_on_error=False) for each in ("failure", "timed_out", "skipped")] == [
        "failure",
        "failure",
        "skipped",
    ]
    assert plan.run_conclusion(["success", "cancelled", "failure"]) == "failure"
    assert plan.run_conclusion(["success", "cancelled"]) == "cancelled"
    assert plan.run_conclusion(["success", "skipped"]) == "success"
    assert plan.run_conclusion(["skipped", "skipped"]) == "skipped"
