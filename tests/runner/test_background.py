"""Steps that run beside others: what runs at the same time, who sees what when, and how one of them is ended."""

from typing import Any
from uuid import uuid4

from runner_test_gateway import job, step

from domain.workflow.step_order import in_order
from runner import wire

MEET = "touch {0}; until test -e {1}; do sleep 0.05; done"
"""A script that ends only when another one runs at the same time. The sleep waits for another process."""


def in_background(index: int, run: str, name: str, **keys: Any) -> Any:
    """A background step."""
    return step(index, run, id=name, background=True, **keys)


def conclusions(bench: Any, message: Any) -> dict[int, str]:
    """How each step was concluded."""
    return {index: end.conclusion for index, end in sorted(bench.gateway.ends(message.job).items())}


def order(bench: Any, message: Any) -> list[str]:
    """The transitions as they were reported: +0 began, -0 ended."""
    return [("+" if isinstance(one, wire.StepStart) else "-") + str(one.index) for one in bench.gateway.transitions[message.job]]


def stdout(bench: Any, message: Any, index: int | None = None) -> list[str]:
    """What the steps printed, or one of them."""
    lines = bench.gateway.lines[message.job]
    return [line.text for line in lines if line.stream == "stdout" and index in (None, line.step)]


async def test_a_background_step_runs_beside_the_next_and_a_wait_ends_after_it(bench: Any) -> None:
    """Both steps see each other; each line names its own step; the server hears of the ends as they happen."""
    message = job(
        in_background(0, "echo one; " + MEET.format("a", "b") + "; echo two", "first"),
        MEET.format("b", "a") + "; echo beside",
        step(2, wait=("first",)),
    )
    report = await bench.run(message)
    assert report.conclusion == "success", bench.gateway.text(message.job)
    assert conclusions(bench, message) == {0: "success", 1: "success", 2: "success"}
    assert order(bench, message)[:2] == ["+0", "+1"]
    assert order(bench, message)[-1] == "-2"
    assert stdout(bench, message, 0) == ["one", "two"]
    assert stdout(bench, message, 1) == ["beside"]


async def test_what_a_background_step_leaves_is_seen_only_after_a_wait(bench: Any) -> None:
    """Outputs, outcome, GITHUB_ENV and GITHUB_PATH: all at once, whenever the step itself ended."""
    look = 'echo "[${{ steps.b.outputs.x }}${{ steps.b.outcome }}${V}${{ env.V }}]"; case $PATH in /opt/b:*) echo on-path;; esac'
    message = job(
        in_background(0, 'echo x=1 >> "$GITHUB_OUTPUT"; echo V=2 >> "$GITHUB_ENV"; echo /opt/b >> "$GITHUB_PATH"; touch done', "b"),
        "until test -e done; do sleep 0.05; done; sleep 0.3",  # the runner notes the end of the other step meanwhile
        look,
        step(3, wait=("B",)),
        look,
    )
    assert (await bench.run(message)).conclusion == "success"
    assert order(bench, message).index("-0") < order(bench, message).index("+2")
    assert stdout(bench, message) == ["[]", "[1success22]", "on-path"]


async def test_a_background_step_sees_what_stood_before_it(bench: Any) -> None:
    """Its contexts are those of its place in the file, whatever later steps change meanwhile."""
    message = job(
        'echo V=before >> "$GITHUB_ENV"',
        in_background(1, 'until test -e go; do sleep 0.05; done; echo "$V ${{ env.V }}"', "b"),
        'echo V=after >> "$GITHUB_ENV"',
        'echo "$V"; touch go',
        step(4, wait_all=True),
    )
    await bench.run(message)
    assert sorted(stdout(bench, message)) == ["after", "before before"]


async def test_a_failed_background_step_fails_the_job_at_the_wait(bench: Any) -> None:
    """Steps before the wait run on; the wait fails too, and so does everything that asks for success after it."""
    message = job(
        in_background(0, "touch failed; exit 3", "b"), "until test -e failed; do sleep 0.05; done", step(2, wait_all=True), "echo never",
        step(4, "echo cleanup", condition="always()"),
    )  # fmt: skip
    report = await bench.run(message)
    assert (report.conclusion, report.reason, report.failed_step) == ("failure", "step_failed", 0)
    assert conclusions(bench, message) == {0: "failure", 1: "success", 2: "failure", 3: "skipped", 4: "success"}
    assert stdout(bench, message) == ["cleanup"]


async def test_continue_on_error_of_the_step_spares_the_job_and_that_of_the_wait_only_the_steps_after_it(bench: Any) -> None:
    """As on GitHub: in the end every failed background step counts."""
    spared = job(in_background(0, "exit 1", "b", continue_on_error=True), step(1, wait=("b",)), "echo on ${{ steps.b.outcome }}")
    assert (await bench.run(spared)).conclusion == "success"
    assert stdout(bench, spared) == ["on failure"]
    late = job(in_background(0, "exit 1", "b"), step(1, wait=("b",), continue_on_error=True), "echo on")
    report = await bench.run(late)
    assert (report.conclusion, report.failed_step) == ("failure", 0)
    assert conclusions(bench, late) == {0: "failure", 1: "success", 2: "success"}


async def test_cancel_ends_one_background_step_with_all_it_started_and_nothing_else(bench: Any) -> None:
    """INT comes first; what the step left in other sessions goes too; its neighbour and the job live on."""
    server = "trap 'echo caught INT; exit 0' INT; setsid sleep 1000 & echo $! > child; touch up; wait"
    message = job(
        in_background(0, server, "server"),
        in_background(1, MEET.format("neighbour", "over") + "; echo neighbour lives", "neighbour"),
        "until test -e up -a -e neighbour; do sleep 0.05; done",
        step(3, cancel="server"),
        "kill -0 $(cat child) 2>/dev/null && echo child lives; touch over; echo ${{ steps.server.outcome }}",
        step(5, wait_all=True),
    )
    report = await bench.run(message)
    assert report.conclusion == "success", bench.gateway.text(message.job)
    assert conclusions(bench, message) == {0: "cancelled", 1: "success", 2: "success", 3: "success", 4: "success", 5: "cancelled"}
    assert sorted(stdout(bench, message)) == ["cancelled", "caught INT", "neighbour lives"]


async def test_a_cancelled_job_ends_its_background_steps(bench: Any) -> None:
    """Those that run are stopped, whatever their condition; what runs always comes after them."""
    message = job(
        in_background(0, "touch up; sleep 1000", "server", condition="always()"),
        "until test -e up; do sleep 0.05; done; echo up; sleep 1000",
        step(2, wait_all=True),
        step(3, "echo cleanup", condition="always()"),
    )
    async with bench.agent():
        await bench.gateway.put(message)
        await bench.gateway.until(lambda: "up" in bench.gateway.text(message.job, "stdout"))
        await bench.gateway.order(wire.Order(kind="cancel", order=uuid4(), job=message.job, attempt=1, epoch=1))
        report = await bench.gateway.ended(message.job)
    assert report.conclusion == "cancelled"
    assert conclusions(bench, message) == {0: "cancelled", 1: "cancelled", 2: "cancelled", 3: "success"}
    assert stdout(bench, message) == ["up", "cleanup"]


async def test_ten_background_steps_run_at_a_time_and_a_queued_one_can_be_cancelled(bench: Any) -> None:
    """The eleventh begins when another ends; the twelfth is cancelled before it began."""
    ten = [in_background(index, MEET.format(f"up{index}", "go"), f"b{index}") for index in range(10)]
    message = job(
        *ten,
        in_background(10, "echo eleventh", "eleventh"),
        in_background(11, "echo never", "twelfth"),
        step(12, cancel="twelfth"),
        "until test $(ls up* | wc -l) = 10; do sleep 0.05; done; touch go",
        step(14, wait_all=True),
    )
    report = await bench.run(message, 60)
    assert report.conclusion == "success", bench.gateway.text(message.job)
    assert stdout(bench, message) == ["eleventh"]
    seen = order(bench, message)
    assert "+11" not in seen
    assert seen.index("+13") < seen.index("+10")
    assert conclusions(bench, message)[11] == "cancelled"


async def test_a_background_step_has_its_own_time_limit(bench: Any) -> None:
    """It is a failure of that step."""
    message = job(in_background(0, "sleep 1000", "b", timeout_minutes=0.005), step(1, wait=("b",), continue_on_error=True), "echo on")
    report = await bench.run(message)
    assert (report.conclusion, report.failed_step) == ("failure", 0)
    assert "timeout" in report.message
    assert stdout(bench, message) == ["on"]


async def test_a_parallel_group_runs_together_and_is_waited_for(bench: Any) -> None:
    """And a job does not end before a background step that nobody waits for."""
    group = step(0, id="__parallel", parallel=(step(0, MEET.format("a", "b"), id="a"), step(1, MEET.format("b", "a"), id="b")))
    steps = in_order((group, step(1, "echo after"), in_background(2, "echo late", "late")))
    message = job(*steps)
    assert (await bench.run(message)).conclusion == "success"
    assert [each.name for each in steps[-1:]] == ["Wait for all background steps"]
    assert sorted(conclusions(bench, message)) == [0, 1, 2, 3, 4, 5]
    assert stdout(bench, message) == ["after", "late"]


async def test_what_a_finished_background_step_left_running_lives_until_the_job_ends(bench: Any) -> None:
    """Even when a later background step is cancelled in the same place."""
    message = job(
        in_background(0, "setsid sleep 1000 & echo $! > left", "first"),
        step(1, wait=("first",)),
        in_background(2, "touch up; sleep 1000", "second"),
        "until test -e up; do sleep 0.05; done",
        step(4, cancel="second"),
        "kill -0 $(cat left) && echo lives",
    )
    assert (await bench.run(message)).conclusion == "success"
    assert stdout(bench, message) == ["lives"]
