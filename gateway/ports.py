"""What the gateway needs from infra beyond the shared ports."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from commands.handle import Origin
from domain.job.commands import Segment, StoreLogSegments
from domain.job.events import LogSegmentStored
from domain.log_records import Extent
from domain.provenance.asking import Answer, Question, Refused
from domain.repository import RepositoryRegistered


class Logs(Protocol):
    """The log store; see infra.log_store for the meaning of each."""

    async def accept(self, fence: StoreLogSegments, origin: Origin, first: int, count: int, body: bytes) -> tuple[int, int]:
        """Take lines of a live attempt; returns (received_through, stored_through)."""

    def seal(self, fence: StoreLogSegments, origin: Origin, last_line: int) -> AbstractAsyncContextManager[tuple[int, tuple[Segment, ...]]]:
        """Put what is open into the blob store; gives (received_through, segments still to be named, within the block).

        last_line: how many lines the runner says there are.
        """

    def heard(self, job: UUID, stored: LogSegmentStored) -> None:
        """An event names a segment, perhaps one of another gateway."""

    def close(self, job: UUID, attempt: int) -> None:
        """Forget what is in memory of an attempt that is over."""

    def received_through(self, job: UUID, attempt: int) -> int | None:
        """The number of the last line of an attempt whose lines this process takes; None where it does not know."""

    def read(self, job: UUID, attempt: int, first: int = 1, last: int | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
        """Records first .. last in pages of (number of the first, JSON records)."""

    async def extents(self, job: UUID, attempt: int) -> list[Extent]:
        """The pieces of a log, one after the other from line 1 on; what events tell of them is not read."""


class Sightings(Protocol):
    """What the gateways of one store tell each other about runners; see infra.sightings. Each raises StoreUnavailable."""

    async def tell(self, runners: Collection[UUID]) -> None:
        """These are here now."""

    async def elsewhere(self, runners: Collection[UUID], seconds: float) -> set[UUID]:
        """Those of these that another gateway has seen within so many seconds."""


class Signing(Protocol):
    """The signer; see infra.signer."""

    async def ask(self, question: Question) -> Answer:
        """Its answer. Raises SignerAbsent."""


class Bundles(Protocol):
    """Exports runs; see infra.bundles."""

    async def export(self, run: UUID, *, logs: bool, redact: tuple[str, ...]) -> bytes | Refused:
        """The file. Raises SignerAbsent, and KeyError for a blob that is gone."""


class Secrets(Protocol):
    """The secrets of repositories' webhooks, or of subscriptions; see infra.secret_files."""

    def valid(self, owner: UUID, now: datetime) -> tuple[str, ...]:
        """The secrets that count now, the newest first."""

    def replace(self, owner: UUID, secret: str, now: datetime) -> bool:
        """Make it the newest secret, durably; False where it is already."""

    def remove(self, owner: UUID) -> None:
        """Forget them."""


class GitRepositories(Protocol):
    """The mirrors of repositories, as git serves them; see infra.git_server."""

    def answer(self, repository: UUID, facts: RepositoryRegistered, protocol: str, request: bytes | None) -> AsyncGenerator[bytes]:
        """What git answers to a request to `upload-pack`, piece by piece; None: to the question what there is.

        facts: where what the mirror lacks is fetched from. protocol: the Git-Protocol header. Nothing, for rubbish. Closing it
        ends git.
        """
