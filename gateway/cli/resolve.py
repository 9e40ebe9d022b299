"""RUN, RUN/JOB and RUN/JOB/STEP as people write them, turned into the run, the job and the step that they mean.

RUN is an id, a unique prefix of one, `latest`, WORKFLOW#N, or N where only one workflow has it. JOB is a name, a key or
a prefix of an id; STEP a number from 1 or a name. What is ambiguous is never guessed: the candidates are listed.
"""

import re
from itertools import islice
from typing import Any

import msgspec

from gateway.cli.client import Client
from gateway.cli.errors import CliError, Exit, usage

LOOK_BACK = 5000
"""How many of the newest runs a number or a prefix is looked for among."""

Json = dict[str, Any]


class Words(msgspec.Struct, frozen=True):
    """A reference taken apart: the run, and what follows it."""

    run: str
    rest: str = ""


def split(reference: str) -> Words:
    """Take RUN and the rest apart. A workflow may be a path, so with WORKFLOW#N the first slash after # divides."""
    head, mark, tail = reference.rpartition("#")
    if mark:
        number, _, rest = tail.partition("/")
        return Words(f"{head}#{number}", rest)
    run, _, rest = reference.partition("/")
    return Words(run, rest)


def find_run(client: Client, reference: str) -> Json:
    """The run that a reference names. Raises CliError: not found (5), or ambiguous (64) with the candidates."""
    text = reference.strip().lower().removeprefix("run_")
    if not text:
        raise usage("RUN is empty", "give an id, `latest`, WORKFLOW#N or N")
    if re.fullmatch(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", text):
        return client.get(f"/runs/{text}")  # type: ignore[no-any-return]  # the API answers an object here
    if text == "latest":
        found = list(islice(client.items("/runs", per_page=1), 1))
    else:
        found = [run for run in islice(client.items("/runs", per_page=100), LOOK_BACK) if _means(text, run)]
    if not found:
        raise CliError("RUN011", f'no run is called "{reference}"', help="ledgermill runs list", exit_code=Exit.NOT_FOUND)
    if len(found) > 1:
        listed = "\n".join(f"  {run['workflow']}#{run['number']}  {run['id']}  {run['status']}" for run in found[:10])
        raise usage(f'"{reference}" may mean any of {len(found)} runs:\n{listed}', "write WORKFLOW#N or more of the id")
    return found[0]


def _means(text: str, run: Json) -> bool:
    workflow, mark, number = text.rpartition("#")
    if mark:
        return number == str(run["number"]) and workflow in workflow_names(run)
    if text.isdigit() and len(text) < 8 and text == str(run["number"]):
        return True
    return len(text) >= 4 and str(run["id"]).startswith(text)


def workflow_names(run: Json) -> set[str]:
    """All that a run's workflow may be called by, lower case: path, file name, file name without ending, name."""
    path = str(run.get("workflow_path") or run["workflow"]).lower()
    file = path.rpartition("/")[2]
    return {path, file, file.rpartition(".")[0], str(run["workflow"]).lower()}


def find_jobs(jobs: list[Json], reference: str) -> tuple[list[Json], str]:
    """The jobs that "JOB" or "JOB/STEP" names, and the step. A key names all instances of its matrix."""
    if not reference:
        return jobs, ""
    for job_part, step in ((reference, ""), tuple(reference.rsplit("/", 1)) if "/" in reference else (reference, "")):
        named = [job for job in jobs if job_part == job["name"]] or [job for job in jobs if job_part == job.get("key")]
        found = named or [job for job in jobs if len(job_part) >= 4 and str(job["id"]).startswith(job_part.removeprefix("job_"))]
        if found:
            return found, step
    names = ", ".join(str(job["name"]) for job in jobs) or "none"
    raise CliError("RUN012", f'the run has no job "{reference}"', because=f"its jobs: {names}", exit_code=Exit.NOT_FOUND)


def find_step(job: Json, reference: str) -> int:
    """The index of the step that a number from 1 or a name means."""
    steps = job.get("steps") or []
    for step in steps:
        if reference in (str(step["index"] + 1), step["name"], step.get("id")):
            return int(step["index"])
    names = ", ".join(f"{step['index'] + 1} {step['name']}" for step in steps) or "none"
    raise CliError("RUN013", f'job "{job["name"]}" has no step "{reference}"', because=f"its steps: {names}", exit_code=Exit.NOT_FOUND)
