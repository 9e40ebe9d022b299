"""What the write routes of repositories and workflow files take and answer."""

from typing import Any, Literal, get_args
from uuid import UUID

import msgspec

Provider = Literal["github", "gitea", "gitlab", "git", "local"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)


class AddRepository(msgspec.Struct, frozen=True):
    """`POST /api/v1/repositories`. full_name: as the provider writes it (`owner/name`). webhook_secret: at least 8 characters."""

    full_name: str
    provider: Provider
    clone_url: str
    default_branch: str = "main"
    webhook_secret: str | None = None


class ChangeSettings(msgspec.Struct, frozen=True):
    """`PATCH /api/v1/repositories/{id}`: what is given changes. retry: as `LEDGERMILL_RETRY` writes it, "": the default, for new runs.

    webhook_secret: the one before counts for another day.
    """

    retry: str | None = None
    clone_url: str | None = None
    default_branch: str | None = None
    webhook_secret: str | None = None


class AddWorkflow(msgspec.Struct, frozen=True):
    """`POST /api/v1/workflows`. repository: its id, `owner/name` or `provider:owner/name`; it is made if new.

    yaml: the text that answers the repository's events; without, the file at `path` of each event's commit does.
    """

    repository: str
    path: str
    yaml: str | None = None


class ChangeWorkflow(msgspec.Struct, frozen=True):
    """`PATCH /api/v1/workflows/{id}`. A disabled workflow answers no event until it is enabled again."""

    enabled: bool


class Dispatch(msgspec.Struct, frozen=True):
    """`POST /api/v1/workflows/{id}/dispatches`. ref: a branch or tag, "": the default branch. inputs: by name."""

    ref: str = ""
    inputs: dict[str, Any] = {}


class AddedWorkflow(msgspec.Struct, frozen=True):
    """A workflow was listed, or was found listed so. position: of the last event about it."""

    id: UUID
    repository_id: UUID
    path: str
    position: int


class Dispatched(msgspec.Struct, frozen=True):
    """A run was started, or was found started by the same request."""

    run_id: UUID
    events_url: str
    position: int
