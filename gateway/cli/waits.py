"""Says why a followed job waits, when no runner will take it as things are: waiting must never be silent.

That all runners are busy is no news; that none has the labels, or none is there, is.
"""

import time
from collections.abc import Iterator

from gateway.cli.board import JobView
from gateway.cli.client import Client
from gateway.cli.errors import CliError

PATIENCE_SECONDS = 3
"""A job may wait so long before anybody is asked for the reason, and again between two questions."""


class Waits:
    """The queued jobs of the followed runs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._queued: dict[str, JobView] = {}
        self._ask_at = 0.0

    def event(self, job: JobView, kind: str) -> None:
        """An event of a job was folded into the board."""
        if kind == "JobQueued":
            self._queued[job.id] = job
            self._ask_at = time.monotonic() + PATIENCE_SECONDS
        else:
            self._queued.pop(job.id, None)

    def overdue(self) -> Iterator[str]:
        """A line for each job that waits for a runner that is not there; once for each job."""
        if not self._queued or time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + PATIENCE_SECONDS
        try:
            lanes = self._client.get("/queue")["items"]
        except CliError:  # the streams will say so if the server is gone
            return
        for lane in lanes:
            if lane["reason"].startswith("no runner"):
                for identity in lane["jobs"]:
                    job = self._queued.pop(identity, None)
                    if job is not None:
                        yield f"{job.label} waits: {lane['reason']}"
