"""An agent against the test gateway: in this process where the test looks at what it does, as a process where it is killed."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.agent import Agent, Options
from runner.server import Server

_spec = importlib.util.spec_from_file_location("runner_test_gateway", Path(__file__).with_name("gateway.py"))
assert _spec is not None
assert _spec.loader is not None
gateway_module = importlib.util.module_from_spec(_spec)
sys.modules["runner_test_gateway"] = gateway_module
_spec.loader.exec_module(gateway_module)

ROOT = Path(__file__).resolve().parents[2]


class Bench:
    """A gateway, a working folder, and agents for them."""

    def __init__(self, gateway: Any, work: Path) -> None:
        self.gateway = gateway
        self.work = work

    @asynccontextmanager
    async def agent(self, **changes: Any) -> AsyncIterator[Agent]:
        """An agent in this process; it is stopped at the end."""
        facts: dict[str, Any] = {
            "server": Server(self.gateway.url, lambda: gateway_module.TOKEN),
            "name": "box",
            "labels": ("self-hosted",),
            "slots": 1,
            "work": self.work,
        }
        agent = Agent(Options(**(facts | changes)))
        task = asyncio.ensure_future(agent.run())
        try:
            yield agent
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def run(self, message: Any, seconds: float = 30) -> Any:
        """Run one job to its end; returns its report."""
        async with self.agent():
            await self.gateway.put(message)
            return await self.gateway.ended(message.job, seconds)

    async def process(self, *arguments: str) -> asyncio.subprocess.Process:
        """An agent as a process of its own."""
        token = self.work.parent / "token"
        token.write_text(gateway_module.TOKEN)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "runner",
            "--url",
            self.gateway.url,
            "--token-file",
            str(token),
            "--work",
            str(self.work),
            *arguments,
            cwd=ROOT,
        )


@pytest.fixture
async def gateway() -> AsyncIterator[Any]:
    """A gateway with leases of 30 s."""
    async with gateway_module.Gateway() as served:
        yield served


@pytest.fixture
async def bench(gateway: Any, tmp_path: Path) -> Bench:
    """A gateway and a working folder."""
    return Bench(gateway, tmp_path / "work")
