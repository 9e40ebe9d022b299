"""What a delivery starts: its events, the workflow files that answer them, and each file's verdict.

Files fail one by one: a broken or disabled workflow is told among those that did not start and keeps no other from its
run. What is read of the repository comes from its stream and from `Commits`; nothing here writes.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import msgspec

from commands.elsewhere import Library, Lookup
from commands.handle import Handler
from commands.trigger import DefaultBranch, Match, RepositoryFacts, TriggerRequest, WorkflowFile, read_workflow, selected, triggered_by
from domain import ids
from domain.delivery import AnswerDelivery, Delivery, IgnoreDelivery, Unstarted
from domain.ports import Blobs
from domain.repository import Repository, RepositoryRegistered
from domain.run.commands import TriggerRun
from domain.schedule import Entry, RequestScheduleRead, Schedule, entries_in
from domain.webhooks.incoming import Incoming, NoEvent, Provider, incoming
from domain.webhooks.payload import payload_of
from domain.webhooks.shape import NO_COMMIT, branch
from domain.workflow.diagnostics import errors
from domain.workflow_file import Workflow


class Away(Exception):  # noqa: N818 - an outcome with a name of its own
    """The forge cannot be asked now. The message says why; it may be there later."""


class Gone(Exception):  # noqa: N818 - see Away
    """The forge is there, and what the event is about is not: a deleted branch, a commit that nothing leads to."""


class Commit(msgspec.Struct, frozen=True):
    """What an event's commit holds. sha: of it; changed: paths, None where unknown; default_branch: see TriggerRequest."""

    sha: str
    files: tuple[WorkflowFile, ...]
    changed: tuple[str, ...] | None = None
    default_branch: DefaultBranch | None = None


class Commits(Protocol):
    """Reads commits of repositories."""

    async def read(self, repository: UUID, state: Repository, event: Incoming) -> Commit:
        """The commit that an event is of. Raises Away or Gone."""


class Answering:
    """Finds answers. untrusted_values: see commands.trigger.select; library: see commands.trigger.trigger."""

    def __init__(
        self, handler: Handler, blobs: Blobs, commits: Commits, *, untrusted_values: str = "warn", library: Library | None = None
    ) -> None:
        self._handler = handler
        self._blobs = blobs
        self._commits = commits
        self._untrusted_values = untrusted_values
        self._library = library

    def lookup(self, tenant: str) -> Lookup:
        """For the workflows of other repositories that the files of one event call."""
        return Lookup(self._library, tenant)

    async def answer(self, delivery: UUID, tenant: str, state: Delivery) -> AnswerDelivery | IgnoreDelivery:
        """The command that ends the delivery. Raises Away, StoreUnavailable, StreamUnreadable."""
        facts = state.facts
        content = await self._blobs.get(facts.payload)
        events = incoming(_provider(facts.provider), facts.event, payload_of(content))
        if isinstance(events, NoEvent):
            return IgnoreDelivery(delivery, events.reason)
        repository: Repository | None = await self._handler.latest(facts.repository, "repository") if facts.repository else None
        if facts.repository is None or repository is None or repository.removed:
            return IgnoreDelivery(delivery, f"the repository {facts.repository_name} is not registered any more")
        lookup = self.lookup(tenant)
        runs: list[TriggerRun] = []
        unstarted: list[Unstarted] = []
        schedules: list[RequestScheduleRead] = []
        for event in events:
            try:
                commit = await self.commit(facts.repository, repository, event)
            except Gone as gone:
                unstarted.append(Unstarted("", event.event, "commit", str(gone)))
                continue
            schedules += await self._outdated(facts.repository, repository, event, commit)
            request = request_of(repository, event, commit)
            matches, rejected = await self.verdicts(partial(ids.workflow_id, tenant, facts.repository), request, lookup)
            unstarted += rejected
            if matches:
                key = f"webhook|{delivery}|{event.event}"
                runs += await triggered_by(
                    self._blobs,
                    request,
                    matches,
                    key=key,
                    tenant=tenant,
                    repository=facts.repository,
                    retry=repository.retry,
                    lookup=lookup,
                )
        if not runs and not unstarted:
            return IgnoreDelivery(delivery, f"the repository {facts.repository_name} has no workflows there")
        return AnswerDelivery(delivery, tuple(runs), tuple(unstarted), tuple(schedules))

    async def commit(self, identity: UUID, repository: Repository, event: Incoming) -> Commit:
        """Listed texts answer instead of the files at their paths; where every listed workflow has one, nothing is fetched."""
        texts = {path: (await self._blobs.get(each.text)).decode() for path, each in repository.workflows.items() if each.text}
        listed = tuple(WorkflowFile(path, text) for path, text in texts.items())
        if listed and len(listed) == len(repository.workflows):
            return Commit(event.sha or NO_COMMIT, listed, event.changed_paths)
        commit = await self._commits.read(identity, repository, event)
        files = (*listed, *(file for file in commit.files if file.path not in texts))
        return msgspec.structs.replace(commit, files=files)

    async def verdicts(
        self, workflow: Callable[[str], UUID], request: TriggerRequest, lookup: Lookup
    ) -> tuple[list[Match], list[Unstarted]]:
        """Each file's own verdict on an event. workflow: a path to the workflow's stream."""
        matches: list[Match] = []
        unstarted = []
        for file in request.workflows:
            alone = msgspec.structs.replace(request, workflows=(file,), called=request.workflows)
            found = await selected(alone, self._untrusted_values, lookup)
            broken = errors(found.diagnostics)
            if broken:
                first = broken[0]
                unstarted.append(Unstarted(file.path, request.event, "invalid", f"{first.line}:{first.column}: {first.message}"))
            elif found.rejected:
                unstarted.append(Unstarted(file.path, request.event, found.rejected[0].filter, found.rejected[0].reason))
            elif await self._disabled(workflow(file.path)):
                unstarted.append(Unstarted(file.path, request.event, "disabled", f"workflow {file.path} is disabled"))
            else:
                matches += found.matches
        return matches, unstarted

    async def _outdated(self, identity: UUID, repository: Repository, event: Incoming, commit: Commit) -> tuple[RequestScheduleRead, ...]:
        """Have the schedule read again where a push to the default branch says another one than is known."""
        if event.event != "push" or event.ref != branch(repository.registered.default_branch):
            return ()
        schedule = ids.schedule_id(identity)
        known: Schedule | None = await self._handler.latest(schedule, "schedule")
        said = scheduled(commit.files)
        same = said == known.entries and not known.asked if known is not None else not said
        return () if same else (RequestScheduleRead(schedule, identity),)

    async def _disabled(self, workflow: UUID) -> bool:
        state: Workflow | None = await self._handler.latest(workflow, "workflow")
        return state is not None and not state.removed and not state.enabled


def scheduled(files: Iterable[WorkflowFile]) -> tuple[Entry, ...]:
    """What the files say about times; one that is broken says nothing."""
    found: list[Entry] = []
    for file in files:
        workflow = read_workflow(file.path, file.text, "warn")[0] if "schedule" in file.text else None
        found += entries_in(file.path, workflow.on) if workflow is not None else ()
    return tuple(found)


def about(facts: RepositoryRegistered) -> dict[str, Any]:
    """`repository` of a payload that no forge sent."""
    owner, _, name = facts.full_name.rpartition("/")
    return {"name": name, "full_name": facts.full_name, "owner": {"login": owner}, "default_branch": facts.default_branch}


def request_of(repository: Repository, event: Incoming, commit: Commit) -> TriggerRequest:
    """The event as a request for runs of the commit's files."""
    known = repository.registered
    return TriggerRequest(
        repository=RepositoryFacts(known.full_name, known.provider, known.clone_url, known.default_branch),
        source_url=known.clone_url,
        sha=commit.sha,
        ref=event.ref,
        event=event.event,
        workflows=commit.files,
        payload=event.payload,
        inputs=event.inputs,
        changed_paths=commit.changed,
        head_ref=event.head_ref,
        base_ref=event.base_ref,
        default_branch=commit.default_branch,
    )


def _provider(name: str) -> Any:
    providers: tuple[Provider, ...] = ("github", "gitea", "gitlab")
    return next(each for each in providers if each == name)
