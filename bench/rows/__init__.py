"""The groups of rows. A group is a module with `GOALS` (its rows) and `measure`, which yields each row as it is measured.

    GOALS: tuple[Goal, ...]
    async def measure(place: Place) -> AsyncIterator[Row]

`place.ids` holds the ids that were asked for: a group leaves out what nobody asked for. Modules are imported only when
one of their rows is asked for.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    "help": ("help",),
    "language": ("lint", "read-plan", "evaluate"),
    "spawn": ("spawn",),
    "append": ("append-1", "append-64", "append-1000"),
    "tree": ("tree",),
    "read": ("read",),
    "tail": ("tail",),
    "latency": ("commit-consumer", "commit-view", "commit-sse"),
    "rebuild": ("rebuild",),
    "evidence": ("fold", "check", "state-at", "why"),
    "stack": ("up-cold", "up-warm", "idle-memory"),
    "first_step": ("first-step",),
    "builds": ("builds",),
    "log_lines": ("log-lines", "log-latency"),
    "trigger": ("trigger",),
    "job_life": ("job-life-steps", "job-life-jobs", "cpu-per-job"),
    "crowds": ("sse-clients", "waiting-runners"),
    "old_snapshot": ("old-snapshot",),
}
"""Module of bench.rows to the ids that it measures, in the order in which they run."""

RUNNER_GROUPS = frozenset({"help", "language", "spawn", "stack", "first_step", "builds"})
"""Those that measure the runner or start processes: they run on asyncio's own loop, the others on the server's."""
