"""What somebody changes in the database behind the server's back: in a view `replay --verify` names it, in the log `audit verify`."""

import json
import os
import time
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


@contextmanager
def changed_log(served, change: str, *values: Any) -> Iterator[None]:
    """A change of the log itself by whoever owns the database; it is put back at the end."""
    with database(served.data) as connection:
        connection.execute("CREATE TABLE events_kept AS TABLE public.events_0")
        connection.execute("ALTER TABLE public.events_0 DISABLE TRIGGER ALL")
        assert connection.execute(change, values).rowcount >= 1
        yield
        connection.execute("DELETE FROM public.events_0")
        connection.execute("INSERT INTO public.events_0 SELECT * FROM events_kept")
        connection.execute("ALTER TABLE public.events_0 ENABLE TRIGGER ALL")
        connection.execute("DROP TABLE events_kept")


@pytest.fixture(scope="module")
def covered(served, run) -> dict[str, Any]:
    """An event of the run that a checkpoint covers: its position, stream and version."""
    event = next(json.loads(line) for line in served("events", run, "--json").out.splitlines() if json.loads(line)["type"] == "JobStarted")
    give_up_at = time.monotonic() + 60
    while (verified := served("audit", "verify", "--json").json())["covered"] < event["position"]:
        assert verified["findings"] == []
        assert time.monotonic() < give_up_at
        time.sleep(0.2)  # a checkpoint tells nobody that it was signed
    return event


def test_an_untouched_log_is_verified_with_what_is_kept_outside(served, covered):
    """A kept checkpoint too, and nothing but it and the key."""
    place = served.data / "audit"
    said = served("audit", "verify", "--checkpoint", str(place / "checkpoint"), "--key", str(place / "keys"))
    assert said.code == 0, said.out + said.err
    assert "the rows, the tree and the checkpoints agree" in said.out
    assert served("audit", "--json").code == 0


def test_a_changed_event_is_named_with_position_stream_and_version(served, covered):
    """Nobody was there when it was changed: the trigger that forbids it was switched off."""
    with changed_log(served, "UPDATE public.events_0 SET state = state || ' '::bytea WHERE notification_id = %s", covered["position"]):
        said = served("audit", "verify")
    assert said.code == 1
    (line,) = said.out.splitlines()
    place = f"position {covered['position']}, stream {covered['stream']} version {covered['version']}"
    assert line == f"changed: {place}: its type, payload or envelope is not what it was"
    assert served("audit", "verify").code == 0


def test_a_dropped_event_is_named_though_it_is_gone(served, covered):
    """The tree knows what was there."""
    with changed_log(served, "DELETE FROM public.events_0 WHERE notification_id = %s", covered["position"]):
        said = served("audit", "verify", "--json")
    assert said.code == 1
    (finding,) = said.json()["findings"]
    assert (finding["check"], finding["position"], finding["stream"]) == ("dropped", covered["position"], covered["stream"])


def test_a_checkpoint_that_is_none_of_this_log_is_refused_by_the_check_that_failed(served, covered, tmp_path):
    """Another log's, one that was edited, and one by a key that nobody knows."""
    note = (served.data / "audit" / "checkpoint").read_text()
    origin = note.splitlines()[0]
    (key,) = (served.data / "audit" / "keys").read_text().split()
    size = int(note.splitlines()[1])
    cases = {
        "other_log": (note.replace(origin, "ledgermill/another/0"), key),
        "signature": (note.replace(f"\n{size}\n", f"\n{size + 1}\n"), key),
        "unknown_key": (note, "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"),
        "note": ("no checkpoint", key),
    }
    for check, (text, known) in cases.items():
        (tmp_path / "checkpoint").write_text(text)
        (tmp_path / "keys").write_text(known)
        said = served("audit", "verify", "--checkpoint", str(tmp_path / "checkpoint"), "--key", str(tmp_path / "keys"))
        assert said.code == 1
        assert "AUD001" in said.err
        assert f"refused by the check {check}" in said.err
