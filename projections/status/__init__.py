"""The status view: runs, jobs, attempts and steps as they stand, in GitHub's words.

status: "waiting" (not ready, not let in, or between two attempts), "pending" (a run that waits for its
concurrency group), "queued", "in_progress", "completed". conclusion, once completed:
"success", "failure", "cancelled", "skipped", "timed_out", "startup_failure"; of an attempt also "lost".
Nothing is decided here: every value comes from an event.
"""

from projections.status.attempts import ATTEMPTS, STEPS, AttemptRow, StepRow
from projections.status.jobs import JOBS, JobRow
from projections.status.run_attempts import RUN_ATTEMPTS, RunAttemptRow
from projections.status.runs import RUNS, RunRow
from projections.table import View

STATUS = View("status", (RUNS, RUN_ATTEMPTS, JOBS, ATTEMPTS, STEPS))

__all__ = ["ATTEMPTS", "JOBS", "RUNS", "RUN_ATTEMPTS", "STATUS", "STEPS", "AttemptRow", "JobRow", "RunAttemptRow", "RunRow", "StepRow"]
