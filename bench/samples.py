"""What is written, asked for and read: an event of a usual size (270 bytes stored), the request for a run, a workflow file."""

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
STEP = """      - name: Step {n} of the job
        id: step-{n}
        if: github.event_name == 'push' && steps.step-0.outputs.go == '{n}'
        env:
          TOKEN: ${{{{ secrets.TOKEN_{n} }}}}
          PLAIN: value {n}
        run: |
          echo "line one of step {n}"
          echo ${{{{ matrix.os }}}} ${{{{ env.PLAIN }}}}
          make target-{n} --with some --more arguments
          ./tools/check.sh {n}
"""


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


def workflow_file() -> str:
    """A workflow of 13 KB: jobs with a matrix, steps with conditions, variables and expressions in their scripts."""
    text = "name: Big\non:\n  push:\n    branches: [main]\njobs:\n"
    number = 0
    while len(text) < 12_800:
        text += f"  job-{number}:\n    strategy: {{matrix: {{os: [a, b], v: [1, 2]}}}}\n    runs-on: ${{{{ matrix.os }}}}\n    steps:\n"
        for _ in range(6):
            text += STEP.format(n=number)
            number += 1
    return text
