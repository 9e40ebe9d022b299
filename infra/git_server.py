"""Serves mirrors to git clients: git's own `upload-pack` answers, and its output is passed on as it comes.

Any commit may be asked for by its name. What a client wants and the mirror lacks is fetched from the forge first, and
whoever asks for branches and tags gets those that the forge has now; while it is away, those of before. So many clients are
served at a time; whoever comes then waits. A client that goes takes its process with it.
"""

import asyncio
import contextlib
import logging
import os
import re
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import UUID

from commands.answering import Away
from domain.repository import RepositoryRegistered
from infra.git import environment, git
from infra.mirrors import Mirrors

AT_ONCE_MAX = 8
FETCHES_MAX = 2
"""So many fetches wait for forges, each in a thread of those that other work needs too."""
MISSING_MAX = 16
"""A client that wants more commits which the mirror lacks has them from elsewhere."""
CHUNK_BYTES = 64 * 1024
ERROR_CHARACTERS_MAX = 1000
PROTOCOL = re.compile(r"[A-Za-z0-9=.:-]{1,100}")
WANT = re.compile(rb"[0-9a-f]{4}want ([0-9a-f]{40}(?:[0-9a-f]{24})?)")
PULL_REQUEST = re.compile(rb"ref-prefix (refs/(?:pull|merge-requests)/[0-9]{1,18}/[a-z]{1,20})\n")
"""What a checkout may name beside branches and tags."""
LIST_REFS = b"command=ls-refs"
SERVICE = b"001e# service=git-upload-pack\n0000"
"""What stands before the refs over HTTP, but in the newest protocol."""

SERVED = {
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    "transfer.hideRefs": "refs/ledgermill",
    "uploadpack.hideRefs": "refs/mirror",
}

log = logging.getLogger(__name__)


class GitServer:
    """See gateway.ports.GitRepositories. snapshots: where work trees' are; from no other path of this machine is fetched for clients."""

    def __init__(self, mirrors: Mirrors, snapshots: Path) -> None:
        self._mirrors = mirrors
        self._snapshots = snapshots.resolve()
        self._room = asyncio.Semaphore(AT_ONCE_MAX)
        self._fetches = asyncio.Semaphore(FETCHES_MAX)

    async def answer(self, repository: UUID, facts: RepositoryRegistered, protocol: str, request: bytes | None) -> AsyncGenerator[bytes]:
        """See the port. Why the forge cannot be asked is told as git tells its own errors."""
        newest = "version=2" in protocol.split(":")
        if request is None and not newest:
            yield SERVICE
        try:
            mirror = await self._prepared(repository, facts, request, newest=newest)
        except Away as away:
            log.warning("a client of %s gets nothing: %s", facts.full_name, away)
            yield packet(f"ERR {str(away)[:ERROR_CHARACTERS_MAX]}\n".encode(errors="replace"))
            return
        variables = {"GIT_PROTOCOL": protocol} if PROTOCOL.fullmatch(protocol) else {}
        async with self._room, contextlib.aclosing(upload_pack(mirror, variables, request)) as pieces:
            async for piece in pieces:
                yield piece

    async def _prepared(self, repository: UUID, facts: RepositoryRegistered, request: bytes | None, *, newest: bool) -> Path:
        """The mirror, with what this request is about. Raises Away."""
        mirror = self._mirrors.path(repository)
        lists = (request is None and not newest) or (request is not None and request[4:].startswith(LIST_REFS))
        missing = await asyncio.to_thread(lacking, mirror, tuple(dict.fromkeys(WANT.findall(request or b""))))
        if not lists and (mirror / "HEAD").exists() and not 0 < len(missing) <= MISSING_MAX:
            return mirror
        pulls = tuple(name.decode() for name in PULL_REQUEST.findall(request or b""))
        async with self._fetches:
            await asyncio.to_thread(self._bring, repository, facts, missing[:MISSING_MAX], pulls if lists else None)
        return mirror

    def _bring(self, repository: UUID, facts: RepositoryRegistered, missing: tuple[str, ...], refs: tuple[str, ...] | None) -> None:
        local = facts.provider == "local"
        known = not local or self._snapshots in Path(facts.clone_url).resolve().parents
        self._mirrors.bring(repository, facts, missing if known else (), refs if known else None)


def lacking(mirror: Path, wanted: tuple[bytes, ...]) -> tuple[str, ...]:
    """Those of these objects that a mirror does not have."""
    if not wanted or not (mirror / "HEAD").exists():
        return tuple(name.decode() for name in wanted)
    found = git("cat-file", "--batch-check", directory=mirror, content=b"\n".join(wanted) + b"\n").stdout
    return tuple(line.removesuffix(" missing") for line in found.decode().splitlines() if line.endswith(" missing"))


async def upload_pack(mirror: Path, variables: dict[str, str], request: bytes | None) -> AsyncGenerator[bytes]:
    """What `git upload-pack` answers to a request, or, for None, says of what there is. It ends with whoever reads."""
    flags = ("--advertise-refs",) if request is None else ()
    process = await asyncio.create_subprocess_exec(
        "git", "upload-pack", "--strict", "--stateless-rpc", *flags, str(mirror),
        env=environment(variables, SERVED),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101 - see above
    feeding = asyncio.create_task(_feed(process.stdin, request or b""))
    try:
        while piece := await process.stdout.read(CHUNK_BYTES):
            yield piece
    finally:
        feeding.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # those too that it has started to make the pack
        await process.wait()


async def _feed(pipe: asyncio.StreamWriter, content: bytes) -> None:
    """Write what git reads; it may end before it has read all."""
    with contextlib.suppress(ConnectionError):
        pipe.write(content)
        await pipe.drain()
        pipe.close()


def packet(content: bytes) -> bytes:
    """A packet as git frames it: its length in four hexadecimal digits, those included."""
    return b"%04x%b" % (len(content) + 4, content)
