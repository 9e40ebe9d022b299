"""The signer: `serve signer`, which is a process of its own, and how the gateway gets at one."""

# ruff: noqa: PLC0415 - imports wait until the embedded servers are on their way
import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from domain.provenance.asking import Answer, Question
    from gateway.ports import Signing
    from gateway.wiring.parts import Parts
    from infra.settings import Settings

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.02

log = logging.getLogger(__name__)


def signer_socket(data: Path) -> Path:
    """Where the signer of a data directory answers."""
    return data / "signer" / "socket"


@asynccontextmanager
async def signer(settings: "Settings", database_url: str) -> AsyncIterator[asyncio.Event]:
    """Serve as the signer; yields what is set when this process cannot go on. Raises StoreUnavailable, OSError, SigningKeyError.

    As root it first opens what it needs and then becomes a user of its own, to whom the directory of the keys belongs. It can
    reach the database again only where a user without rights can, so it ends when it has lost it, and is started anew.
    """
    from infra import own_user
    from infra.appender import Appender
    from infra.event_store import PostgresEventStore
    from infra.signer import Serving, Signer, bind
    from infra.signer_keys import KeyRing

    data = settings.data
    keys = KeyRing(signer_socket(data).parent / "keys")
    store = PostgresEventStore(database_url, 0, Appender(database_url, 0))
    await store.connect()
    keys.current()
    bound = bind(signer_socket(data), data.stat().st_uid)
    if os.geteuid() == 0:
        user = keys.owner or own_user.user_for(str(data))
        try:
            keys.give_to(user)
            own_user.become(user)
        except OSError as error:
            log.warning("the signer stays root, since it may not become user %d: %s", user, error)
    own_user.keep_others_out()
    serving = Serving(Signer(store, keys), bound)
    await serving.start()
    try:
        yield serving.lost
    finally:
        await serving.stop()
        await store.close()
        keys.close()


def rotate(data: Path) -> str:
    """Make a new key, with which the signer signs from now on; its id. Raises OSError, SigningKeyError."""
    from domain.provenance.dsse import key_id
    from infra.signer_keys import KeyRing

    keys = KeyRing(signer_socket(data).parent / "keys")
    try:
        return key_id(keys.rotate().public)
    finally:
        keys.close()


def signing(parts: "Parts") -> "Signing":
    """The gateway's way to the signer. Where this process has one of its own, it is started by the first question."""
    path = signer_socket(parts.settings.data)
    if not parts.places.own_signer:
        return Elsewhere(path)
    own = OwnSigner(path, parts)
    parts.agents.keep("signer", own.keep)
    return own


class Elsewhere:
    """A signer that somebody else starts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def ask(self, question: "Question") -> "Answer":
        """See gateway.ports.Signing."""
        from infra.signer_client import ask

        return await ask(self._path, question)


class OwnSigner(Elsewhere):
    """A signer that is started when it is first needed, and again when it has ended; it ends with this process."""

    def __init__(self, path: Path, parts: "Parts") -> None:
        super().__init__(path)
        self._parts = parts
        self._child: subprocess.Popen[bytes] | None = None
        self._starting = asyncio.Lock()

    async def ask(self, question: "Question") -> "Answer":
        """See gateway.ports.Signing."""
        from domain.provenance.asking import SignerAbsent

        with contextlib.suppress(SignerAbsent):
            return await super().ask(question)
        async with self._starting:
            if self._child is None or self._child.poll() is not None:
                await self._start()
        return await super().ask(question)

    async def keep(self) -> None:
        """Until this process ends: then the signer ends too."""
        try:
            await asyncio.Event().wait()
        finally:
            if self._child is not None and self._child.poll() is None:
                self._child.terminate()
                self._child.wait(STOP_SECONDS)

    async def _start(self) -> None:
        """Spawn it and wait until it answers. Raises SignerAbsent."""
        from domain.provenance.asking import AskKeys, SignerAbsent
        from infra.signer_client import ask

        data, url = self._parts.settings.data, self._parts.places.database_url
        code = "import sys; from gateway.cli.main import main; sys.exit(main())"
        run = [sys.executable, "-c", code, "serve", "signer", "--data", str(data)]
        spec = {"parent": os.getpid(), "signal": int(signal.SIGTERM), "uid": None, "gid": None, "reach": [], "run": run}
        child = self._child = _spawned(spec, data / "logs" / "signer.log", {**os.environ, "LEDGERMILL_DATABASE_URL": url})
        async with asyncio.timeout(READY_SECONDS):
            while True:
                with contextlib.suppress(SignerAbsent):
                    await ask(self._path, AskKeys())
                    return
                if child.poll() is not None:
                    raise SignerAbsent(f"the signer ended with {child.returncode}; see logs/signer.log of the data directory")
                await asyncio.sleep(LOOK_SECONDS)  # another process, which says that it is ready by answering


def _spawned(spec: dict[str, Any], log_file: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """A child by way of the trampoline, which must be started in the event loop's thread: with it the child ends."""
    from infra.embedded.keeper import TRAMPOLINE

    with log_file.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(TRAMPOLINE), json.dumps(spec)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=environment,
        )
