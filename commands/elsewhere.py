"""What workflows call in other repositories, looked up for one event: each reference once, each ref at one commit."""

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from commands.handle import Handler
from domain import ids
from domain.repository import Repository
from domain.workflow.elsewhere import Fetched, Missing
from domain.workflow.references import Remote, remote

LOOKUPS_MAX = 200
"""So many files of other repositories can be looked up for one event; a workflow may call fewer."""
FORGES = ("github", "gitea", "gitlab", "git")
"""Providers whose repositories others may call; what is "local" was never more than a snapshot of a work tree."""


class Library(Protocol):
    """Reads workflow files of other repositories."""

    async def read(self, tenant: str, name: Remote) -> Fetched | Missing:
        """The file as it is now. tenant: whose registered repositories count. Takes as long as a fetch does."""


class Lookup:
    """What is known so far. library: None where nothing is looked up; then everything is missing."""

    def __init__(self, library: Library | None, tenant: str) -> None:
        self._library = library
        self._tenant = tenant
        self._shas: dict[tuple[str, str], str] = {}
        self.found: dict[str, Fetched | Missing] = {}

    async def look(self, wanted: Iterable[str]) -> None:
        """Find out about these references; afterwards all of them are in `found`."""
        for reference in wanted:
            name = remote(reference)
            assert name is not None, "only files of other repositories are looked up"  # noqa: S101 - a fact, not a check
            self.found[reference] = await self._one(name)

    async def _one(self, name: Remote) -> Fetched | Missing:
        if self._library is None or len(self.found) >= LOOKUPS_MAX:
            because = "nothing is fetched here" if self._library is None else f"the files of an event call more than {LOOKUPS_MAX} others"
            return Missing(f'the called workflow "{name}" is not looked up', because, "call a workflow of the own repository")
        place = name.repository, name.ref
        found = await self._library.read(self._tenant, name._replace(ref=self._shas.get(place, name.ref)))
        if isinstance(found, Fetched):
            self._shas[place] = found.sha
        return found


async def registered(handler: Handler, tenant: str, full_name: str) -> tuple[UUID, str]:
    """Identity and clone URL of a repository that the tenant has registered under this name, else of GitHub's."""
    for provider in FORGES:
        identity = ids.repository_id(tenant, provider, full_name)
        known: Repository | None = await handler.own(tenant, identity, "repository")
        if known is not None and not known.removed:
            return identity, known.registered.clone_url
    return await on_github(tenant, full_name)


async def on_github(tenant: str, full_name: str) -> tuple[UUID, str]:
    """Identity and clone URL of a repository that nobody has registered."""
    return ids.repository_id(tenant, "github", full_name), f"https://github.com/{full_name}.git"
