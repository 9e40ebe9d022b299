"""The product as a user starts it: `ledgermill up` as a process, until it says that it is ready, and its end."""

import asyncio
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

LEDGERMILL = Path(sys.executable).with_name("ledgermill")
START_SECONDS = 60


class Server:
    """A running `up`. seconds: from the start of the process to its line "Ready"."""

    def __init__(self, process: asyncio.subprocess.Process, seconds: float, data: Path, url: str) -> None:
        self.process = process
        self.seconds = seconds
        self.url = url
        self.token = (data / "token").read_text().strip()
        self.runner_token = (data / "runner-token").read_text().strip()

    def call(self, path: str, body: Any = None) -> Any:
        """One request of the API, on a connection of its own."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/api/v1{path}", content, headers), timeout=30) as answer:
            return json.load(answer)

    async def runner_online(self) -> None:
        """Return when the local runner has registered and polls for work."""
        give_up_at = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up_at:
            found = await asyncio.to_thread(self.call, "/runners")
            if any(runner["state"] in {"idle", "online"} for runner in found["items"]):
                return
            await asyncio.sleep(0.05)
        raise TimeoutError("no runner came online")

    async def views_reach_head(self) -> None:
        """Return when every view shows what the log holds now."""
        head = (await asyncio.to_thread(self.call, "/projections"))["head"]
        while any(view["position"] < head for view in (await asyncio.to_thread(self.call, "/projections"))["items"]):
            await asyncio.sleep(0.005)

    def cpu_seconds(self) -> float:
        """The processor time that the server and all processes below it have taken."""
        ticks = 0
        for pid in _tree(self.process.pid):
            try:
                ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[11:15]))
            except OSError:
                continue
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """The proportional memory of the server and all processes below it."""
        return sum(_pss_kb(pid) for pid in _tree(self.process.pid)) / 1024


@asynccontextmanager
async def up(data: Path, *options: str) -> AsyncIterator[Server]:
    """Start a server on this data directory, with options of `up`; end it as Ctrl-C does."""
    before = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEDGERMILL_")}
    process = await asyncio.create_subprocess_exec(
        LEDGERMILL, "up", "--data", data, "--port", "0", *options, stdout=asyncio.subprocess.PIPE, env=environment, start_new_session=True
    )
    assert process.stdout is not None
    try:
        url = ""
        async with asyncio.timeout(START_SECONDS):
            async for line in process.stdout:
                words = line.decode().split()
                if words[:1] == ["gateway"]:
                    url = words[1]
                if words[:2] == ["Ready", "in"]:
                    break
            else:
                raise RuntimeError(f"ledgermill up ended with {await process.wait()}")
        yield Server(process, time.perf_counter() - before, data, url)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(process.communicate(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()


def _tree(root: int) -> set[int]:
    """The process and all that stand below it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parents[int(name)] = int(Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()[1])
            except OSError:
                continue
    found, size = {root}, 0
    while len(found) > size:
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found


def _pss_kb(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0
