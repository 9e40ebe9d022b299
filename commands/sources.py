"""The blobs that a run names by digest, loaded and parsed for the decisions that evaluate over them."""

from collections import OrderedDict
from typing import Any

import msgspec
from msgspec.structs import replace

from domain.ports import Blobs
from domain.run.commands import AdmitCall, AdmitRun, CancelCall, ConcludeJob, PlanRerun
from domain.run.state import Run
from domain.workflow.model import Workflow

PARSED_MAX = 512

_OPENING_NODES = ConcludeJob | AdmitRun | AdmitCall | CancelCall | PlanRerun

_WORKFLOW = msgspec.json.Decoder(Workflow)


class SourceLoader:
    """Reads workflows and payloads from the blob store; the last ones stay parsed."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._parsed: OrderedDict[tuple[str, str], Any] = OrderedDict()

    async def workflow(self, digest: str) -> Workflow:
        """The parsed workflow. Raises KeyError when the blob is gone."""
        parsed: Workflow = await self._get("workflow", digest)
        return parsed

    async def payload(self, digest: str) -> dict[str, Any]:
        """The event's payload (`github.event`). Raises KeyError when the blob is gone."""
        parsed: dict[str, Any] = await self._get("payload", digest)
        return parsed

    async def enrich(self, command: Any, state: Any) -> Any:
        """A command that opens nodes gets the workflow and the payload of its run; other commands stay as they are."""
        if not isinstance(command, _OPENING_NODES) or not isinstance(state, Run) or command.workflow_ast is not None:
            return command
        return replace(
            command,
            workflow_ast=await self.workflow(state.plan),
            payload_json=await self.payload(state.facts.payload),
        )

    async def _get(self, kind: str, digest: str) -> Any:
        key = (kind, digest)
        if key in self._parsed:
            self._parsed.move_to_end(key)
            return self._parsed[key]
        content = await self._blobs.get(digest)
        parsed = _WORKFLOW.decode(content) if kind == "workflow" else msgspec.json.decode(content)
        self._parsed[key] = parsed
        if len(self._parsed) > PARSED_MAX:
            self._parsed.popitem(last=False)
        return parsed
