"""How an attempt ended, and its report: conclusion, reason, outputs, and every line of the log before it.

The report is the last word of a lease, so it goes out only when the gateway has all lines; a gateway that lost some says
so, gets them again and is asked again. It must never carry an output that holds a secret.
"""

from typing import Literal

import msgspec

from runner import wire
from runner.effects import result_digest
from runner.evaluation import EvaluationError
from runner.job_state import JobState
from runner.logs import LogSpool
from runner.problems import Rejected
from runner.report import Reporter

OUTPUTS_BYTES_MAX = 1024 * 1024
SETUP = -1
REPEATS_MAX = 5
"""How often lines are sent again to a gateway that says it misses some; after that the lease decides."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome as it is reported; message is masked, and what is about a failure is empty after a success."""

    conclusion: Literal["success", "failure", "cancelled", "timed_out"]
    reason: str = ""
    failed_step: int | None = None
    message: str = ""
    outputs: dict[str, str] = {}


def of(job: JobState | None, *, failure: str, reason: str, failed_step: int | None) -> Ending:
    """The ending that a job's state comes to; None for a job that could not even be set up."""
    if job is None:
        return Ending(conclusion="failure", reason=reason, failed_step=failed_step, message=failure)
    found = outputs_of(job)
    size = sum(len(name) + len(value.encode("utf-8", "surrogateescape")) for name, value in found.items())
    if size > OUTPUTS_BYTES_MAX:
        failure = f"the job's outputs hold {size} bytes, and at most {OUTPUTS_BYTES_MAX} are kept"
        job.log(SETUP, f"##[error]{failure}")
        return Ending(conclusion="failure", reason="output_too_large", failed_step=failed_step, message=failure)
    if job.cancellation.asked.is_set() and reason != "setup_failed":
        message = job.masker.mask(failure)
        if job.cancellation.timed_out:
            return Ending(conclusion="timed_out", reason="job_timeout", failed_step=failed_step, message=message, outputs=found)
        return Ending(conclusion="cancelled", reason=reason, failed_step=failed_step, message=message, outputs=found)
    if job.contexts.status == "success":
        return Ending(conclusion="success", outputs=found)
    return Ending(conclusion="failure", reason=reason, failed_step=failed_step, message=job.masker.mask(failure), outputs=found)


def outputs_of(job: JobState) -> dict[str, str]:
    """The job's outputs, without those that would give a secret away."""
    found: dict[str, str] = {}
    for name, written in job.message.definition.outputs.items():
        try:
            value = job.contexts.text(f"outputs.{name}", written)
        except EvaluationError as error:
            job.log(SETUP, f"##[warning]{error}")
            continue
        if job.masker.mask(value) != value:
            job.log(SETUP, f"##[warning]Skip output '{name}' since it may contain secret.")
        elif value:
            found[name] = value
    return found


def given_up(reporter: Reporter, spool: LogSpool) -> wire.Complete:
    """The report of an attempt that the runner itself could not end: as of a runner that goes away, its job may be had by another."""
    complete = wire.Complete(**reporter.fence, conclusion="cancelled", reason="runner_stopped", last_line=spool.received_through, result="")
    return msgspec.structs.replace(complete, result=result_digest(complete))


async def report(ended: Ending, reporter: Reporter, spool: LogSpool) -> str:
    """Send the lines that are left, then the outcome; returns the conclusion that stands. Raises LeaseLost, Rejected."""
    complete = wire.Complete(
        **reporter.fence,
        conclusion=ended.conclusion,
        reason=ended.reason,
        failed_step=ended.failed_step,
        message=ended.message,
        outputs=ended.outputs,
        last_line=spool.last_line,
        result="",
    )
    complete = msgspec.structs.replace(complete, result=result_digest(complete))
    spool.write()
    reporter.note_outcome(complete)
    await spool.flush()
    for _ in range(REPEATS_MAX):
        try:
            return (await reporter.complete(complete)).conclusion
        except Rejected as error:
            if error.problem.code != "logs_missing":
                raise
            spool.send_again()
            await spool.flush()
    return (await reporter.complete(complete)).conclusion
