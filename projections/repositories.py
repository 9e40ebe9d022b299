"""The repositories view: repositories and their workflow files, as registered."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain import repository, workflow_file
from domain.envelope import Recorded
from projections.table import Key, Rule, Table, View, by_stream


class RepositoryRow(msgspec.Struct, gc=False):
    """A repository. retry: the retry policy of its jobs as text, "": the default. version: of its stream.

    webhook_secret: whether it has one of its own.
    """

    id: UUID
    tenant: str
    full_name: str
    provider: str
    clone_url: str
    default_branch: str
    created_at: datetime
    version: int
    retry: str
    webhook_secret: bool


class WorkflowRow(msgspec.Struct, gc=False):
    """A workflow file. run_number: of its last run (0: none). version: of its stream.

    text: digest of the text that answers events instead of the file at their commit, "": none.
    """

    id: UUID
    tenant: str
    repository_id: UUID
    path: str
    name: str
    source: str
    text: str
    enabled: bool
    run_number: int
    created_at: datetime
    updated_at: datetime
    version: int


def _repository(row: RepositoryRow | None, event: Recorded, key: Key) -> RepositoryRow:
    data: repository.RepositoryRegistered = event.data
    made = row.created_at if row else event.meta.at
    return RepositoryRow(
        id=key,
        tenant=event.meta.tenant,
        full_name=data.full_name,
        provider=data.provider,
        clone_url=data.clone_url,
        default_branch=data.default_branch,
        created_at=made,
        version=event.version,
        retry=row.retry if row else "",
        webhook_secret=row.webhook_secret if row else False,
    )


def _repository_changed(row: RepositoryRow | None, event: Recorded, _key: Key) -> RepositoryRow | None:
    if row is None or isinstance(event.data, repository.RepositoryRemoved):
        return None
    match event.data:
        case repository.RepositorySettingsChanged() as data:
            row.retry = data.retry
        case repository.WebhookSecretSet():
            row.webhook_secret = True
        case repository.WorkflowListed() | repository.WorkflowUnlisted():
            pass  # the workflow's own row says it; the version counts
        case _:
            raise AssertionError(f"{event.type} is not a change of a repository")
    row.version = event.version
    return row


def _workflow(_row: WorkflowRow | None, event: Recorded, key: Key) -> WorkflowRow:
    data: workflow_file.WorkflowRegistered = event.data
    return WorkflowRow(
        id=key,
        tenant=event.meta.tenant,
        repository_id=data.repository,
        path=data.path,
        name=data.name,
        source=data.source,
        text="",
        enabled=True,
        run_number=0,
        created_at=event.meta.at,
        updated_at=event.meta.at,
        version=event.version,
    )


def _workflow_changed(row: WorkflowRow | None, event: Recorded, _key: Key) -> WorkflowRow | None:
    if row is None or isinstance(event.data, workflow_file.WorkflowRemoved):
        return None
    match event.data:
        case workflow_file.WorkflowSourceChanged() as data:
            row.name, row.source = data.name, data.source
        case workflow_file.WorkflowTextSet() as data:
            row.text = data.text
        case workflow_file.WorkflowEnabled():
            row.enabled = True
        case workflow_file.WorkflowDisabled():
            row.enabled = False
        case workflow_file.RunNumbered() as data:
            row.run_number = data.number
        case _:
            raise AssertionError(f"{event.type} is not a change of a workflow")
    row.updated_at, row.version = event.meta.at, event.version
    return row


_REPOSITORY_CHANGES = (
    repository.RepositorySettingsChanged,
    repository.WebhookSecretSet,
    repository.WorkflowListed,
    repository.WorkflowUnlisted,
    repository.RepositoryRemoved,
)
_WORKFLOW_CHANGES = (
    workflow_file.WorkflowSourceChanged,
    workflow_file.WorkflowTextSet,
    workflow_file.WorkflowRemoved,
    workflow_file.WorkflowEnabled,
    workflow_file.WorkflowDisabled,
    workflow_file.RunNumbered,
)

REPOSITORY_TABLE = Table(
    "repositories",
    RepositoryRow,
    ("id",),
    {
        repository.RepositoryRegistered: Rule(_repository, by_stream),
        **{change: Rule(_repository_changed, by_stream) for change in _REPOSITORY_CHANGES},
    },
    indexes=("(tenant, full_name)",),
)
WORKFLOW_TABLE = Table(
    "workflows",
    WorkflowRow,
    ("id",),
    {
        workflow_file.WorkflowRegistered: Rule(_workflow, by_stream, opens=True),
        **{change: Rule(_workflow_changed, by_stream) for change in _WORKFLOW_CHANGES},
    },
    indexes=("(tenant, repository_id, path)",),
)

REPOSITORIES = View("repositories", (REPOSITORY_TABLE, WORKFLOW_TABLE))
