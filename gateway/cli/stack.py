"""A stack of the verb's own: embedded servers, gateway and local runners in a child process, for as long as it is needed.

A child, so that the verb draws its output while the stack starts and works, and so that Ctrl-C reaches only the verb
(the child is a session of its own). The child ends when its standard input closes; that happens also when the verb is
killed with SIGKILL, so nothing is ever left running. The child says where it listens, or why it cannot, in one line of
JSON on standard output; everything else it has to say goes to `logs/stack.log` of the data directory.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from gateway.cli.client import Client
from gateway.cli.errors import CliError, Exit

STOP_SECONDS = 15
LINGER_SECONDS = 0.5


class OwnStack:
    """A child that loads its modules at once, starts servers only when `client()` is asked for, and ends with the context.

    So a verb can begin before it knows whether it will need a stack: what is refused at plan time has started nothing.
    """

    def __init__(self, data: Path, *, runners: int, labels: Sequence[str] = ()) -> None:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        (data / "logs").mkdir(exist_ok=True, mode=0o700)
        self.log = data / "logs" / "stack.log"
        self._going = False
        command = [sys.executable, "-P", "-m", "gateway.cli.stack", str(data), str(runners), ",".join(labels)]
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True, cwd=data
            )

    def client(self) -> Client:
        """The client of the running stack. Raises CliError with the stack's own words when it cannot start."""
        self._going = True
        self._tell(b"go\n")
        line = self._child.stdout.readline() if self._child.stdout else b""
        answer: dict[str, Any] = json.loads(line) if line else {}
        if "url" in answer:
            return Client(answer["url"], answer["token"])
        raise CliError(
            answer.get("code", "RUN008"),
            answer.get("message", "the embedded stack ended before it was ready"),
            because=answer.get("because"),
            help=answer.get("help") or f"see {self.log}",
            exit_code=Exit.FAILED,
        )

    def stop(self) -> None:
        """Ask the stack to end and wait; kill it when it does not. While other verbs' runs are on it, it ends after them."""
        if not self._going:  # nothing was started yet
            self.kill()
            return
        self._tell(b"done\n")
        with contextlib.suppress(OSError):
            if self._child.stdin:
                self._child.stdin.close()
        if self._child.stdout and self._child.stdout.readline():  # it said "lingering"; at its end there is no line
            return
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def _tell(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._child.stdin:
                self._child.stdin.write(word)
                self._child.stdin.flush()

    def kill(self) -> None:
        """End it now. Its embedded servers and runners end with it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for pipe in (self._child.stdin, self._child.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()


async def serve(data: Path, runners: int, labels: tuple[str, ...]) -> None:
    """The child: run the stack until its verb is done or gone, or a signal asks for the end."""
    from gateway.cli.server_process import local_stack
    from gateway.cli.wiring import settings

    began, stopped = datetime.now(UTC), asyncio.Event()
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bytes] = loop.create_future()

    def end(said: bytes = b"") -> None:
        if not ended.done():
            ended.set_result(said)

    def heard() -> None:
        loop.remove_reader(0)
        end(os.read(0, 4096))

    def stop() -> None:
        stopped.set()
        end()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_reader(0, heard)
    async with local_stack(settings(data), runners, labels) as (url, token):
        say({"url": url, "token": token})
        if await ended:
            await _linger(Client(url, token), began, stopped)


async def _linger(client: Client, began: datetime, stopped: asyncio.Event) -> None:
    """Another verb may have found this stack and started a run on it: stay until none of those is open.

    Neither runs from before this stack keep it, nor those that wait for a runner that it will never have.
    """
    said = False
    while not stopped.is_set() and await asyncio.to_thread(_at_work, client, began):
        if not said:
            say({"lingering": True})
            said = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), LINGER_SECONDS)


def _at_work(client: Client, began: datetime) -> bool:
    try:
        newest = (client.get("/runs", status=status, per_page=1)["items"] for status in ("queued", "in_progress"))
        if not any(datetime.fromisoformat(run["created_at"]) >= began for runs in newest for run in runs):
            return False
        runners, lanes = client.get("/runners")["items"], client.get("/queue")["items"]
        takes = any(set(lane["labels"]) <= set(runner["labels"]) for lane in lanes for runner in runners)
        return not lanes or takes or any(runner["jobs"] for runner in runners)
    except CliError:  # a stack that cannot answer has nobody to stay for
        return False


def _load() -> None:
    """Import what the stack needs while the verb still plans."""
    import gateway.local_stack
    import gateway.serving  # noqa: F401 - for later
    from gateway import wiring

    wiring.load()


def say(answer: dict[str, Any]) -> None:
    """One line to the verb."""
    print(json.dumps(answer), flush=True)


def main(arguments: Sequence[str]) -> int:
    """Entry of the child: DATA RUNNERS LABELS."""
    from gateway.cli.server_process import loop_factory

    data, runners, labels = arguments
    _load()
    if os.read(0, 3) != b"go\n":
        return 0
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve(Path(data), int(runners), tuple(label for label in labels.split(",") if label)))
    except Exception as error:  # noqa: BLE001 - whatever stopped it: the verb shows the words, the log the rest
        import traceback

        traceback.print_exc()
        found = {name: getattr(error, name, None) for name in ("code", "message", "because", "help")}
        say({"message": str(error)} | {name: value for name, value in found.items() if isinstance(value, str) and value})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
