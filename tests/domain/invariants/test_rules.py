"""What no generated history breaks by itself: secrets and people in the log, what stands still, what cannot be read."""

import random
from base64 import b64encode
from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.envelope import Recorded
from domain.invariants import check
from domain.invariants.secrets import encodings
from tests.domain.machine import Machine
from tests.domain.world import World

CANARY = "s3cret-Väl/ue+1"


def ran() -> list[Recorded]:
    """A run that succeeded."""
    machine = Machine()
    machine.finish()
    assert check(machine.world.log) == []
    return machine.world.log


def with_text(text: str) -> list[Recorded]:
    """The log, with a text in the outputs of its first job, as job and run record it."""
    log = ran()
    outputs = {"v": text}
    (first, *_) = [event for event in log if event.type == "JobSucceeded"]
    return [
        replace(event, data=replace(event.data, outputs=outputs))
        if event is first or (event.type == "JobConcluded" and event.data.job == first.stream)
        else event
        for event in log
    ]


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        CANARY.encode().hex(),
        *(b64encode(b"x" * shift + CANARY.encode() + b"tail").decode() for shift in range(3)),
        "https://h/?q=s3cret-V%C3%A4l%2Fue%2B1",
    ],
)
def test_a_known_secret_is_found_however_it_is_encoded(text: str) -> None:
    """In the job's event and in the run's, each by its position; without the canary nobody could know."""
    assert check(with_text(text)) == []
    found = check(with_text(text), secrets=[CANARY])
    assert [(breach.invariant, breach.message) for breach in found] == [
        (7, "JobSucceeded holds a secret value"),
        (7, "JobConcluded holds a secret value"),
    ]


@pytest.mark.parametrize(
    "text",
    ["ghp_" + "a1" * 18, "AKIA" + "A1" * 8, "-----BEGIN EC PRIVATE KEY-----", "postgres://ada:hunter2@db/x", "github_pat_" + "a" * 22],
)
def test_what_looks_like_a_credential_is_found_without_being_told(text: str) -> None:
    """By the form of well-known kinds."""
    assert {breach.invariant for breach in check(with_text(text))} == {7}


def test_a_person_is_no_actor() -> None:
    """An address or a name in the envelope is one in the log for ever."""
    log = ran()
    log[0] = replace(log[0], meta=replace(log[0].meta, actor="ada@example.org"))
    assert [breach.message for breach in check(log)] == ["the actor is a name or an address, not an opaque id"]


def test_short_secrets_have_encodings_that_mean_something() -> None:
    """Nothing shorter than four characters is looked for: it would be found everywhere."""
    assert encodings("abc") == {b"616263", b"YWJj"} or all(len(each) >= 4 for each in encodings("abc"))


def test_a_log_that_ends_in_the_middle_is_sound_while_its_deadlines_live() -> None:
    """And stands still once they have passed and nobody looked: the job is named, with what kept it."""
    world = World(random.Random(0).randrange)
    world.trigger()
    log = world.log
    assert check(log, now=world.clock.now()) == []
    late = check(log, now=world.clock.now() + timedelta(days=2))
    assert {breach.invariant for breach in late} == {10}
    assert all("queue ended at" in breach.message for breach in late)


def test_a_run_that_nobody_concludes_is_found() -> None:
    """All its jobs are over, and the run is not: nothing will move it."""
    log = [event for event in ran() if event.type != "RunCompleted"]
    assert [(breach.invariant, breach.message) for breach in check(log)] == [(10, "the run is not over and none of its jobs is under way")]


def test_an_event_that_this_version_cannot_read_breaks_nothing_but_what_it_names() -> None:
    """It is another version's: its envelope is judged, its meaning is not."""
    machine = Machine()
    machine.finish()
    newer = machine.world.store.append_of_newer_version(machine.run, "RunPondered.v1")
    found = check([*machine.world.log, newer])
    assert [(breach.invariant, breach.position) for breach in found] == [(8, newer.position)]
