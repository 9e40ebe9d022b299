"""What a line of the audit view says to people: which run, job or runner, by the name that people know it by.

The view keeps ids, which never change; names are looked up when a page is shown. It must never hide a line: what has no
name any more is shown by its id.
"""

import re
from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from projections.audit import AuditRow
from projections.rows import Connection

_NAMES = """
SELECT id, repository_name || ' ' || regexp_replace(workflow_path, '^.*/', '') || '#' || number FROM views.runs
    WHERE id = ANY(%(ids)s) AND tenant = %(tenant)s
UNION ALL SELECT j.id, j.name FROM views.jobs j JOIN views.runs r ON r.id = j.run_id
    WHERE j.id = ANY(%(ids)s) AND r.tenant = %(tenant)s
UNION ALL SELECT id, name FROM views.runners WHERE id = ANY(%(ids)s) AND tenant = %(tenant)s
UNION ALL SELECT id, full_name FROM views.repositories WHERE id = ANY(%(ids)s) AND tenant = %(tenant)s
UNION ALL SELECT id, name FROM views.tokens WHERE id = ANY(%(ids)s) AND tenant = %(tenant)s
UNION ALL SELECT id, url FROM views.subscriptions WHERE id = ANY(%(ids)s) AND tenant = %(tenant)s
UNION ALL SELECT id, path FROM views.workflows WHERE id = ANY(%(ids)s) AND tenant = %(tenant)s
"""

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


async def names(connection: Connection, tenant: str, rows: Sequence[AuditRow]) -> dict[UUID, str]:
    """The names of everything of the tenant that these lines are about: a refusal may name what is another's."""
    wanted = {identity for row in rows for identity in (row.run_id, row.stream, _identity(row.target)) if identity is not None}
    if not wanted:
        return {}
    return dict(await (await connection.execute(_NAMES, {"ids": list(wanted), "tenant": tenant})).fetchall())


class DeedShape(AuditRow, kw_only=True):
    """A line of the audit. summary: for people."""

    summary: str


def deed(row: AuditRow, known: Mapping[UUID, str]) -> DeedShape:
    """A line of the audit view with a summary for people: `run triggered: local/pay ci.yml#7`."""
    place = _place(row, known)
    if row.outcome == "refused":
        times = f" ({row.count} times)" if row.count > 1 else ""
        summary = f"{row.action} refused: {place or row.target}: {row.message} [{row.code}]{times}"
    elif row.outcome == "stale":
        summary = f"{row.action} not accepted: {place}: {row.code}"
    else:
        summary = f"{_HUMP.sub(' ', row.type).lower()}: {place}"
    return DeedShape(**msgspec.structs.asdict(row), summary=summary)


def _place(row: AuditRow, known: Mapping[UUID, str]) -> str:
    """Run, and within it the job; else the name of the stream, else the target as it is."""
    about = _identity(row.target) or row.stream
    run = known.get(row.run_id) if row.run_id is not None else None
    name = known.get(about)
    within = about != row.run_id and not row.type.startswith(("Repository", "Workflow", "Runner"))
    if run is not None and name is not None and within:
        return f"{run}/{name}"
    return name or run or row.target


def _identity(target: str) -> UUID | None:
    try:
        return UUID(target)
    except ValueError:
        return None
