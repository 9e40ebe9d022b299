"""The write routes of repositories and workflow files: register, change, list with a text, dispatch, remove.

A workflow that is posted with its text answers the repository's events without anything being fetched. The secret of a
repository's webhooks goes to a file of its own and never into an event, an answer or a log.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from commands.answering import Answering, Away, Gone, about, request_of
from commands.elsewhere import Library
from commands.handle import Origin, Outcome
from commands.trigger import TriggerRequest, trigger
from domain import ids
from domain.envelope import Recorded
from domain.ports import Blobs, Clock
from domain.repository import Repository, RepositoryRegistered, WebhookSecretSet, WorkflowListed
from domain.repository_commands import (
    ChangeRepository,
    ListWorkflow,
    RegisterRepository,
    RemoveRepository,
    RemoveWorkflow,
    SetWorkflowEnabled,
)
from domain.schedule import RequestScheduleRead
from domain.webhooks.incoming import Incoming
from domain.webhooks.shape import branch
from domain.workflow import reader
from domain.workflow.diagnostics import errors
from domain.workflow_file import Workflow
from gateway.api.checks import check_branch, check_name, check_path, check_retry, check_secret, check_url, unfit
from gateway.api.commands import Accepted
from gateway.api.orders import REPLAYED, Orders, idempotency_key, if_match, invalid, named, position_header, reused
from gateway.api.repository_shapes import (
    PROVIDERS,
    AddedWorkflow,
    AddRepository,
    AddWorkflow,
    ChangeSettings,
    ChangeWorkflow,
    Dispatch,
    Dispatched,
)
from gateway.http import Reply, Request, Route, answer
from gateway.ports import Secrets
from gateway.problems import problem


class Repositories:
    """Serves the routes. public_url: where people reach this server, for links. untrusted_values, library: see commands.trigger."""

    def __init__(
        self,
        orders: Orders,
        answering: Answering,
        *,
        blobs: Blobs,
        secrets: Secrets,
        clock: Clock,
        public_url: str,
        untrusted_values: str = "warn",
        library: Library | None = None,
    ) -> None:
        self._orders = orders
        self._answering = answering
        self._handler = orders.handler
        self._blobs = blobs
        self._secrets = secrets
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._untrusted_values = untrusted_values
        self._library = library

    def routes(self) -> list[Route]:
        """This part of the table."""
        one, workflow = "/api/v1/repositories/{id}", "/api/v1/workflows/{id}"
        facts: tuple[tuple[str, str, str, Any, Any, Any, int], ...] = (
            ("POST", "/api/v1/repositories", "Register a repository", self.add, AddRepository, Accepted, 201),
            ("PATCH", one, "Change a repository", self.change, ChangeSettings, Accepted, 200),
            ("DELETE", one, "Forget a repository; its runs stay", self.remove, None, None, 204),
            (
                "POST",
                "/api/v1/workflows",
                "Let a workflow answer a repository's events",
                self.add_workflow,
                AddWorkflow,
                AddedWorkflow,
                201,
            ),
            ("PATCH", workflow, "Enable or disable a workflow", self.change_workflow, ChangeWorkflow, Accepted, 200),
            ("DELETE", workflow, "Forget a workflow; its runs stay", self.remove_workflow, None, None, 204),
            ("POST", f"{workflow}/dispatches", "Start a run of a workflow", self.dispatch, Dispatch, Dispatched, 202),
        )
        return [
            Route(
                method=method,
                path=path,
                least="developer" if handle == self.dispatch else "maintainer",
                summary=summary,
                handle=handle,
                body=body,
                answers=answers,
                status=status,
                conditional=method in {"PATCH", "DELETE"},
                starts_work=handle == self.dispatch,
            )
            for method, path, summary, handle, body, answers, status in facts
        ]

    async def add(self, request: Request, body: AddRepository) -> Reply:
        """Register a repository; one that is known gets these facts."""
        check_name(body.full_name)
        check_url(body.clone_url, body.provider)
        check_branch(body.default_branch)
        check_secret(body.webhook_secret)
        repository = ids.repository_id(request.identity.tenant, body.provider, body.full_name)
        origin = self._orders.command_origin(request)
        if named(request) and (before := await self._led_to(repository, origin)):
            if not self._is_body_of(before, body, repository):
                raise reused(f"registered repository {body.full_name}")
            return _added(repository, before[-1].position, REPLAYED)
        register = RegisterRepository(repository, body.full_name, body.provider, body.clone_url, body.default_branch)
        changes = (ChangeRepository(repository, new_secret=True),) if self._keep(repository, body.webhook_secret) else ()
        read = RequestScheduleRead(ids.schedule_id(repository), repository)
        done = await self._handler.handle_all((register, *changes, read), origin)
        return _added(repository, await self._told(done[0], repository))

    async def _told(self, outcome: Outcome, repository: UUID, *others: UUID) -> int:
        """The position of the last event about these streams, which a repetition finds too; where there is none, the repository's last."""
        told = [event.position for event in outcome.events if event.stream in (repository, *others)]
        return told[-1] if told else await self._handler.position(repository, outcome.state.version)

    async def _led_to(self, repository: UUID, origin: Origin) -> tuple[Recorded, ...]:
        """What a request under this key did to the repository before. One that changed nothing left nothing, and is done again."""
        return await self._handler.led_to(repository, origin.given)

    def _is_body_of(self, before: Sequence[Recorded], body: AddRepository, repository: UUID) -> bool:
        """Whether a registration that led to these events may have been this one. A secret is told by whether it still counts."""
        facts = RepositoryRegistered(body.full_name, body.provider, body.clone_url, body.default_branch)
        with_secret = any(isinstance(event.data, WebhookSecretSet) for event in before)
        counts = body.webhook_secret in self._secrets.valid(repository, self._clock.now())
        same_facts = all(event.data == facts for event in before if isinstance(event.data, RepositoryRegistered))
        return same_facts and (counts if body.webhook_secret is not None else not with_secret)

    async def change(self, request: Request, body: ChangeSettings) -> Reply:
        """Settings of the runs to come; those that have begun keep what they began with."""
        check_retry(body.retry)
        check_secret(body.webhook_secret)
        if body.default_branch is not None:
            check_branch(body.default_branch)
        repository, versions = request.params[0], if_match(request)
        state: Repository | None = await self._handler.own(request.identity.tenant, repository, "repository")
        present = state is not None and not state.removed and (versions is None or state.version in versions)
        if present and state is not None and body.clone_url is not None:
            check_url(body.clone_url, state.registered.provider)
        new_secret = present and self._keep(repository, body.webhook_secret)
        command = ChangeRepository(repository, body.retry, body.clone_url, body.default_branch, new_secret, versions)
        outcome = await self._orders.carry_out(request, command, repository)
        return answer(Accepted(repository, outcome.position), 200, (position_header(outcome.position),))

    async def remove(self, request: Request, _body: None) -> Reply:
        """Forget a repository, its listed workflows and its secret."""
        repository = request.params[0]
        outcome = await self._orders.carry_out(request, RemoveRepository(repository, if_match(request)), repository)
        self._secrets.remove(repository)
        return Reply(204, headers=(position_header(outcome.position),))

    async def add_workflow(self, request: Request, body: AddWorkflow) -> Reply:
        """List a workflow, with its text or without; the repository is made if new."""
        check_path(body.path)
        name, text, scheduled = body.path, "", True
        if body.yaml is not None:
            workflow_ast, found = reader.read(body.path, body.yaml, None, reader.released(self._untrusted_values))
            if workflow_ast is None:
                raise invalid(errors(found), f"in {body.path}; it was not listed")
            name, text = workflow_ast.name or body.path, await self._blobs.put(body.yaml.encode())
            scheduled = "schedule" in workflow_ast.on
        repository, register = await self._repository(request.identity.tenant, body.repository)
        workflow = ids.workflow_id(request.identity.tenant, repository, body.path)
        origin = self._orders.command_origin(request)
        if named(request) and (before := await self._led_to(repository, origin)):
            if not any(event.data == WorkflowListed(workflow, body.path, text) for event in before):
                raise reused("listed a workflow")
            told = await self._handler.led_to(workflow, *(event.id for event in before))
            return _listed(AddedWorkflow(workflow, repository, body.path, (before + told)[-1].position), REPLAYED)
        commands = (*register, ListWorkflow(repository, workflow, body.path, name, text, scheduled))
        done = await self._handler.handle_all(commands, origin)
        if done[-1].refusal is not None:
            raise await self._orders.refused(request, "ListWorkflow", str(repository), done[-1].refusal)
        return _listed(AddedWorkflow(workflow, repository, body.path, await self._told(done[-1], repository, workflow)))

    async def change_workflow(self, request: Request, body: ChangeWorkflow) -> Reply:
        """Switch a workflow on or off; what already runs goes on."""
        workflow = request.params[0]
        command = SetWorkflowEnabled(workflow, enabled=body.enabled, versions=if_match(request))
        outcome = await self._orders.carry_out(request, command, workflow)
        return answer(Accepted(workflow, outcome.position), 200, (position_header(outcome.position),))

    async def remove_workflow(self, request: Request, _body: None) -> Reply:
        """Forget a workflow. A file that lies in the repository is known again with its next run: disable it instead."""
        workflow = request.params[0]
        outcome = await self._orders.carry_out(request, RemoveWorkflow(workflow, if_match(request)), workflow)
        return Reply(204, headers=(position_header(outcome.position),))

    async def dispatch(self, request: Request, body: Dispatch) -> Reply:
        """Start a run by hand, or answer as the first time."""
        workflow, repository = await self._found(request.identity.tenant, request.params[0])
        facts = repository.registered
        ref = branch(body.ref or facts.default_branch)
        check_branch(body.ref or facts.default_branch, "/ref")
        payload = {"ref": ref, "inputs": body.inputs, "workflow": workflow.path, "repository": about(facts)}
        event = Incoming(event="workflow_dispatch", repository=facts.full_name, ref=ref, payload=payload, inputs=body.inputs)
        trigger_request = await self._request(workflow, repository, event)
        key = idempotency_key(request)
        scope = f"{request.identity.tenant}|dispatch|{request.params[0]}|{key}"
        origin = self._orders.origin(request, scope, key)
        outcome = await trigger(
            self._handler, self._blobs, trigger_request, scope, origin, untrusted_values=self._untrusted_values, library=self._library
        )
        await self._orders.check_trigger(request, facts.full_name, outcome)
        if not outcome.runs:
            reason = outcome.not_triggered[0].reason
            raise problem(
                422, "not_dispatchable", f"{workflow.path} cannot be dispatched: {reason}", hint="add workflow_dispatch to its `on`"
            )
        run = outcome.runs[0]
        headers = [position_header(run.position), (b"location", f"/api/v1/runs/{run.run}".encode())]
        if run.replayed:
            headers.append(REPLAYED)
        return answer(Dispatched(run.run, f"{self._public_url}/api/v1/runs/{run.run}/events", run.position), 202, tuple(headers))

    async def _request(self, workflow: Workflow, repository: Repository, event: Incoming) -> TriggerRequest:
        """The event as a request for a run of this workflow alone; the others may be called."""
        try:
            commit = await self._answering.commit(workflow.repository, repository, event)
        except Away as away:
            raise problem(409, "forge_away", str(away), hint="nothing was started; try again", retry_after_seconds=10) from away
        except Gone as gone:
            raise unfit("ref_not_found", "/ref", str(gone), "push it, or name another branch or tag") from gone
        own = tuple(file for file in commit.files if file.path == workflow.path)
        if not own:
            raise unfit("no_such_file", "/ref", f"{workflow.path} is not at {event.ref}", "name a branch or tag that has it")
        return msgspec.structs.replace(request_of(repository, event, commit), workflows=own, called=commit.files)

    async def _found(self, tenant: str, identity: UUID) -> tuple[Workflow, Repository]:
        """A workflow and its repository as they are now; 404 where there is none."""
        workflow: Workflow | None = await self._handler.own(tenant, identity, "workflow")
        repository: Repository | None = await self._handler.own(tenant, workflow.repository, "repository") if workflow is not None else None
        if workflow is None or workflow.removed or repository is None or repository.removed:
            raise problem(404, "workflow_not_found", f"there is no workflow {identity}", hint="GET /api/v1/workflows lists them")
        return workflow, repository

    async def _repository(self, tenant: str, named: str) -> tuple[UUID, tuple[RegisterRepository, ...]]:
        """The repository that a text names, and what makes it known where it is new.

        One that nobody has heard of and that names no provider is GitHub's.
        """
        try:
            identity = UUID(named)
        except ValueError:
            pass
        else:
            return identity, ()
        given, _, full_name = named.rpartition(":")
        if given and given not in PROVIDERS:
            raise unfit("bad_provider", "/repository", f'there is no provider "{given[:100]}"', f"one of {', '.join(PROVIDERS)}")
        check_name(full_name, "/repository")
        wanted = [each for each in PROVIDERS if given in ("", each)]
        candidates = {provider: ids.repository_id(tenant, provider, full_name) for provider in wanted}
        states = {provider: await self._handler.own(tenant, identity, "repository") for provider, identity in candidates.items()}
        known = [provider for provider, state in states.items() if state is not None and not state.removed]
        if len(known) > 1:
            listed = " or ".join(f"{provider}:{full_name}" for provider in known)
            raise unfit("ambiguous_repository", "/repository", f"several providers have a repository {full_name}", f"write {listed}")
        if known:
            return candidates[known[0]], ()
        provider = given or "github"
        host = HOSTS.get(provider)
        if host is None:
            raise problem(
                404, "repository_not_found", f"there is no repository {named}", hint="POST /api/v1/repositories with its clone_url first"
            )
        repository = candidates[provider]
        return repository, (RegisterRepository(repository, full_name, provider, f"https://{host}/{full_name}.git"),)

    def _keep(self, repository: UUID, secret: str | None) -> bool:
        """Put a secret where secrets are; whether it is another one than before."""
        return secret is not None and self._secrets.replace(repository, secret, self._clock.now())


def _added(repository: UUID, position: int, *more: tuple[bytes, bytes]) -> Reply:
    place = (b"location", f"/api/v1/repositories/{repository}".encode())
    return answer(Accepted(repository, position), 201, (position_header(position), place, *more))


def _listed(added: AddedWorkflow, *more: tuple[bytes, bytes]) -> Reply:
    place = (b"location", f"/api/v1/workflows/{added.id}".encode())
    return answer(added, 201, (position_header(added.position), place, *more))


HOSTS = {"github": "github.com", "gitlab": "gitlab.com"}
"""Where a repository lies of which nothing but its provider and name is known."""
