"""The attested view: which job named a file with which digest as its outcome. Whether it has provenance, the log says."""

from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job.events import StepCompleted
from projections.rows import Connection
from projections.table import Key, Rule, Table, View


class AttestedRow(msgspec.Struct, gc=False):
    """A subject. attempt: the last one of the job that named it; position: of the event that did."""

    job_id: UUID
    sha256: str
    name: str
    run_id: UUID
    tenant: str
    attempt: int
    position: int


def _keys(event: Recorded) -> list[Key]:
    return [(event.stream, each.sha256, each.name) for each in event.data.subjects]


def _named(_row: AttestedRow | None, event: Recorded, key: Key) -> AttestedRow:
    job, sha256, name = key
    return AttestedRow(job, sha256, name, event.meta.correlation or job, event.meta.tenant, event.data.attempt, event.position)


ATTESTED_TABLE = Table(
    "attested",
    AttestedRow,
    ("job_id", "sha256", "name"),
    {StepCompleted: Rule(_named, _keys, opens=True)},
    scope="run_id",
    indexes=("(sha256, tenant, position)",),
)

ATTESTED = View("attested", (ATTESTED_TABLE,))


async def jobs_of(connection: Connection, tenant: str, sha256: str, limit: int) -> list[tuple[UUID, UUID]]:
    """(run, job) of the newest jobs that attest a file with this digest, each once."""
    cursor = await connection.execute(
        "SELECT run_id, job_id FROM views.attested WHERE sha256 = %s AND tenant = %s GROUP BY run_id, job_id"
        " ORDER BY max(position) DESC LIMIT %s",
        (sha256, tenant, limit),
    )
    return [(run, job) for run, job in await cursor.fetchall()]
