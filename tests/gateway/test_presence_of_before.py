"""Local runners end with their server, and the history says so, however the server ended."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.ports import free_port
from tests.rigs.runs import until
from tests.rigs.server import Server

LEDGERMILL = [sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A data directory whose server had a runner, which is online."""
    server = Server(tmp_path / "data", free_port())
    server.start(runners=1)
    until(lambda: [runner["state"] for runner in runners(server)] == ["idle"], 30, "the runner is there")
    yield server
    server.kill()


def runners(server: Server) -> list[dict[str, Any]]:
    """The runners as the API lists them."""
    found: list[dict[str, Any]] = server.call("GET", "/api/v1/runners")["items"]
    return found


def test_a_stopped_server_leaves_no_runner_that_looks_alive(server: Server) -> None:
    """SIGTERM: the last thing that is noted is that the local runner has gone."""
    server.stop()
    shown = subprocess.run(
        [*LEDGERMILL, "runner", "list", "--json", "--data", str(server.data)], capture_output=True, text=True, check=True
    )
    assert '"offline"' in shown.stdout, shown.stdout


def test_a_killed_servers_runner_is_offline_after_the_next_start(server: Server) -> None:
    """SIGKILL: nobody could note anything; the next server finds the runner's process gone."""
    server.kill()
    server.start()
    until(lambda: [runner["state"] for runner in runners(server)] == ["offline"], 10, "the runner of before is offline")
