"""What listens to the runs of this verb (`workflow_run`) runs on its stack, too, before it ends.

Such a run starts in a commit of its own, shortly after the one that it follows has ended. Its id is derived, so the verb
knows what to wait for.
"""

import time
from typing import TYPE_CHECKING, Any

from domain.access import FIRST_TENANT
from domain.run import followers
from domain.run.events import Follower
from gateway.cli.errors import CliError

if TYPE_CHECKING:
    from gateway.cli.board import Board
    from gateway.cli.client import Client
    from gateway.cli.planning import Plan

Json = dict[str, Any]
PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.05


class Following:
    """Finds the followers of runs that are over, each once."""

    def __init__(self, client: "Client", plan: "Plan") -> None:
        self._client = client
        self._plan = plan
        self._levels: dict[str, int] = {}
        self._looked: set[str] = set()

    def of(self, board: "Board") -> list[Json]:
        """The runs that listen to those of the board and are not on it yet."""
        found = []
        for identity, run in board.runs.items():
            level = self._levels.setdefault(identity, 0)
            if identity in self._looked or run.conclusion is None or level >= followers.CHAIN_MAX:
                continue
            self._looked.add(identity)
            for expected in self._expected(identity, run.path):
                there = self._wait(expected)
                if there is not None:
                    self._levels[expected] = level + 1
                    found.append(there)
        return found

    def _expected(self, identity: str, path: str) -> list[str]:
        request, known = self._plan.request, self._plan.following
        name = (self._plan.listening | known)[path].name or path
        listeners = [(Follower(each, "", ""), workflow) for each, workflow in known.items() if followers.EVENT in workflow.on]
        branch = request.head_ref or request.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        about = {"name": name, "head_branch": branch, "run_attempt": 1}
        events = [{"action": action, "workflow_run": about} for action in ("requested", "completed")]
        return [str(run) for event in events for run, _, _, _ in followers.starts(FIRST_TENANT, identity, request.ref, event, listeners)]

    def _wait(self, identity: str) -> Json | None:
        """The run, once it is there; None where it does not come (its workflow is disabled, or its file is broken)."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            try:
                found: Json = self._client.get(f"/runs/{identity}")
            except CliError as error:
                if error.code != "run_not_found":
                    raise
                time.sleep(POLL_SECONDS)  # nothing streams this: it is asked for again
            else:
                return found
        return None
