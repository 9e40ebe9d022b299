"""Ending a background task for certain."""

import asyncio
import contextlib


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel until the task is done: a library that swallows one cancellation (nats-py does, in publish_async) gets another."""
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.2)
    if task is not None:
        with contextlib.suppress(asyncio.CancelledError):
            task.result()
