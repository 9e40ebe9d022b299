"""The server as the process of a verb: its loop, its signals, its log file, and what it prints when it is ready."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.detached import DETACHED, let_go_of_terminal
from gateway.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from gateway.local_stack import Stack
    from infra.settings import Settings


def run_loop(main: Callable[[], Awaitable[int]]) -> int:
    """Run a server; what is wrong with its surroundings becomes words."""
    from domain.ports import StoreUnavailable
    from gateway.wiring import embedded_error

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(main())  # type: ignore[arg-type]  # always a coroutine
    except embedded_error() as error:
        raise CliError(error.code, error.message, because=error.because or None, help=error.help) from error
    except StoreUnavailable as error:
        raise CliError("STO005", str(error), exit_code=Exit.FAILED) from error


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop of uvloop where it is installed: the server's sockets are its whole work."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def serve_all(chosen: "Settings", runners: int, labels: tuple[str, ...], *, port_is_fixed: bool) -> int:
    """`up`: until a signal, or until a part of the server cannot go on."""
    from gateway.local_stack import running

    began = time.monotonic()
    ending = end_signal()
    log_to_file(chosen.data)
    async with running(chosen, runners, labels, port_is_fixed=port_is_fixed) as stack:
        announce(chosen, stack, runners, time.monotonic() - began)
        let_go_of_terminal(chosen.data)
        return await until_end(ending, stack.agents)


async def serve_role(chosen: "Settings", role: str, *, port_is_fixed: bool) -> int:
    """`serve`: one role, or all without embedded servers and runners."""
    from gateway import wiring
    from gateway.local_stack import serving

    ending = end_signal()
    chosen.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    log_to_file(chosen.data)
    roles: tuple[wiring.Role, ...] = wiring.ROLES if role == "all" else (role,)  # type: ignore[assignment]  # click checked it
    async with serving(chosen, roles, port_is_fixed=port_is_fixed) as (url, agents):
        click.echo(f"  {role}   {url}" if url else f"  {role}   at work")
        return await until_end(ending, agents)


async def serve_signer(chosen: "Settings") -> int:
    """`serve signer`: until a signal, or until it has lost the database."""
    from gateway import wiring

    ending = end_signal()
    log_to_file(chosen.data)
    assert chosen.database_url is not None, "the caller checked it"  # noqa: S101 - a fact
    async with wiring.signer(chosen, chosen.database_url) as lost:
        click.echo("  signer   at work")
        sys.stdout.flush()
        waits = [asyncio.create_task(each.wait()) for each in (ending, lost)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    return Exit.OK if ending.is_set() else Exit.INFRASTRUCTURE


@asynccontextmanager
async def local_stack(chosen: "Settings", runners: int, labels: tuple[str, ...]) -> AsyncIterator[tuple[str, str]]:
    """A server of one's own for as long as it is needed: (url, token)."""
    from gateway.local_stack import running

    log_to_file(chosen.data)
    async with running(chosen, runners, labels) as stack:
        yield stack.url, stack.token


def end_signal() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; a second one ends the process at once (its children end with it)."""
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()

    def heard() -> None:
        if ending.is_set():
            os._exit(130)
        ending.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard)
    return ending


async def until_end(ending: asyncio.Event, agents: Any) -> int:
    """Wait for a signal (0) or for an agent that is given up (3)."""
    waits = [asyncio.create_task(ending.wait()), asyncio.create_task(agents.failed.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if agents.failure is not None and not ending.is_set():
        shown = CliError("SRV001", "the server cannot go on", because=agents.failure, help="see logs/server.log of the data directory")
        click.echo(shown.render(), err=True)
        return Exit.INFRASTRUCTURE
    return Exit.OK


def announce(chosen: "Settings", stack: "Stack", runners: int, seconds: float) -> None:
    """The lines that `up` prints."""
    from gateway.wiring import embedded_versions

    versions = embedded_versions()
    home = str(Path.home())
    data = str(chosen.data).replace(home, "~", 1) if str(chosen.data).startswith(home + os.sep) else str(chosen.data)
    took = f"ready {stack.servers_seconds:.1f}s"
    servers = (
        ("postgres", chosen.database_url, f"{versions['postgres']} embedded   {data}/postgres   {took}"),
        ("nats", chosen.nats_url, f"{versions['nats']} embedded   jetstream   {took}"),
    )
    for name, own, embedded in servers:
        click.echo(f"  {name:<9} {'your own' if own else embedded}")
    note = "" if chosen.port in (0, stack.port) else f"   port {chosen.port} is taken"
    click.echo(f"  gateway   {stack.url}   (token in {data}/token, already used by this CLI){note}")
    if chosen.public_url:
        click.echo(f"  public    {chosen.public_url}")
    for number in range(1, runners + 1):
        click.echo(f"  runner    local-{number}   labels: {', '.join(stack.labels)}")
    click.echo(f"Ready in {seconds:.1f}s. Next:  cd <repo with .github/workflows> && ledgermill run")
    if not os.environ.get(DETACHED):
        click.echo("Ctrl-C stops everything; nothing is left running.")
    sys.stdout.flush()


def log_to_file(data: Path) -> None:
    """The server's own messages: to a file, and what is wrong also to standard error."""
    import logging

    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    logs = data / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    file = logging.FileHandler(logs / "server.log")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.ERROR)
    terminal.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[file, terminal])
    for noisy in ("uvicorn", "nats", "psycopg.pool"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
