"""`python -m runner`: the agent as a process of its own, small enough to start anywhere."""

import argparse
import asyncio
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from runner import assertions, environment
from runner.agent import Agent, Options, WorkInUse, default_labels
from runner.client import read_token
from runner.problems import Distrusted, Rejected
from runner.server import Certificates, Server, tls


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m runner", description="Takes jobs from a Ledgermill server and runs them on this machine."
    )
    found.add_argument("--credential", type=Path, help="the file that `ledgermill runner register` has written")
    found.add_argument("--url", help="the server, e.g. http://127.0.0.1:7300; several gateways with commas (default: as registered)")
    found.add_argument("--token-file", type=Path, help="the file that holds a runner token, instead of a credential")
    found.add_argument("--ca-file", type=Path, help="the authority that signed the server's certificate, PEM (default: the system's)")
    found.add_argument("--cert-file", type=Path, help="a client certificate, PEM, where the server asks for one")
    found.add_argument("--key-file", type=Path, help="its private key, PEM")
    found.add_argument("--name", help="the runner's name (default: as registered, or this machine's)")
    found.add_argument("--labels", default="", help="labels, with commas between them (default: self-hosted, the system, the architecture)")
    found.add_argument("--slots", type=int, default=1, help="how many jobs run at a time (default: 1)")
    found.add_argument("--work", type=Path, default=None, help="the working folder (default: below ~/.local/state/ledgermill)")
    found.add_argument("--once", action="store_true", help="leave after one job")
    found.add_argument("--ephemeral", action="store_true", help="leave after one job and never come back under this identity")
    return found


def options(arguments: list[str] | None = None) -> Options:
    """The command line as options. Ends the process with 64 where it is wrong."""
    command_line = parser()
    given = command_line.parse_args(arguments)
    kept = assertions.read(given.credential) if given.credential else None
    if kept is None and not (given.url and given.token_file):
        command_line.error("either --credential, or --url and --token-file")
    name = given.name or (kept.name if kept else socket.gethostname())
    labels = tuple(label.strip() for label in given.labels.split(",") if label.strip())
    return Options(
        server=server(given, kept),
        name=name,
        labels=labels or (kept.labels if kept else default_labels()),
        slots=max(1, given.slots),
        work=(given.work or Path.home() / ".local" / "state" / "ledgermill" / "runner" / name).absolute(),
        once=given.once,
        ephemeral=given.ephemeral or (kept is not None and kept.ephemeral),
        version=environment.release(),
    )


def server(given: argparse.Namespace, kept: assertions.Credential | None) -> Server:
    """The server, as the command line and the credential name it. Raises OSError where a file cannot be read."""
    url = given.url or (kept.url if kept else "")
    files = [getattr(given, name) or getattr(kept, name, None) for name in ("ca_file", "cert_file", "key_file")]
    certificates = Certificates(*(str(Path(file).absolute()) if file else None for file in files))
    if kept is not None:
        return Server(url, assertions.assertions(kept.runner, kept.key), tls(url, *files), certificates)
    token = read_token(given.token_file)
    return Server(url, lambda: token, tls(url, *files), certificates)


async def work(chosen: Options) -> int:
    """Run the agent until it is done or told to stop: TERM and INT kill its jobs, which the server then gives to others."""
    task = asyncio.ensure_future(Agent(chosen).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        return await task
    return 0


def main() -> int:
    """Returns the exit code.

    0 done, 1 the working folder is in use, 4 the server does not take the token, or one side not the other's certificate.
    """
    try:
        chosen = options()
    except (OSError, msgspec.DecodeError) as error:
        sys.stderr.write(f"error[RNR001]: the token, the credential or a certificate cannot be read: {error}\n")
        return 4
    try:
        return asyncio.run(work(chosen))
    except WorkInUse as error:
        sys.stderr.write(f"error[RNR002]: {error}\n")
        return 1
    except Rejected as error:
        sys.stderr.write(f"error[RNR003]: the server refused this runner: {error}\n")
        return 4 if error.problem.status in (401, 403) else 1
    except Distrusted as error:
        sys.stderr.write(f"error[RNR004]: {error}\n")
        return 4


if __name__ == "__main__":
    sys.exit(main())
