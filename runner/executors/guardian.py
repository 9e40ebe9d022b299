"""The guardian of one job: a tiny process that starts the job's steps and outlives nobody.

It is the child subreaper of everything the job starts, so nothing can escape it; it holds one end of a socket whose
other end only the agent holds, so it notices the agent's death, SIGKILL included, and then kills the whole tree; and it
knows until when the lease lasts, so it kills the tree even when the agent hangs. Starting steps from here is also
cheap: nothing is forked from the agent, whose memory may be large.

Messages are JSON with a length before them. To the guardian: spawn (with two descriptors), signal, kill, deadline.
From it: spawned, failed, exited, killed, expired. Standard library only; it must never wait for anything but this
socket and its children.
"""

import array
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from runner.executors import tree

KILL_PATIENCE_SECONDS = 20.0
RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
"""Python ignores the first two, and a step must not inherit that."""


class Guardian:
    """The state of one guardian: its children, and the processes that were there before the current step."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.steps: dict[int, int] = {}
        self.earlier: dict[int, set[tree.Identity]] = {}
        self.descriptors: list[int] = []
        self.received = bytearray()
        self.expires_at: float | None = None
        self.null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def serve(self) -> None:
        """Obey until the agent is gone, then leave nothing behind."""
        wake, woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        poll.register(wake, select.POLLIN)
        alive = True
        while alive:
            for descriptor, _ in poll.poll(self.wait_milliseconds()):
                if descriptor == wake:
                    with suppress(BlockingIOError):
                        os.read(wake, 4096)
                else:
                    alive = self.receive()
            self.reap()
            if self.expires_at is not None and time.monotonic() >= self.expires_at:
                self.expires_at = None
                self.send({"event": "expired"})
                self.kill()
        self.kill()

    def wait_milliseconds(self) -> float | None:
        """How long to sleep at most: until the lease ends."""
        if self.expires_at is None:
            return None
        return max(0.0, self.expires_at - time.monotonic()) * 1000 + 1

    def receive(self) -> bool:
        """Take in what the agent wrote and act on whole messages. False: the agent is gone."""
        room = socket.CMSG_SPACE(16 * 4)
        try:
            data, ancillary, _, _ = self.connection.recvmsg(1 << 16, room, socket.MSG_CMSG_CLOEXEC)
        except InterruptedError:
            return True
        except OSError:
            return False
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                passed = array.array("i")
                passed.frombytes(payload[: len(payload) - len(payload) % passed.itemsize])
                self.descriptors.extend(passed)
        if not data:
            return False
        self.received += data
        while len(self.received) >= 4:
            size = int.from_bytes(self.received[:4], "big")
            if len(self.received) < 4 + size:
                break
            message = json.loads(self.received[4 : 4 + size])
            del self.received[: 4 + size]
            self.obey(message)
        return True

    def obey(self, message: dict[str, Any]) -> None:
        """Do what one message says."""
        match message["order"]:
            case "spawn":
                self.spawn(message)
            case "signal":
                tree.send(tree.descendants(os.getpid()) - self.earlier.get(message["step"], set()), message["signal"])
            case "kill":
                left = self.kill(message.get("step"))
                self.send({"event": "killed", "request": message["request"], "left": left})
            case "deadline":
                self.expires_at = message["at"]
            case other:
                raise AssertionError(other)

    def spawn(self, message: dict[str, Any]) -> None:
        """Start a step in a session of its own. Output goes to the two descriptors that came with the message."""
        step = message["step"]
        out, err = self.descriptors[0], self.descriptors[1]
        del self.descriptors[:2]
        self.earlier[step] = tree.descendants(os.getpid()) if tree.has_children() else set()
        try:
            os.chdir(message["cwd"])
            pid = os.posix_spawnp(
                message["argv"][0],
                message["argv"],
                message["env"],
                file_actions=[(os.POSIX_SPAWN_DUP2, self.null, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)],
                setsid=True,
                setsigmask=[],
                setsigdef=RESET_SIGNALS,
            )
        except OSError as error:
            self.send(
                {
                    "event": "failed",
                    "step": step,
                    "errno": error.errno,
                    "message": f"{error.strerror}: {error.filename or message['argv'][0]}",
                }
            )
        else:
            self.steps[pid] = step
            self.send({"event": "spawned", "step": step, "pid": pid})
        finally:
            os.chdir("/")
            os.close(out)
            os.close(err)

    def reap(self) -> None:
        """Collect every dead child, ours or adopted, and report those that are steps."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            step = self.steps.pop(pid, None)
            if step is not None:
                self.send({"event": "exited", "step": step, "code": os.waitstatus_to_exitcode(status)})

    def kill(self, step: int | None = None) -> int:
        """Kill the tree of one step, or everything. Returns the number of processes that would not die."""
        spared = self.earlier.get(step, set()) if step is not None else set()
        if step is None:
            self.earlier.clear()
        if not tree.has_children():
            return 0
        left = tree.kill_all(os.getpid(), self.reap, KILL_PATIENCE_SECONDS, spared=spared)
        self.reap()
        return left

    def send(self, message: dict[str, Any]) -> None:
        """Tell the agent; whether it is still there is noticed when reading."""
        data = json.dumps(message).encode()
        with suppress(OSError):
            self.connection.sendall(len(data).to_bytes(4, "big") + data)


def main(descriptor: int) -> None:
    """Run on an inherited socket until the agent closes its end."""
    os.umask(0o022)
    os.chdir("/")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    tree.become_subreaper()
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    Guardian(connection).serve()
    sys.exit(0)
