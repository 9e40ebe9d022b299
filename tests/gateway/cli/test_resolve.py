"""RUN, RUN/JOB and RUN/JOB/STEP as people write them."""

import pytest

from gateway.cli.errors import CliError
from gateway.cli.resolve import Words, find_jobs, find_run, find_step, split

ONE = {
    "id": "aaaa1111-0000-5000-8000-000000000001",
    "number": 1,
    "workflow": "CI",
    "workflow_path": ".github/workflows/ci.yml",
    "status": "completed",
}
TWO = {
    "id": "aaaa2222-0000-5000-8000-000000000002",
    "number": 2,
    "workflow": "CI",
    "workflow_path": ".github/workflows/ci.yml",
    "status": "queued",
}
OTHER = {
    "id": "bbbb3333-0000-5000-8000-000000000003",
    "number": 2,
    "workflow": "Release",
    "workflow_path": ".github/workflows/release.yaml",
    "status": "queued",
}
ALL = [OTHER, TWO, ONE]


class Runs:
    """A client that knows three runs, newest first."""

    def items(self, path, **_):
        assert path == "/runs"
        return iter(ALL)

    def get(self, path):
        return {"id": path.removeprefix("/runs/")}


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("latest", OTHER),
        ("1", ONE),
        ("aaaa1", ONE),
        ("AAAA2222", TWO),
        ("run_bbbb", OTHER),
        ("ci#2", TWO),
        ("ci.yml#1", ONE),
        (".github/workflows/ci.yml#1", ONE),
        ("Release#2", OTHER),
    ],
)
def test_every_form_of_a_run_is_understood(reference, found):
    """Id, unique prefix, latest, WORKFLOW#N in every name of the workflow, and N where only one workflow has it."""
    assert find_run(Runs(), reference) == found


def test_a_whole_id_is_asked_for_directly():
    """No list is read for it, however old it is."""
    assert find_run(Runs(), ONE["id"]) == {"id": ONE["id"]}


@pytest.mark.parametrize("reference", ["2", "aaaa"])
def test_what_is_ambiguous_lists_the_candidates_and_exits_64(reference):
    """Nothing is guessed: the answer names every run that was meant."""
    with pytest.raises(CliError) as error:
        find_run(Runs(), reference)
    assert error.value.exit_code == 64
    assert "CI#2" in error.value.message


@pytest.mark.parametrize("reference", ["3", "cccc", "aaa", "nightly#1", "ci#9"])
def test_what_is_not_there_exits_5(reference):
    """Not found is its own exit code; three digits of an id are too few to mean one."""
    with pytest.raises(CliError) as error:
        find_run(Runs(), reference)
    assert error.value.exit_code == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latest", Words("latest")),
        ("latest/test", Words("latest", "test")),
        ("7/test (3.12)/2", Words("7", "test (3.12)/2")),
        ("ci#7/test", Words("ci#7", "test")),
        (".github/workflows/ci.yml#7/test/pytest", Words(".github/workflows/ci.yml#7", "test/pytest")),
    ],
)
def test_a_reference_is_taken_apart_at_the_right_slash(text, words):
    """A workflow may be a path, so the slashes before # belong to it."""
    assert split(text) == words


JOBS = [
    {"id": "11112222-a", "name": "test (1)", "key": "test"},
    {"id": "33334444-b", "name": "test (2)", "key": "test"},
    {"id": "55556666-c", "name": "docs/build", "key": "docs", "steps": [{"index": 0, "name": "Run make", "id": "__run"}]},
]


def test_a_key_means_all_instances_and_a_name_one():
    """`latest/test` shows both instances of the matrix, "latest/test (2)" one."""
    assert [job["name"] for job in find_jobs(JOBS, "test")[0]] == ["test (1)", "test (2)"]
    assert [job["name"] for job in find_jobs(JOBS, "test (2)")[0]] == ["test (2)"]
    assert [job["name"] for job in find_jobs(JOBS, "job_3333")[0]] == ["test (2)"]


def test_a_job_name_may_hold_a_slash():
    """The whole rest is tried as a name before its last part is taken for a step."""
    assert find_jobs(JOBS, "docs/build") == ([JOBS[2]], "")
    assert find_jobs(JOBS, "docs/build/1") == ([JOBS[2]], "1")


@pytest.mark.parametrize("reference", ["1", "Run make", "__run"])
def test_a_step_is_a_number_from_1_a_name_or_an_id(reference):
    """All three lead to index 0."""
    assert find_step(JOBS[2], reference) == 0


def test_an_unknown_job_or_step_lists_those_that_there_are():
    """The help is in the error itself."""
    with pytest.raises(CliError, match="no job") as job:
        find_jobs(JOBS, "deploy")
    assert "docs/build" in job.value.because
    with pytest.raises(CliError, match="no step") as step:
        find_step(JOBS[2], "9")
    assert "1 Run make" in step.value.because
