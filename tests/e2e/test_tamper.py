"""What somebody changes in the database behind the server's back is named by `replay --verify`, with both values."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

pytestmark = pytest.mark.timeout(180)

TWO_JOBS = """\
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo built
  test:
    needs: build
    runs-on: ubuntu-latest
    steps:
      - run: echo tested
"""


@contextmanager
def database(data) -> Iterator[psycopg.Connection[Any]]:
    """The embedded server's database; its socket by a descriptor, because its path may be too long for an address."""
    held = os.open(data / "postgres" / "socket", os.O_PATH)
    try:
        with psycopg.connect(f"postgresql://ledgermill@/ledgermill?host=/proc/{os.getpid()}/fd/{held}&port=5432", autocommit=True) as found:
            yield found
    finally:
        os.close(held)


@pytest.fixture(scope="module")
def run(served) -> str:
    """The id of a finished run whose views equal its log."""
    served.workflow(TWO_JOBS)
    said = served("run", "--json")
    assert said.code == 0, said.err
    verified = served("replay", "latest", "--verify")
    assert verified.code == 0, verified.out + verified.err
    identity: str = said.json()[0]["id"]
    return identity


@contextmanager
def changed(served, change: str, back: str, *values: Any) -> Iterator[None]:
    """A change by SQL that the server knows nothing of, taken back at the end."""
    with database(served.data) as connection:
        assert connection.execute(change, values).rowcount == 1
        yield
        connection.execute(back)
    assert served("replay", "latest", "--verify").code == 0


def test_a_changed_cell_is_named_with_view_key_and_both_values(served, run):
    """A job that failed cannot be made a success, nor the other way round."""
    change = "UPDATE views.jobs SET conclusion = 'failure' WHERE run_id = %s AND key = 'test'"
    with changed(served, change, "UPDATE views.jobs SET conclusion = 'success'", run):
        said = served("replay", "latest", "--verify")
    assert said.code == 1
    (line,) = said.out.splitlines()
    assert line.startswith("status.conclusion of jobs(id=")
    job = next(job for job in served("runs", "view", run, "--json").json()["jobs"] if job["key"] == "test")
    assert job["id"] in line
    assert line.endswith("the view says 'failure', the events say 'success'")


def test_a_removed_row_is_named_with_what_the_events_say(served, run):
    """The key is there, and all that the row should hold."""
    with database(served.data) as connection:
        connection.execute("CREATE TABLE kept AS SELECT * FROM views.jobs WHERE run_id = %s AND key = 'build'", (run,))
    with changed(served, "DELETE FROM views.jobs WHERE run_id = %s AND key = 'build'", "INSERT INTO views.jobs SELECT * FROM kept", run):
        said = served("replay", "latest", "--verify")
    assert said.code == 1
    assert "status of jobs(id=" in said.out
    assert "the view says None" in said.out
    assert "'key': 'build'" in said.out


def test_an_added_row_is_named_with_what_it_claims(served, run):
    """No event ever made such a job."""
    with database(served.data) as connection:
        connection.execute("CREATE TABLE copied AS SELECT * FROM views.jobs WHERE run_id = %s AND key = 'build'", (run,))
        connection.execute("UPDATE copied SET id = '00000000-0000-4000-8000-00000000beef', key = 'forged'")
    with changed(served, "INSERT INTO views.jobs SELECT * FROM copied", "DELETE FROM views.jobs WHERE key = 'forged'"):
        said = served("replay", "latest", "--verify")
    assert said.code == 1
    assert "00000000-0000-4000-8000-00000000beef" in said.out
    assert "'key': 'forged'" in said.out
    assert "the events say None" in said.out
