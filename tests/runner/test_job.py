"""Jobs from lease to report, as the gateway sees them."""

import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from runner_test_gateway import job, step

from domain.workflow.model import Defaults


def conclusions(bench: Any, message: Any) -> list[str]:
    """How the steps of a job were concluded."""
    return [end.conclusion for end in bench.gateway.ends(message.job).values()]


def stdout(bench: Any, message: Any) -> list[str]:
    """What the steps of a job printed."""
    return list(bench.gateway.text(message.job, "stdout").split("\n"))


async def test_a_job_with_two_steps_succeeds(bench: Any) -> None:
    """Steps run in order, their lines arrive, the report says success."""
    message = job("echo one", "echo two >&2")
    report = await bench.run(message)
    assert report.conclusion == "success"
    assert conclusions(bench, message) == ["success", "success"]
    assert stdout(bench, message) == ["one"]
    assert bench.gateway.text(message.job, "stderr") == "two"


async def test_a_failing_step_skips_the_rest_and_fails_the_job(bench: Any) -> None:
    """Exit code, failed step and message are reported; always() and failure() still run."""
    message = job(
        "echo fine", "exit 3", "echo never", step(3, "echo cleanup", condition="always()"), step(4, "echo why", condition="failure()")
    )
    report = await bench.run(message)
    assert (report.conclusion, report.reason, report.failed_step) == ("failure", "step_failed", 1)
    assert "exit code 3" in report.message
    assert conclusions(bench, message) == ["success", "failure", "skipped", "success", "success"]
    assert bench.gateway.ends(message.job)[1].exit_code == 3
    assert stdout(bench, message) == ["fine", "cleanup", "why"]


async def test_continue_on_error_keeps_the_outcome_and_changes_the_conclusion(bench: Any) -> None:
    """The step failed, the job did not; later steps see both words."""
    message = job(
        step(0, "exit 1", id="shaky", continue_on_error=True),
        "echo '${{ steps.shaky.outcome }} ${{ steps.shaky.conclusion }}'",
        step(2, "exit 1", continue_on_error="${{ 1 == 1 }}"),
    )
    report = await bench.run(message)
    assert report.conclusion == "success"
    first = bench.gateway.ends(message.job)[0]
    assert (first.outcome, first.conclusion) == ("failure", "success")
    assert stdout(bench, message) == ["failure success"]


async def test_transitions_are_batched_and_an_end_is_acknowledged_before_the_next_start(bench: Any) -> None:
    """The end of a step and the start of the next are one batch; what was skipped goes with them."""
    message = job("true", step(1, "true", condition="false"), "true")
    await bench.run(message)
    kinds = [(type(one).__name__, one.index) for one in bench.gateway.transitions[message.job]]
    assert kinds == [("StepStart", 0), ("StepEnd", 0), ("StepEnd", 1), ("StepStart", 2), ("StepEnd", 2)]
    assert bench.gateway.batches[message.job] == [1, 3, 1]


async def test_env_of_the_step_wins_over_the_job_over_the_workflow(bench: Any) -> None:
    """And what a step wrote to GITHUB_ENV wins over the job, but not over the next step's own env."""
    message = job(
        'echo "$A $B $C"',
        step(1, 'echo "$A $B $C"', env={"C": "step", "B": "${{ env.B }}+step"}),
        'echo "A=exported" >> "$GITHUB_ENV"; echo "C=exported" >> "$GITHUB_ENV"',
        step(3, 'echo "$A $B $C ${{ env.A }}"', env={"C": "step"}),
        workflow_env={"A": "workflow", "B": "workflow", "C": "workflow"},
        env={"B": "job", "C": "job ${{ github.event_name }}"},
    )
    await bench.run(message)
    assert stdout(bench, message) == ["workflow job job push", "workflow job+step step", "exported job step exported"]


async def test_github_and_runner_variables_are_there_and_cannot_be_changed(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """GITHUB_*, RUNNER_* and CI as on GitHub; nothing of the agent's own comes through."""
    monkeypatch.setenv("LEDGERMILL_TOKEN", "agent")
    monkeypatch.setenv("PYTHONPATH", "agent")
    message = job(
        step(0, "echo 'GITHUB_SHA=other' >> \"$GITHUB_ENV\"", env={"GITHUB_REPOSITORY": "other"}),
        step(
            1,
            'echo "$CI $GITHUB_ACTIONS $GITHUB_REPOSITORY $GITHUB_EVENT_NAME $RUNNER_OS ${#GITHUB_SHA} [$LEDGERMILL_TOKEN$PYTHONPATH]"\n'
            'test "$PWD" = "$GITHUB_WORKSPACE" && test -d "$RUNNER_TEMP" && cat "$GITHUB_EVENT_PATH"',
            id="named",
        ),
    )
    report = await bench.run(message)
    assert report.conclusion == "success", bench.gateway.text(message.job)
    assert stdout(bench, message) == ["true true acme/pay push Linux 40 []", '{"n":1}']


@pytest.mark.parametrize(
    ("shell", "script", "says"),
    [
        ("bash", "false | true; echo not reached", None),
        (None, "false | true; echo went on", "went on"),
        (None, "[[ a == a ]] && echo bash", "bash"),
        ("sh", "echo sh; false; echo not reached", None),
        ("python", "import sys\nprint('python', sys.argv[0].endswith('.py'))", "python True"),
        ("bash {0} --flag", 'echo "template $1"', "template --flag"),
        ("perl {0}", 'print "perl\\n";', "perl"),
        ("sh {0}", "false; echo no -e", "no -e"),
    ],
)
async def test_each_shell_runs_scripts_in_its_own_way(bench: Any, shell: str | None, script: str, says: str | None) -> None:
    """bash, sh, python, templates, and the default without `shell:`."""
    message = job(step(0, script, shell=shell))
    report = await bench.run(message)
    assert report.conclusion == ("failure" if says is None else "success"), bench.gateway.text(message.job)
    if says is not None:
        assert stdout(bench, message)[-1] == says
    assert "not reached" not in stdout(bench, message)


async def test_a_shell_that_is_not_there_is_named(bench: Any) -> None:
    """The step fails with the program and the PATH, not with a stack trace."""
    message = job(step(0, "echo", shell="no-such-shell {0}"))
    report = await bench.run(message)
    assert report.conclusion == "failure"
    assert "no-such-shell: not found on the PATH" in report.message


async def test_defaults_give_shell_and_working_directory(bench: Any) -> None:
    """Those of the job win over those of the workflow, a step's own over both."""
    message = job(
        step(0, "mkdir -p sub/deep", working_directory="."),
        "import os; print(os.path.basename(os.getcwd()))",
        step(2, 'basename "$PWD"', shell="sh", working_directory="sub/deep"),
        step(3, "echo", working_directory="missing"),
        defaults=Defaults(working_directory="sub"),
        workflow_defaults=Defaults(shell="python", working_directory="nowhere"),
    )
    message = job(
        step(0, "mkdir -p sub/deep", working_directory=".", shell="bash"),
        *message.definition.steps[1:],
        defaults=Defaults(working_directory="${{ 'sub' }}"),
        workflow_defaults=Defaults(shell="python", working_directory="nowhere"),
    )
    report = await bench.run(message)
    assert stdout(bench, message) == ["sub", "deep"]
    assert report.failed_step == 3
    assert "missing is not there" in report.message


async def test_outputs_go_from_step_to_step_and_to_the_job(bench: Any) -> None:
    """By file and by command; only digests of step outputs are reported."""
    message = job(
        step(
            0, 'echo "a=1" >> "$GITHUB_OUTPUT"; echo "::set-output name=b::2"; printf "c<<E\\nx\\ny\\nE\\n" >> "$GITHUB_OUTPUT"', id="make"
        ),
        "echo '${{ steps.make.outputs.a }}${{ steps.make.outputs.b }}'",
        outputs={
            "sum": "${{ steps.make.outputs.a }}-${{ steps.make.outputs.b }}",
            "text": "${{ steps.make.outputs.c }}",
            "none": "${{ steps.x.outputs.y }}",
        },
    )
    report = await bench.run(message)
    assert stdout(bench, message) == ["12"]
    assert report.outputs == {"sum": "1-2", "text": "x\ny"}
    assert set(bench.gateway.ends(message.job)[0].outputs) == {"a", "b", "c"}
    assert all(len(digest) == 64 for digest in bench.gateway.ends(message.job)[0].outputs.values())


async def test_an_output_that_holds_a_secret_is_dropped(bench: Any) -> None:
    """The job goes on, the output is empty, the log says why and does not show the value."""
    message = job(
        step(
            0,
            'echo "leak=x${TOKEN}x" >> "$GITHUB_OUTPUT"; echo "fine=1" >> "$GITHUB_OUTPUT"; echo "got $TOKEN"',
            id="s",
            env={"TOKEN": "${{ secrets.TOKEN }}"},
        ),
        outputs={"leak": "${{ steps.s.outputs.leak }}", "fine": "${{ steps.s.outputs.fine }}"},
        secrets={"TOKEN": "hunter2hunter2"},
    )
    report = await bench.run(message)
    assert report.outputs == {"fine": "1"}
    log = bench.gateway.text(message.job)
    assert "hunter2" not in log
    assert "got ***" in log
    assert "Skip output 'leak'" in log


async def test_paths_and_state_of_file_commands(bench: Any) -> None:
    """GITHUB_PATH is prepended for later steps, the last line first; a bad file fails the step."""
    message = job(
        "mkdir one two\nfor n in one two; do\n"
        'printf "#!/bin/sh\\necho $n\\n" > $n/tool; chmod +x $n/tool; echo "$PWD/$n" >> "$GITHUB_PATH"\ndone',
        "tool",
        'echo "no format" >> "$GITHUB_OUTPUT"',
        step(3, 'echo "NODE_OPTIONS=x" >> "$GITHUB_ENV"', condition="always()"),
    )
    report = await bench.run(message)
    assert stdout(bench, message) == ["two"]
    assert conclusions(bench, message) == ["success", "success", "failure", "failure"]
    assert report.failed_step == 2
    assert "Unable to process file command 'output'" in bench.gateway.text(message.job)


async def test_a_summary_is_not_kept_and_the_log_says_so(bench: Any) -> None:
    """Nobody looks for a summary that this version drops."""
    message = job('echo "# done" >> "$GITHUB_STEP_SUMMARY"')
    await bench.run(message)
    assert "$GITHUB_STEP_SUMMARY holds 7 bytes; this version keeps no summaries." in bench.gateway.text(message.job, "system")


async def test_masks_count_from_the_line_that_adds_them(bench: Any) -> None:
    """A value is hidden from then on, in later steps and in stderr too; the command itself is not shown."""
    message = job("echo before s3cr3tvalue; echo '::add-mask::s3cr3tvalue'; echo after s3cr3tvalue", "echo again s3cr3tvalue >&2")
    await bench.run(message)
    assert stdout(bench, message) == ["before s3cr3tvalue", "after ***"]
    assert bench.gateway.text(message.job, "stderr") == "again ***"


async def test_a_step_timeout_ends_the_step_and_fails_the_job(bench: Any) -> None:
    """The whole tree is stopped; always() still runs."""
    message = job(step(0, "sleep 300 & sleep 300", timeout_minutes=0.005), step(1, "echo still", condition="always()"))
    report = await bench.run(message)
    assert report.conclusion == "failure"
    assert "timeout of 0.005 minutes" in report.message
    assert stdout(bench, message) == ["still"]


async def test_the_job_timeout_is_enforced_by_the_runner_too(bench: Any) -> None:
    """Conclusion timed_out; a step with always() may clean up."""
    message = job("sleep 300", step(1, "echo cleanup", condition="always()"), "echo never", timeout_seconds=0.4)
    report = await bench.run(message)
    assert (report.conclusion, report.reason) == ("timed_out", "job_timeout")
    assert conclusions(bench, message) == ["cancelled", "success", "skipped"]


async def test_conditions_see_the_contexts(bench: Any) -> None:
    """matrix, needs, inputs, vars, strategy, runner and job.status."""
    message = job(
        step(
            0,
            "echo all",
            condition="matrix.os == 'linux' && needs.a.outputs.x == '1' && inputs.go && vars.V == 'v' && runner.os == 'Linux'",
        ),
        step(1, "echo none", condition="matrix.os == 'mac'"),
        "echo ${{ strategy.job-index }} ${{ job.status }} ${{ hashFiles('none') }}",
        matrix={"os": "linux"},
        needs={"a": {"result": "success", "outputs": {"x": "1"}}},
        inputs={"go": True},
        vars={"V": "v"},
        strategy={"job-index": 0},
    )
    report = await bench.run(message)
    assert report.conclusion == "success"
    assert stdout(bench, message) == ["all", "0 success"]


async def test_a_condition_that_cannot_be_evaluated_fails_its_step(bench: Any) -> None:
    """The message is the language's, with the place."""
    message = job(step(0, "echo", condition="nothing.here == 1"))
    report = await bench.run(message)
    assert report.conclusion == "failure"
    assert "Unrecognized named-value: 'nothing'" in report.message


async def test_an_action_other_than_checkout_fails_clearly(bench: Any) -> None:
    """The planner refuses it; should it arrive, the step says so."""
    message = job(step(0, None, uses="actions/setup-node@v4"))
    report = await bench.run(message)
    assert "actions/setup-node@v4 cannot run here" in report.message


async def test_nothing_is_left_behind(bench: Any) -> None:
    """No file of the job, also not read-only ones; no process, also not one that left its session."""
    message = job(
        'mkdir ro; touch ro/x; chmod 500 ro; ln -s / root; echo x > "$RUNNER_TEMP/f"',
        "setsid sleep 300 & (setsid sh -c 'trap \"\" TERM INT HUP; sleep 300 & sleep 300' &) ; echo $! started",
    )
    async with bench.agent():
        await bench.gateway.put(message)
        await bench.gateway.ended(message.job)
        await bench.gateway.until(lambda: bench.gateway.polls[-1].jobs == () and bench.gateway.polls[-1].free_slots == 1)
        mark = f"RUNNER_TEMP={bench.work}".encode()
        left = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and mark in environ(entry)]
        assert left == []
        assert list((bench.work / "jobs").iterdir()) == []


def environ(entry: Path) -> bytes:
    """The environment of a process, empty for one that is gone."""
    try:
        return (entry / "environ").read_bytes()
    except OSError:
        return b""


async def test_a_background_process_lives_until_the_end_of_the_job(bench: Any) -> None:
    """A server that one step starts is there in the next, though it holds the first one's pipes."""
    message = job(
        f"'{sys.executable}' -c 'import time; time.sleep(300)' & echo $! > pid",
        'kill -0 "$(cat pid)" && echo alive',
    )
    report = await bench.run(message)
    assert report.conclusion == "success"
    assert stdout(bench, message) == ["alive"]


async def test_a_workspace_that_cannot_be_made_is_a_setup_failure(bench: Any) -> None:
    """The runner's own trouble is reported as such."""
    bench.work.mkdir()
    (bench.work / "jobs").write_text("in the way")
    message = job("echo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runner.workspace.sweep", lambda _work: [])
        report = await bench.run(message)
    assert (report.conclusion, report.reason) == ("failure", "setup_failed")


async def test_the_effect_key_does_not_depend_on_the_attempt(bench: Any) -> None:
    """The same step of the same run has one key in every attempt, and another with other inputs."""
    keys = []
    for attempt, value in ((1, "x"), (2, "x"), (3, "y")):
        message = job("echo ${{ inputs.v }}", inputs={"v": value}, run=UUID(int=1), attempt=attempt)
        await bench.run(message)
        keys.append(bench.gateway.ends(message.job)[0].effect)
    assert keys[0] == keys[1] != keys[2]
    assert all(len(key) == 64 for key in keys)
