"""Starts what listens to a run (`workflow_run`): loads the listeners that the run fixed and stores the event that they get."""

from typing import Any

import msgspec

from commands.sources import SourceLoader
from domain.envelope import Recorded
from domain.ports import Blobs
from domain.run import followers
from domain.run.commands import TriggerRun
from domain.run.state import Run

_ENCODER = msgspec.json.Encoder(order="sorted")


async def following(blobs: Blobs, sources: SourceLoader, run: Run, event: Recorded) -> tuple[TriggerRun, ...]:
    """The runs that `event` of `run` starts. The blob is stored first; storing it again is free."""
    if run.followers is None or not isinstance(event.data, followers.FOLLOWED):
        return ()
    listeners = [(each, await sources.workflow(each.plan)) for each in run.followers.followers]
    original: dict[str, Any] = await sources.payload(run.facts.payload)
    payload = followers.payload(run, event.data, original.get("repository"))
    content = _ENCODER.encode(payload)
    return followers.follow(run, payload, (await blobs.put(content), len(content)), listeners)
