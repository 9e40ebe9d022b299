"""What is asked of repositories and of their workflow files; `domain.repository` and `domain.workflow_file` decide."""

from uuid import UUID

import msgspec


class RegisterRepository(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Make a repository known."""

    repository: UUID
    full_name: str
    provider: str
    clone_url: str
    default_branch: str = "main"


class ChangeRepository(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Change what is known of a repository; None: as it is.

    retry: as `LEDGERMILL_RETRY` writes it, already checked; "": the default policy. new_secret: its webhooks have got
    another secret, which lies outside the log. versions: see SetWorkflowEnabled.
    """

    repository: UUID
    retry: str | None = None
    clone_url: str | None = None
    default_branch: str | None = None
    new_secret: bool = False
    versions: tuple[int, ...] | None = None


class RemoveRepository(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Forget a repository and its listed workflows; its runs stay. versions: see SetWorkflowEnabled."""

    repository: UUID
    versions: tuple[int, ...] | None = None


class ListWorkflow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Let a workflow answer the repository's events. text: digest of the text that answers, "": the file at the event's commit.

    scheduled: whether it may have a schedule, so that the repository's is read again.
    """

    repository: UUID
    workflow: UUID
    path: str
    name: str
    text: str = ""
    scheduled: bool = False


class UnlistWorkflow(msgspec.Struct, frozen=True, gc=False):
    """The consequence of RemoveWorkflow in the repository's stream."""

    repository: UUID
    path: str


class RegisterWorkflow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The consequence of ListWorkflow in the workflow's own stream."""

    workflow: UUID
    repository: UUID
    path: str
    name: str
    text: str = ""


class RemoveWorkflow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Forget a workflow; its runs stay, and its number goes on should it come back. versions: see SetWorkflowEnabled."""

    workflow: UUID
    versions: tuple[int, ...] | None = None


class SetWorkflowEnabled(msgspec.Struct, frozen=True, gc=False):
    """Enable or disable a workflow. versions: only where its stream is at one of these; None: wherever it is."""

    workflow: UUID
    enabled: bool
    versions: tuple[int, ...] | None = None
