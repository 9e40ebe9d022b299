"""`secrets` of a called workflow: exactly what was handed on, at each level."""

import pytest
from msgspec.structs import replace

from domain.run.run_contexts import Sources, secrets_context
from tests.domain.machine import Machine, gathered

CALLING = """
on: push
jobs:
  wide:
    strategy: {matrix: {v: [1, 2]}}
    uses: ./called.yml
    SECRETS
"""
CALLED = """
on: {workflow_call: {secrets: {one: {required: true}, two: {}}}}
jobs:
  x: {runs-on: linux, steps: [{run: a}]}
"""
HELD = {"GITHUB_TOKEN": "t", "A": "a", "B": "b"}


def secrets(written: str, key: str = "wide.1/x", called: str = CALLED) -> dict[str, str]:
    """What a job of the called workflow has, with this at the call."""
    text = CALLING.replace("SECRETS", written)
    machine = Machine(text, called=called)
    return secrets_context(machine.state, Sources(gathered(text, called), {}), key, HELD)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("secrets: inherit", HELD),
        ("secrets: {one: '${{ secrets.A }}'}", {"GITHUB_TOKEN": "t", "one": "a"}),
        ("secrets: {one: 'x${{ secrets.b }}${{ matrix.v }}', two: 3}", {"GITHUB_TOKEN": "t", "one": "xb2", "two": "3"}),
        ("secrets: {one: '${{ secrets.NONE }}'}", {"GITHUB_TOKEN": "t", "one": ""}),
        ("secrets: {one: '${{ fromJSON(secrets.A) }}'}", {"GITHUB_TOKEN": "t", "one": ""}),
    ],
    ids=["all", "one", "evaluated in the calling job", "one that is not set", "one that cannot be told"],
)
def test_a_called_workflow_has_what_is_handed_on(written: str, expected: dict[str, str]) -> None:
    """Nothing else but the run's token."""
    assert secrets(written) == expected


def test_without_secrets_there_is_the_token_alone() -> None:
    """A called workflow that requires none sees none of its caller's."""
    assert secrets("", called=CALLED.replace("required: true", "required: false")) == {"GITHUB_TOKEN": "t"}


def test_a_job_of_the_file_itself_has_all() -> None:
    """It is no call."""
    assert secrets("secrets: inherit", key="wide") == HELD


@pytest.mark.parametrize(("owner", "expected"), [("ACME", HELD), ("other", {"GITHUB_TOKEN": "t"})])
def test_secrets_are_not_inherited_by_another_owners_workflow(owner: str, expected: dict[str, str]) -> None:
    """What the caller does not name stays with the owner of the calling repository; the run's token is everybody's."""
    text = CALLING.replace("SECRETS", "secrets: inherit")
    own, reference = gathered(text, CALLED), f"{owner}/shared/called.yml@{'a' * 40}"
    jobs = {"wide": replace(own.jobs["wide"], uses=reference)}
    theirs = replace(own, jobs=jobs, called={reference: own.called["./called.yml"]})
    assert secrets_context(Machine(text, called=CALLED).state, Sources(theirs, {}), "wide.1/x", HELD) == expected
