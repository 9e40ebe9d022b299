"""`up --detach`: the server in a session of its own, watched until it is ready."""

import os
import subprocess
import sys
from pathlib import Path

import click

from gateway.cli.errors import Exit

DETACHED = "LEDGERMILL_DETACHED"


def start_detached(data: Path) -> int:
    """Start `up` in a session of its own, show what it says until it is ready, and leave it."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
    code = "import sys; from gateway.cli.main import main; sys.exit(main())"
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, DETACHED: "1"},
    )
    for line in child.stdout or ():
        sys.stdout.write(line.decode())
        sys.stdout.flush()
    try:
        return child.wait(0.05)
    except subprocess.TimeoutExpired:
        click.echo(f"It runs on (pid {child.pid}); ledgermill down{'' if '--data' not in arguments else f' --data {data}'} stops it.")
        return Exit.OK


def let_go_of_terminal(data: Path) -> None:
    """A detached server gives up the pipes of the verb that started it."""
    if not os.environ.get(DETACHED):
        return
    target = os.open(data / "logs" / "server.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
