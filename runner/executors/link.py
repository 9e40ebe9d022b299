"""The agent's side of a guardian: the socket, and the futures of those who wait for what comes over it.

All the agent does per step is to write one message and to read two. Messages may be written from any thread; they are
read on the event loop. A guardian serves one job at a time and may serve another one when nothing of the first is left.
"""

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path
from typing import Any

from runner.executors.port import CannotStart, CellLost, Command

PACKAGES = str(Path(__file__).resolve().parents[2])
BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from runner.executors.guardian import main; main(int(sys.argv[2]))"
SEND_SECONDS = 5


class GuardedProcess:
    """A step below a guardian."""

    def __init__(self, link: "GuardianLink", step: int, stdout: int, stderr: int) -> None:
        self.link = link
        self.step = step
        self.stdout = stdout
        self.stderr = stderr
        self.pid = 0
        loop = asyncio.get_running_loop()
        self.spawned: asyncio.Future[int] = loop.create_future()
        self.exited: asyncio.Future[int] = loop.create_future()

    def wait(self) -> asyncio.Future[int]:
        """See Process."""
        return asyncio.shield(self.exited)

    def signal(self, number: int) -> None:
        """See Process."""
        self.link.send({"order": "signal", "step": self.step, "signal": number})

    async def kill(self) -> int:
        """See Process."""
        return await self.link.kill(self.step)


class GuardianLink:
    """A guardian process and the socket to it. expired: a deadline has passed. lost: the process is gone."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
        self.connection = ours
        self.sending = threading.Lock()
        self.received = bytearray()
        self.steps: dict[int, GuardedProcess] = {}
        self.kills: dict[int, asyncio.Future[int]] = {}
        self.numbers = count(1)
        self.expired = False
        self.lost = False
        self.guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BOOT, PACKAGES, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
        theirs.close()
        self.loop = asyncio.get_running_loop()
        self.loop.add_reader(ours, self.receive)

    def send(self, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        """Write one message. Raises CellLost when the guardian is gone or does not read."""
        data = json.dumps(message).encode()
        data = len(data).to_bytes(4, "big") + data
        with self.sending:
            try:
                if descriptors:
                    sent = socket.send_fds(self.connection, [data], list(descriptors))
                    data = data[sent:]
                if data:
                    self.connection.sendall(data)
            except OSError as error:
                raise CellLost("the guardian of the job is gone") from error

    def receive(self) -> None:
        """Take in what the guardian wrote."""
        try:
            data = self.connection.recv(1 << 16, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.lose()
            return
        self.received += data
        while len(self.received) >= 4:
            size = int.from_bytes(self.received[:4], "big")
            if len(self.received) < 4 + size:
                return
            self.note(json.loads(self.received[4 : 4 + size]))
            del self.received[: 4 + size]

    def note(self, message: dict[str, Any]) -> None:
        """Act on one message of the guardian."""
        match message["event"]:
            case "spawned":
                settle(self.steps[message["step"]].spawned, message["pid"])
            case "failed":
                settle(self.steps.pop(message["step"]).spawned, CannotStart(message["message"]))
            case "exited":
                settle(self.steps.pop(message["step"]).exited, message["code"])
            case "killed":
                settle(self.kills.pop(message["request"]), message["left"])
            case "expired":
                self.expired = True
            case other:
                raise AssertionError(other)

    def lose(self) -> None:
        """The guardian is gone: nothing that was asked of it will be answered."""
        self.loop.remove_reader(self.connection)
        self.lost = True
        for step in self.steps.values():
            for future in (step.spawned, step.exited):
                settle(future, CellLost("the guardian of the job was killed"))
        for kill in self.kills.values():
            settle(kill, 0)
        self.steps.clear()
        self.kills.clear()

    async def start(self, command: Command) -> GuardedProcess:
        """See Cell."""
        if self.lost:
            raise CellLost("the guardian of the job was killed")
        pipes = [*os.pipe2(os.O_CLOEXEC), *os.pipe2(os.O_CLOEXEC)]
        stdout, stdout_end, stderr, stderr_end = pipes
        os.set_blocking(stdout, False)
        os.set_blocking(stderr, False)
        number = next(self.numbers)
        process = GuardedProcess(self, number, stdout, stderr)
        self.steps[number] = process
        message = {"order": "spawn", "step": number, "argv": command.argv, "env": command.environment, "cwd": command.cwd}
        try:
            self.send(message, (stdout_end, stderr_end))
            os.close(stdout_end)
            os.close(stderr_end)
            pipes = [stdout, stderr]
            process.pid = await process.spawned
        except BaseException:
            for descriptor in pipes:
                os.close(descriptor)
            raise
        return process

    async def kill(self, step: int | None = None) -> int:
        """End the tree of one step, or of all."""
        if self.lost:
            return 0
        request = next(self.numbers)
        done: asyncio.Future[int] = self.loop.create_future()
        self.kills[request] = done
        try:
            self.send({"order": "kill", "step": step, "request": request})
        except CellLost:
            return 0
        return await done

    async def close(self) -> None:
        """End the guardian, and with it whatever still runs below it."""
        if not self.lost:
            self.loop.remove_reader(self.connection)
            self.lost = True
        self.connection.close()
        await asyncio.to_thread(self.guardian.wait)


def settle(future: asyncio.Future[int], result: int | Exception) -> None:
    """Give a future its result unless it has one; an exception that nobody waits for is no error."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        future.exception()
    else:
        future.set_result(result)
