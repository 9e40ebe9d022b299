"""A log to read: the history of one real run, recorded by the real command side, repeated under other ids.

The run's four jobs live side by side, and many runs do, so that the events of one job lie far from each other, as they
do in a busy log. Copies differ from the original in every id and in nothing else; the bytes are those that a user has.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import psycopg

from commands.handle import Handler, Origin
from domain import ids
from domain.job import commands as job
from domain.repository_commands import RegisterRepository
from domain.run import commands as run
from domain.workflow import reader
from infra.append_call import Row, StoredRow
from infra.appender import EVENTS_MAX, Appender
from infra.blobs import FileBlobs
from infra.clock import StoreClock
from infra.event_store import PostgresEventStore

WORKFLOW = """
on: push
jobs:
  test:
    runs-on: linux
    strategy: {matrix: {python: ["3.11", "3.12", "3.13", "3.14"]}}
    steps: [{run: git fetch}, {run: pip install .}, {run: ruff check}, {run: pytest}, {run: coverage report}]
"""
WIDE = """
  {key}:
    {needs}
    runs-on: linux
    strategy: {{matrix: {{v: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], w: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]}}}}
    steps: [{{run: git fetch}}, {{run: pip install .}}, {{run: ruff check}}, {{run: pytest}}, {{run: coverage report}}]
"""
LARGE = "".join(
    (
        "on: push\njobs:",
        WIDE.format(key="first", needs="name: first"),
        WIDE.format(key="second", needs="needs: first"),
        WIDE.format(key="third", needs="needs: second"),
        "  last: {needs: third, runs-on: linux, steps: [{run: coverage report}]}\n",
    )
)
"""Ten thousand events, and a last job that nobody takes."""
STEPS = 5
SIDE_BY_SIDE = 50
"""Runs that are in progress at once."""
BETWEEN = 5
"""So many events of others lie between two of the run that lies among them."""
EVENTS_READ = 100_000


async def fill(url: str, events: int, directory: Path) -> int:
    """Make a log of at least `events` events in the empty database; returns how many there are."""
    template = _own(await record(url, directory))
    appender = Appender(url, 0)
    await appender.open()
    written = len(template)
    pending: set[asyncio.Future[int]] = set()
    for batch in _batches(template, events - written):
        pending.add(asyncio.ensure_future(appender.append(batch, {})))
        if len(pending) == 4:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        written += len(batch)
    if pending:
        await asyncio.wait(pending)
    await appender.close()
    return written


def _batches(template: list[StoredRow], events: int) -> Iterator[list[Row]]:
    """Rows of whole runs, SIDE_BY_SIDE of them in turn, in batches that the appender takes."""
    batch: list[Row] = []
    for _ in range(0, events, SIDE_BY_SIDE * len(template)):
        copies = [_copy(template) for _ in range(SIDE_BY_SIDE)]
        for turn in zip(*copies, strict=True):
            batch += turn
            if len(batch) > EVENTS_MAX - SIDE_BY_SIDE:
                yield batch
                batch = []
    if batch:
        yield batch


def _copy(template: list[StoredRow]) -> list[Row]:
    """The same run under new ids. Ids stand in the states as text of one length, so all are exchanged in one go."""
    states = b"\n".join(row[4] for row in template)
    new: dict[UUID, UUID] = {}
    for _, stream, _, _, _ in template:
        if stream not in new:
            new[stream] = uuid4()
            states = states.replace(str(stream).encode(), str(new[stream]).encode())
    return [(new[row[1]], row[2], row[3], state) for row, state in zip(template, states.split(b"\n"), strict=True)]


def pour(url: str, template: Sequence[StoredRow], events: int, beside: Sequence[StoredRow] = ()) -> list[UUID]:
    """Write some `events` events of copies of one run into the store by COPY; the copies' ids. beside: a run that lies among them.

    Whoever follows the log is told as by an append, and sees all in one piece.
    """
    among = iter(_own(beside))
    runs: list[UUID] = []
    with psycopg.connect(url) as connection:
        connection.execute("select pg_advisory_xact_lock(7300, 0)")
        found = connection.execute("select coalesce(max(notification_id), 0) from public.events_0").fetchone()
        position: int = found[0] if found else 0
        sink = "copy public.events_0 (originator_id, originator_version, topic, state, notification_id) from stdin (format binary)"
        with connection.cursor().copy(sink) as copy:
            copy.set_types(["uuid", "int8", "text", "bytea", "int8"])
            for batch in _batches(_own(template), events):
                runs += [stream for stream, _, topic, _ in batch if topic.startswith("RunTriggered.")]
                for turn in (batch[at : at + BETWEEN] for at in range(0, len(batch), BETWEEN)):
                    piece = next(among, None)
                    for row in turn if piece is None else [*turn, piece[1:]]:
                        position += 1
                        copy.write_row((*row, position))
        connection.execute("select setval('public.events_0_notification_id_seq', %s)", (position,))
        connection.execute("select pg_notify('events_0', %s)", (str(position),))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze public.events_0")
    return runs


def _own(rows: Sequence[StoredRow]) -> list[StoredRow]:
    """Without the events of the repository and the workflow, which all runs share."""
    return [row for row in rows if not row[3].startswith(("Repository", "Workflow", "RunNumbered"))]


async def record(url: str, directory: Path, text: str = WORKFLOW) -> list[StoredRow]:
    """Let one run of a workflow happen in the empty database; returns the rows of the log. The job `last` is left waiting."""
    store = await PostgresEventStore.open(url)
    clock = await StoreClock.start(store.time)
    blobs = FileBlobs(directory / "blobs")
    handler = Handler(store, clock, blobs)
    origin = Origin("default", "someone", command=ids.command_id("bench", "1"))
    repository = ids.repository_id("default", "local", "acme/pay")
    path = ".github/workflows/ci.yml"
    workflow, problems = reader.read(path, text)
    if workflow is None:
        raise RuntimeError(f"the workflow of the benchmark cannot be read: {problems}")
    await handler.handle(RegisterRepository(repository, "acme/pay", "local", "/clone"), origin)
    await handler.handle(
        run.TriggerRun(
            run=ids.run_id("default", "1"),
            repository=repository,
            repository_name="acme/pay",
            workflow=ids.workflow_id("default", repository, path),
            workflow_path=path,
            event="push",
            ref="refs/heads/main",
            sha="0" * 40,
            source="1" * 64,
            source_url="/clone",
            plan=await blobs.put(msgspec.json.encode(workflow)),
            payload=await blobs.put(b"{}"),
            payload_bytes=2,
            request="1",
            workflow_ast=workflow,
        ),
        origin,
    )
    done: set[UUID] = set()
    while True:
        _, rows = await store.rows(0, EVENTS_READ)
        jobs = [row[1] for row in rows if row[3].startswith("JobCreated.") and b'"key":"last"' not in row[4] and row[1] not in done]
        if not jobs:
            break
        done.update(jobs)
        lives = [_life(clock, each, len(done) + number) for number, each in enumerate(jobs)]
        for stage in zip(*lives, strict=True):
            for outcome in await asyncio.gather(*(handler.handle(command, origin) for command in stage)):
                if outcome.refusal is not None:
                    raise RuntimeError(f"a command of the benchmark was refused: {outcome.refusal.message}")
    await clock.close()
    await store.close()
    return rows


def _life(clock: StoreClock, stream: UUID, number: int) -> Iterator[object]:
    """The commands of one job's life, in order."""
    runner = ids.runner_id("default", f"runner-{number}")
    fence = (stream, runner, 1, 1, ids.lease_id(stream, 1))
    yield job.AcquireJob(stream, runner, f"runner-{number}", ("linux",), 30, 120)
    yield job.StartJob(*fence)
    for index in range(STEPS):
        now = clock.now()
        ended = job.StepTransition(index, now, "success", "success", 0, effect="e" * 64, ended_at=now)
        yield job.ReportSteps(*fence, 2 * index + 1, (job.StepTransition(index, now),))
        yield job.ReportSteps(*fence, 2 * index + 2, (ended,))
    yield job.RecordHeartbeat(*fence, 30)
    yield job.StoreLogSegments(*fence, (job.Segment(1, 1, 100, 8000, "a" * 64),))
    yield job.ReportAttempt(*fence, "success", "", "b" * 64)
