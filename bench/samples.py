"""What is written and asked for: an event of a usual size (a started job, about 270 bytes stored), and the request for a run."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from domain import ids
from domain.envelope import Meta
from domain.job.events import JobStarted
from domain.ports import NewEvent, StreamWrite
from infra import codec
from infra.append_call import Row

AT = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
META = Meta(at=AT, tenant="default", actor="runner-1", cause=ids.derive("bench", "cause"), correlation=ids.derive("bench", "run"))
EVENT = NewEvent(JobStarted(1, 1, AT), META)
TOPIC, STATE = codec.to_row(EVENT)


def write(events: int = 1) -> list[StreamWrite]:
    """So many events, each the first of a new stream: the hardest case for the indexes."""
    return [StreamWrite(uuid4(), 0, (EVENT,)) for _ in range(events)]


def rows(events: int = 1) -> list[Row]:
    """The same as stored rows."""
    return [(uuid4(), 1, TOPIC, STATE) for _ in range(events)]


def run_request(repository: str, scripts: Sequence[str]) -> dict[str, Any]:
    """The body of `POST /api/v1/runs`: one job whose steps are these scripts, each in a bash of its own."""
    steps = "\n".join(f"      - run: {script}\n        shell: bash" for script in scripts)
    text = f"on: push\njobs:\n  job:\n    runs-on: self-hosted\n    steps:\n{steps}\n"
    return {
        "repository": {"full_name": repository, "provider": "local", "clone_url": "/nowhere"},
        "source_url": "/nowhere",
        "sha": "0" * 40,
        "ref": "refs/heads/main",
        "event": "push",
        "workflows": [{"path": ".github/workflows/ci.yml", "text": text}],
    }
