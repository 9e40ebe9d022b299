"""Finds the server that a verb talks to: a named one, the one of the data directory, or a short-lived one of its own.

Read verbs work without a server: where the data directory holds a history, a stack without runners is started on it
(0.2 s warm) and ended with the verb, so that `ledgermill logs latest` works after a `ledgermill run` of its own.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.client import Client
from gateway.cli.errors import CliError, Exit
from gateway.cli.options import Target
from gateway.cli.stack import OwnStack
from gateway.cli.wiring import server_of, settings

if TYPE_CHECKING:
    import ssl

STARTING_SECONDS = 10


def running(data: Path) -> Client | None:
    """The server that holds the data directory, None without one. Waits while one is starting."""
    give_up = time.monotonic() + STARTING_SECONDS
    while (owner := server_of(data)) is not None:
        if owner.url is not None:
            return Client(owner.url, (data / "token").read_text().strip())
        if time.monotonic() > give_up:
            raise CliError("CLI004", f"a server holds {data} (pid {owner.pid}) and does not say where it listens", help="ledgermill status")
        time.sleep(0.05)  # another process, which has not said yet where it listens
    return None


def own_or_running(stack: OwnStack, data: Path) -> tuple[Client, bool]:
    """The client of a stack of the verb's own; of another verb's, and True, where that one was a moment faster."""
    try:
        return stack.client(), False
    except CliError as error:
        found = running(data) if error.code == "EMB003" else None
        if found is None:
            raise
        return found, True


def trusted(target: Target) -> "ssl.SSLContext | None":
    """What the TLS of a named server needs. Raises CliError where a file of it cannot be used."""
    from runner.server import tls

    try:
        return tls(target.server or "", target.ca_file, target.cert_file, target.key_file)
    except OSError as error:
        raise CliError("CLI011", f"a certificate or its key cannot be used: {error}", exit_code=Exit.USAGE) from error


@contextmanager
def connected(target: Target) -> Iterator[Client]:
    """A client of the target's server, or of a stack without runners on its history. Raises CliError without either."""
    if target.server is not None and target.token_file is not None:
        yield Client(target.server, target.token_file.read_text().strip(), trusted(target))
        return
    found = running(target.data)
    if found is not None:
        yield found
        return
    if not (target.data / "postgres" / "cluster").exists() and settings(target.data).database_url is None:
        raise CliError(
            "CLI003",
            f"no server runs on {target.data}, and it holds no history",
            help="ledgermill run (in a repository), ledgermill up, or name another --data DIR",
            exit_code=Exit.NOT_FOUND,
        )
    with OwnStack(target.data, runners=0) as stack:
        yield own_or_running(stack, target.data)[0]
