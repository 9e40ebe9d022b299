"""An owner of embedded servers as a process of its own, so that tests can kill it: `python owner_process.py DIR`.

Prints one JSON line when the servers serve (or the error), then waits for the end of its standard input and stops them.
"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[3]
SECONDS_MAX = 30


def main(data: Path) -> None:
    sys.path.insert(0, str(ROOT))
    from infra.embedded.supervisor import EmbeddedError, start

    try:
        embedded = start(data)
    except EmbeddedError as error:
        tell({"code": error.code, "because": error.because})
        return
    answer = {"database_url": embedded.database_url, "nats_url": embedded.nats_url, "pids": embedded.pids, "uid": os.geteuid()}
    tell(answer)
    sys.stdin.read()
    embedded.stop()


def tell(answer: dict) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class OwnerProcess:
    """The test's side: `answer` is the JSON line; `kill` ends the owner at once; used as a context it leaves nothing behind."""

    def __init__(self, data: Path, prefix: list[str] | None = None) -> None:
        argv = [*(prefix or []), sys.executable, "-B", __file__, str(data)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer = json.loads(self.process.stdout.readline() or "{}")
        self.watches = {name: os.pidfd_open(pid) for name, pid in self.answer.get("pids", {}).items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(SECONDS_MAX)
        self.process.stdout.close()
        for watch in self.watches.values():
            os.close(watch)

    def kill(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(SECONDS_MAX)

    def kill_servers(self) -> None:
        for watch in self.watches.values():
            signal.pidfd_send_signal(watch, signal.SIGKILL)

    def servers_end(self) -> bool:
        """Whether both server processes end within the bound."""
        return all(select.select([watch], [], [], SECONDS_MAX)[0] for watch in self.watches.values())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
