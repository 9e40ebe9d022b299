"""Queries on the status view."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from projections.rows import Connection
from projections.select import Order, select
from projections.status.attempts import ATTEMPTS, STEPS, AttemptRow, StepRow
from projections.status.jobs import JOBS, JobRow
from projections.status.run_attempts import RUN_ATTEMPTS, RunAttemptRow
from projections.status.runs import RUNS, RunRow

NEWEST_FIRST = Order(("created_at", "id"), descending=True)
AS_PLANNED = Order(("created_at", "key", "instance", "id"))
CANDIDATES_MAX = 11
RUN_ATTEMPTS_MAX = 10_000


class RunFilter(msgspec.Struct, frozen=True):
    """Which runs. status: a status or a conclusion; branch: with or without refs/heads/; workflow: its name or path."""

    tenant: str
    status: str | None = None
    branch: str | None = None
    event: str | None = None
    actor: str | None = None
    workflow: str | None = None
    since: datetime | None = None


async def list_runs(connection: Connection, wanted: RunFilter, limit: int, after: Sequence[Any] | None = None) -> list[RunRow]:
    """Runs, newest first."""
    branch = [wanted.branch, f"refs/heads/{wanted.branch}"] if wanted.branch else None
    given: list[tuple[LiteralString, Any]] = [
        ("tenant = %s", wanted.tenant),
        ("%s IN (status, conclusion)", wanted.status),
        ("ref = ANY(%s)", branch),
        ("event = %s", wanted.event),
        ("actor = %s", wanted.actor),
        ("%s IN (workflow_name, workflow_path)", wanted.workflow),
        ("created_at >= %s", wanted.since),
    ]
    return await select(connection, RUNS, [each for each in given if each[1] is not None], NEWEST_FIRST, limit, after=after)


async def find_runs(connection: Connection, tenant: str, name: str) -> list[RunRow]:
    """The runs that `name` may mean: an id, a unique prefix of one, `latest`, WORKFLOW#N or N. More than one: ambiguous.

    WORKFLOW is the workflow's name, its path, its file or its file without the ending.
    """
    own: tuple[LiteralString, Any] = ("tenant = %s", tenant)
    text = name.strip().lower().removeprefix("run_")
    try:
        return await select(connection, RUNS, [own, ("id = %s", UUID(text))], NEWEST_FIRST, 1)
    except ValueError:
        pass
    if text == "latest":
        return await select(connection, RUNS, [own], NEWEST_FIRST, 1)
    workflow, mark, number = text.rpartition("#")
    digits = number if mark else text
    if digits.isascii() and digits.isdigit() and len(digits) < 19:
        numbered: list[tuple[LiteralString, Any]] = [own, ("number = %s", int(digits))]
        found = await select(connection, RUNS, numbered, NEWEST_FIRST, CANDIDATES_MAX if not mark else 1000)
        found = [run for run in found if not mark or workflow in names_of(run)]
        if found or mark:
            return found
    if len(text) < 4 or not set(text) <= set("0123456789abcdef-"):
        return []
    return await select(connection, RUNS, [own, ("starts_with(id::text, %s)", text)], NEWEST_FIRST, CANDIDATES_MAX)


def names_of(run: RunRow) -> set[str]:
    """All that the run's workflow may be called by, in lower case."""
    path = run.workflow_path.lower()
    file = path.rpartition("/")[2]
    return {path, file, file.rpartition(".")[0], run.workflow_name.lower()}


async def jobs_of(connection: Connection, run: UUID, run_attempt: int, limit: int, after: Sequence[Any] | None = None) -> list[JobRow]:
    """The jobs of a run attempt, carried ones too, and its nodes that still wait, in the order in which they came up."""
    counting: tuple[LiteralString, Any] = ("run_attempts @> to_jsonb(%s::bigint)", run_attempt)
    return await select(connection, JOBS, [("run_id = %s", run), counting], AS_PLANNED, limit, after=after)


async def run_attempts_of(connection: Connection, run: UUID) -> list[RunAttemptRow]:
    """All run attempts of a run, the first one first."""
    return await select(connection, RUN_ATTEMPTS, [("run_id = %s", run)], Order(RUN_ATTEMPTS.key), RUN_ATTEMPTS_MAX)


_STARTED = """
SELECT min(a.acquired_at) FROM views.jobs j JOIN views.attempts a ON a.job_id = j.id WHERE j.run_id = %s AND j.run_attempt = %s
"""


async def run_attempt_row(connection: Connection, run: RunRow, attempt: RunAttemptRow) -> RunRow:
    """The run as it stands, or stood at its end, in one of its run attempts."""
    if attempt.run_attempt == run.run_attempt:
        return run
    found = await (await connection.execute(_STARTED, (run.id, attempt.run_attempt))).fetchone()
    return msgspec.structs.replace(
        run,
        run_attempt=attempt.run_attempt,
        status="completed",
        conclusion=attempt.conclusion,
        started_at=found[0] if found else None,
        completed_at=attempt.completed_at,
        cancel_requested_at=attempt.cancel_requested_at,
        position=attempt.position,
    )


async def find_job(connection: Connection, tenant: str, job: UUID) -> JobRow | None:
    """One job of the tenant."""
    own: tuple[LiteralString, Any] = ("run_id IN (SELECT id FROM views.runs WHERE tenant = %s)", tenant)
    found = await select(connection, JOBS, [("id = %s", job), own], AS_PLANNED, 1)
    return found[0] if found else None


async def attempts_of(connection: Connection, jobs: Sequence[UUID]) -> tuple[list[AttemptRow], list[StepRow]]:
    """All attempts of these jobs and all steps that began in them."""
    attempts = await select(connection, ATTEMPTS, [("job_id = ANY(%s)", list(jobs))], Order(ATTEMPTS.key), 100_000)
    steps = await select(connection, STEPS, [("job_id = ANY(%s)", list(jobs))], Order(STEPS.key), 100_000)
    return attempts, steps
