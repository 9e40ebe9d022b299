"""`python -m runner`: the agent as a process of its own, small enough to start anywhere."""

import argparse
import asyncio
import signal
import socket
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runner.agent import Agent, Options, WorkInUse, default_labels
from runner.client import read_token
from runner.problems import Rejected


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m runner", description="Takes jobs from a Ledgermill server and runs them on this machine."
    )
    found.add_argument("--url", required=True, help="the server, e.g. http://127.0.0.1:7300")
    found.add_argument("--token-file", required=True, type=Path, help="the file that holds the runner token")
    found.add_argument("--name", default=socket.gethostname(), help="the runner's name (default: this machine's)")
    found.add_argument("--labels", default="", help="labels, with commas between them (default: self-hosted, the system, the architecture)")
    found.add_argument("--slots", type=int, default=1, help="how many jobs run at a time (default: 1)")
    found.add_argument("--work", type=Path, default=None, help="the working folder (default: below ~/.local/state/ledgermill)")
    found.add_argument("--once", action="store_true", help="leave after one job")
    found.add_argument("--ephemeral", action="store_true", help="leave after one job and never come back under this identity")
    return found


def options(arguments: list[str] | None = None) -> Options:
    """The command line as options. Ends the process with 64 where it is wrong."""
    given = parser().parse_args(arguments)
    labels = tuple(label.strip() for label in given.labels.split(",") if label.strip())
    try:
        released = version("ledgermill")
    except PackageNotFoundError:
        released = ""
    return Options(
        url=given.url,
        token=read_token(given.token_file),
        name=given.name,
        labels=labels or default_labels(),
        slots=max(1, given.slots),
        work=(given.work or Path.home() / ".local" / "state" / "ledgermill" / "runner" / given.name).absolute(),
        once=given.once,
        ephemeral=given.ephemeral,
        version=released,
    )


async def work(chosen: Options) -> int:
    """Run the agent until it is done or told to stop: TERM and INT kill its jobs, which the server then gives to others."""
    task = asyncio.ensure_future(Agent(chosen).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        return await task
    return 0


def main() -> int:
    """Returns the exit code: 0 done, 1 the working folder is in use, 4 the server does not take the token."""
    try:
        chosen = options()
    except OSError as error:
        sys.stderr.write(f"error[RNR001]: the token file cannot be read: {error}\n")
        return 4
    try:
        return asyncio.run(work(chosen))
    except WorkInUse as error:
        sys.stderr.write(f"error[RNR002]: {error}\n")
        return 1
    except Rejected as error:
        sys.stderr.write(f"error[RNR003]: the server refused this runner: {error}\n")
        return 4 if error.problem.status in (401, 403) else 1


if __name__ == "__main__":
    sys.exit(main())
