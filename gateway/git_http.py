"""Repositories over git's smart HTTP, read only: `/{owner}/{name}/info/refs` and `/{owner}/{name}/git-upload-pack`.

So a runner checks out what its server can have, whether or not it reaches the forge. git sends a credential as the password
of Basic authentication, whatever the user is called: a token of at least a viewer, for every repository of its tenant, or a
job's own, for that of its run. Pushes are refused: one pushes to the forge. What another tenant has is not here.
"""

import asyncio
import base64
import binascii
import re
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from msgspec.structs import replace

from commands.elsewhere import FORGES
from commands.handle import Handler
from domain import ids
from domain.access import FIRST_TENANT
from domain.job.state import JobState
from domain.repository import Repository, RepositoryRegistered
from domain.run.state import Run
from gateway.auth import Identity, authorise
from gateway.authentication import Authentication
from gateway.http import ClientGone, Receive, Request, Scope, Send, too_large
from gateway.ports import GitRepositories
from gateway.problems import ProblemError, problem

REQUEST_BYTES_MAX = 8 * 1024 * 1024
"""What a client wants and has, one line a commit."""
STUCK_SECONDS = 60.0
"""A client that takes nothing for so long is let go: it keeps one of few places."""
SECONDS_MAX = 3600.0
LOCAL = "local"
PROVIDERS = (*FORGES, LOCAL)
PATH = re.compile(r"/(?P<name>\S.*?)(?:\.git)?/(?P<what>info/refs|git-upload-pack|git-receive-pack)")
NOTHING = b"0000"
"""The packet by which git finds out whether it may send a long request."""
CHALLENGE = ("WWW-Authenticate", 'Basic realm="Ledgermill"')


class GitHttp:
    """Serves the mirrors of repositories."""

    def __init__(self, handler: Handler, repositories: GitRepositories, authentication: Authentication) -> None:
        self._handler = handler
        self._repositories = repositories
        self._authentication = authentication

    @staticmethod
    def route(path: str) -> str:
        """What a path of git's is called in figures; "" where it is none."""
        found = PATH.fullmatch(path)
        return f"/{{owner}}/{{name}}/{found['what']}" if found is not None else ""

    async def serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        """Answer one request of a git client. Raises ProblemError."""
        found = PATH.fullmatch(scope["path"])
        assert found is not None, "the path was looked at before"  # noqa: S101 - see `route`
        identity = await self._identity(scope)
        request = Request(scope, receive, identity, request_id, ())
        try:
            asks = found["what"] == "info/refs"
            check(request, found["what"])
            repository, facts = await self._repository(identity, found["name"])
            content = await request.body(0 if asks else REQUEST_BYTES_MAX)
            body = None if asks else plain(request, content)
            protocol = request.headers.get(b"git-protocol", b"").decode("latin-1")
            pieces = self._repositories.answer(repository, facts, protocol, body)
            await deliver(request, send, b"advertisement" if asks else b"result", pieces, may_be_empty=body == NOTHING)
        finally:
            request.close()

    async def _identity(self, scope: Scope) -> Identity:
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        identity = await self._authentication.identify(bearer_of(authorization))
        if identity is None:
            what = "git needs a token as its password here" if authorization is None else "the password is no token that is good here"
            error = problem(401, "not_authenticated", what, hint="make one: ledgermill token create --role viewer")
            raise ProblemError(error.problem, (CHALLENGE,))
        if identity.job is None:
            authorise(identity, "viewer")
        return identity

    async def _repository(self, identity: Identity, name: str) -> tuple[UUID, RepositoryRegistered]:
        """Which repository this is, and where it is fetched from. Raises the 404 where there is none for whoever asks."""
        if identity.job is not None:
            own = await self._of_run(identity.tenant, identity.job, name)
        else:
            own = await self._of_tenant(identity.tenant, name)
        # A path of this machine may hold anybody's repository, so that it is the operators' tenant alone that is served it.
        if own is None or (own[1].provider == LOCAL and identity.tenant != FIRST_TENANT):
            raise problem(404, "repository_not_found", f"there is no repository {name} here", hint="register it: ledgermill repository add")
        return own

    async def _of_run(self, tenant: str, job: UUID, name: str) -> tuple[UUID, RepositoryRegistered] | None:
        """A job's own repository, also when it was forgotten meanwhile."""
        state_of_job: JobState = await self._handler.state(job, "job")
        run: Run = await self._handler.state(state_of_job.life.spec.run, "run")
        state: Repository | None = await self._handler.own(tenant, run.facts.repository, "repository")
        if run.facts.repository_name != name or state is None:
            return None
        facts = state.registered
        return run.facts.repository, replace(facts, clone_url=run.facts.source_url) if facts.provider == LOCAL else facts

    async def _of_tenant(self, tenant: str, name: str) -> tuple[UUID, RepositoryRegistered] | None:
        for provider in PROVIDERS:
            repository = ids.repository_id(tenant, provider, name)
            state: Repository | None = await self._handler.own(tenant, repository, "repository")
            if state is not None and not state.removed:
                return repository, state.registered
        return None


def check(request: Request, what: str) -> None:
    """Refuse what is no reading, and what is not asked as git asks it."""
    service = request.query.get("service") if what == "info/refs" else what
    if service == "git-receive-pack":
        raise problem(403, "read_only", "this server takes no pushes", hint="push to the forge")
    if service != "git-upload-pack":
        raise problem(403, "smart_http_only", "repositories are served over git's smart protocol only", hint="use git 1.6.6 or newer")
    method = "GET" if what == "info/refs" else "POST"
    if request.scope["method"] != method:
        shown = problem(405, "method_not_allowed", f"{request.scope['method']} is not for {what}", hint=f"it takes {method}")
        raise ProblemError(shown.problem, (("Allow", method),))


def bearer_of(authorization: bytes | None) -> bytes | None:
    """Basic authentication's password as a bearer token; anything else as it is."""
    scheme, _, given = (authorization or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return authorization
    try:
        _, _, password = base64.b64decode(given.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return b"Bearer " + password


def plain(request: Request, content: bytes) -> bytes:
    """The body of a request; one that came compressed may be as long as one that did not."""
    encoding = request.headers.get(b"content-encoding", b"identity")
    if encoding == b"identity":
        return content
    if encoding not in (b"gzip", b"x-gzip"):
        raise problem(415, "unknown_encoding", f"the body's encoding is {encoding.decode('latin-1')[:100]}", hint="send it plain, or gzip")
    reader = zlib.decompressobj(wbits=31)
    try:
        found = reader.decompress(content, REQUEST_BYTES_MAX)
    except zlib.error as error:
        raise problem(400, "bad_gzip", f"the body is not gzip: {error}", hint="send it plain") from error
    if reader.unconsumed_tail:
        raise too_large(REQUEST_BYTES_MAX)
    if not reader.eof:
        raise problem(400, "bad_gzip", "the body is not gzip: it ends too early", hint="send it plain")
    return found


async def deliver(request: Request, send: Send, kind: bytes, pieces: AsyncGenerator[bytes], *, may_be_empty: bool) -> None:
    """Pass on what git says, as it comes and as the client takes it. Whatever it waits for, a client that goes ends it."""
    sending = asyncio.ensure_future(_sent(request, send, kind, pieces, may_be_empty=may_be_empty))
    try:
        await asyncio.wait({sending, request.gone()}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not sending.done():
            sending.cancel()
            await asyncio.wait({sending})
    if sending.cancelled():
        raise ClientGone
    sending.result()


async def _sent(request: Request, send: Send, kind: bytes, pieces: AsyncGenerator[bytes], *, may_be_empty: bool) -> None:
    async with asyncio.timeout(SECONDS_MAX), aclosing(pieces):
        piece = await anext(pieces, b"")
        if not piece and not may_be_empty:
            raise problem(400, "bad_git_request", "git did not understand this request", hint="ask with git")
        headers = [(b"content-type", b"application/x-git-upload-pack-" + kind), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while piece:
            try:
                async with asyncio.timeout(STUCK_SECONDS):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            except TimeoutError:
                request.let_go()
                raise ClientGone from None
            piece = await anext(pieces, b"")
        await send({"type": "http.response.body", "body": b"", "more_body": False})
