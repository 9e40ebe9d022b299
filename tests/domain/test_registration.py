"""Registration tokens: for one runner, in time, with the labels and the group that they grant; and which versions are taken."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import ids
from domain.refusals import REPEAT, Decision, Refusal
from domain.registration import (
    CreateRegistration,
    Registration,
    RunnerRegistrationCreated,
    RunnerRegistrationUsed,
    UseRegistration,
    decide,
    evolve,
)
from domain.run.commands import RegisterRunner
from domain.versions import too_old

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
TOKEN = ids.registration_id("acme", ids.derive("command"))
RUNNER, OTHER = ids.runner_id("acme", "key:one"), ids.runner_id("acme", "key:two")
CREATED = RunnerRegistrationCreated("digest", "builders", ("gpu", "big"), False, AT + timedelta(minutes=10))


def facts(runner: Any = RUNNER, **changes: Any) -> RegisterRunner:
    """What a runner says when it joins."""
    return RegisterRunner(
        **({"runner": runner, "name": "r", "labels": (), "slots": 1, "os": "Linux", "arch": "X64", "version": "1"} | changes)
    )


def state(*events: Any) -> Registration:
    """The state after events."""
    found = None
    for event in events:
        found = evolve(found, event, "acme")
    assert found is not None
    return found


def test_a_runner_joins_with_what_the_token_grants() -> None:
    """The system's labels and the token's, or those of them that it wants; its group is the token's."""
    for wanted, labels in (((), ("gpu", "big")), (("big",), ("big",))):
        answer = decide(state(CREATED), UseRegistration(TOKEN, facts(labels=wanted)), AT)
        assert isinstance(answer, Decision)
        assert answer.events == (RunnerRegistrationUsed(RUNNER),)
        (command,) = answer.commands
        assert (command.labels, command.group, command.ephemeral) == (("self-hosted", "linux", "x64", *labels), "builders", False)


@pytest.mark.parametrize(
    ("before", "wish", "after", "code"),
    [
        ((CREATED, RunnerRegistrationUsed(OTHER)), {}, 0, "registration_used"),
        ((CREATED,), {}, 600, "registration_expired"),
        ((CREATED,), {"labels": ("gpu", "root")}, 0, "labels_not_granted"),
        ((CREATED,), {"group": "production"}, 0, "group_not_granted"),
    ],
)
def test_beyond_that_nobody_joins(before: tuple[Any, ...], wish: dict[str, Any], after: int, code: str) -> None:
    """A second runner, too late, other labels, another group."""
    answer = decide(state(*before), UseRegistration(TOKEN, facts(**wish)), AT + timedelta(seconds=after))
    assert isinstance(answer, Refusal)
    assert answer.code == code
    assert answer.help


def test_the_same_runner_may_ask_twice() -> None:
    """Its first answer may have been lost, and then ten minutes may have passed."""
    used = state(CREATED, RunnerRegistrationUsed(RUNNER))
    assert decide(used, UseRegistration(TOKEN, facts()), AT + timedelta(days=1)) is REPEAT


def test_a_token_lives_for_ten_minutes() -> None:
    """From the store's time on; a label that could not be written is refused."""
    answer = decide(None, CreateRegistration(TOKEN, "digest", ("gpu", "big"), "builders"), AT)
    assert answer == Decision((CREATED,))
    for labels in (("a,b",), ("",), (" a",), ("a\n",), ("a",) * 51):
        refused = decide(None, CreateRegistration(TOKEN, "digest", labels), AT)
        assert isinstance(refused, Refusal)
        assert refused.code == "bad_registration"


def test_one_version_back_is_taken() -> None:
    """And none before; newer ones and working copies are."""
    taken = ("0.3.0", "0.2.9", "0.4.1", "1.0", "", "dev", "0")
    assert [version for version in (*taken, "0.1.9", "0.0.1") if too_old("0.3.5", version)] == ["0.1.9", "0.0.1"]
    assert "0.2" in too_old("0.3.5", "0.1.9")
    assert not too_old("0.0.1", "0.0.0")
    assert too_old("1.0.0", "0.9.9")
