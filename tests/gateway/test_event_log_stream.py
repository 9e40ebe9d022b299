"""The stream of the whole event log, as the API gives it and as `ledgermill events tail` shows it."""

import asyncio
import json
import sys
from pathlib import Path

from tests.gateway.conftest import Gateway

TAIL = [sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())", "events", "tail", "--json"]


async def test_every_event_comes_once_and_in_order(gateway: Gateway) -> None:
    """What was there before, then what comes, on a connection that is resumed: the log, position by position."""
    runner = await gateway.runner()
    await gateway.run()
    seen: list[tuple[int, str]] = []
    async with asyncio.timeout(30):
        async with gateway.stream("/api/v1/events/stream") as events:
            async for identity, _, data in events:
                seen.append((int(identity), data["type"]))
                if data["type"] == "JobQueued":
                    break
        async with gateway.stream("/api/v1/events/stream", str(seen[-1][0])) as events:
            await runner.work(await runner.acquire())
            async for identity, _, data in events:
                seen.append((int(identity), data["type"]))
                if data["type"] == "RunCompleted":
                    break
    page = await gateway.store.read(0)
    assert page is not None
    assert seen == [(event.position, event.type) for event in page.events][: len(seen)]


async def test_events_tail_shows_them_as_they_come(gateway: Gateway, tmp_path: Path) -> None:
    """`events tail --type` prints the asked-for events of a run that starts later, one JSON object a line."""
    token = tmp_path / "admin"
    token.write_text(gateway.tokens["admin"])
    place = ("--server", gateway.url, "--token-file", str(token))
    wanted = ("--type", "RunCompleted", "--type", "JobQueued", "--after", "0", "-L", "2")
    tail = await asyncio.create_subprocess_exec(*TAIL, *wanted, *place, stdout=asyncio.subprocess.PIPE)
    assert tail.stdout is not None
    async with asyncio.timeout(30):
        run = await gateway.run()
        queued = json.loads(await tail.stdout.readline())
        assert (queued["type"], queued["correlation_id"]) == ("JobQueued", str(run))
        runner = await gateway.runner()
        await runner.work(await runner.acquire())
        completed = json.loads(await tail.stdout.readline())
        assert (completed["type"], completed["stream"]) == ("RunCompleted", str(run))
        assert await tail.wait() == 0
