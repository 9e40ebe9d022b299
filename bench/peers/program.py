"""A peer that is a library: a small program around it, in the peer's own environment, that measures itself when asked.

It says "ready" when it can begin; then each line on its standard input is a number of jobs to put through, and each line
that it writes is the jobs per second that came of it. Between questions it waits for work, as it would in use.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.peers import environment
from bench.peers.environment import PEERS, PeerMissingError
from bench.place import Place

START_SECONDS = 60
ROUND_SECONDS = 120


class Program:
    """A running one."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    async def rate(self, jobs: int) -> float:
        """Put so many jobs through; returns jobs per second."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{jobs}\n".encode())
        return float(await self.says(ROUND_SECONDS))

    async def says(self, seconds: float) -> str:
        """Its next line. Raises RuntimeError when it ends or is silent for too long."""
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        except TimeoutError:
            raise RuntimeError(f"{self._name} says nothing for {seconds} s") from None
        if not line:
            raise RuntimeError(f"{self._name} ended with {await self._process.wait()}")
        return line.decode().strip()


@asynccontextmanager
async def running(place: Place, name: str) -> AsyncIterator[Program]:
    """bench/peers/programs/`name`.py on a database of its own. Raises PeerMissingError."""
    programs = await asyncio.to_thread(environment.python, name)
    log = place.directory / f"{name}.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            programs / "python",
            "-P",  # the program may be called as the package that it imports
            PEERS / "programs" / f"{name}.py",
            place.database(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={"PATH": os.environ["PATH"], "HOME": str(place.directory)},
        )
    try:
        program = Program(name, process)
        try:
            await program.says(START_SECONDS)
        except RuntimeError as error:
            said = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise PeerMissingError(f"{name} does not start: {error}: {''.join(said)}") from error
        yield program
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
