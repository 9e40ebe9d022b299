"""Called workflows of other repositories: fixed at commits, checked like the own ones, and their own `./` is their own."""

from typing import Any

import pytest

from domain.workflow.diagnostics import errors
from domain.workflow.elsewhere import Fetched, Missing
from domain.workflow.gather import Gathered, gather
from domain.workflow.reader import read, released
from domain.workflow.references import Remote, remote, same_owner, within
from tests.domain.workflow.reading import FILE

SHA, OTHER = "a" * 40, "b" * 40
BUILD, DEEP = "acme/shared/.github/workflows/build.yml", "acme/shared/.github/workflows/deep.yml"
CALLER = f"on: push\njobs:\n  build:\n    uses: {BUILD}@v1\n    with: {{word: x}}\n"
CALLED = "on: {workflow_call: {inputs: {word: {type: string, required: true}}}}\njobs:\n  inner: {uses: ./.github/workflows/deep.yml}\n"
LEAF = "on: workflow_call\njobs: {last: {runs-on: linux, steps: [{run: x}]}}\n"
KNOWN: dict[str, Any] = {f"{BUILD}@v1": Fetched(SHA, CALLED), f"{DEEP}@{SHA}": Fetched(SHA, LEAF)}


def taken(text: str = CALLER, elsewhere: dict[str, Any] | None = None, **texts: str) -> Gathered:
    """What a file calls, with these files beside it."""
    workflow, found = read(FILE, text)
    assert workflow is not None, found
    beside = {f".github/workflows/{name}.yml": each for name, each in texts.items()}
    options = {**released(), "repository": "acme/pay"}
    return gather(workflow, {**beside, FILE: text}, options, KNOWN if elsewhere is None else elsewhere)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (f"{BUILD}@v1", Remote("acme/shared", ".github/workflows/build.yml", "v1")),
        ("a/b/c.yaml@feature/x", Remote("a/b", "c.yaml", "feature/x")),
        ("a/b/c.yml@x@y", Remote("a/b", "c.yml", "x@y")),
        ("./.github/workflows/build.yml", None),
        ("./x.yml/y.yml@z.yml", None),
        ("$/.github/workflows/build.yml", None),
        ("", None),
    ],
)
def test_a_reference_says_repository_path_and_ref(reference: str, expected: Remote | None) -> None:
    """The ref begins at the first @; what begins with ./ is the own repository's."""
    assert remote(reference) == expected
    assert expected is None or str(expected) == reference


def test_a_dot_means_the_repository_of_the_file_that_says_it() -> None:
    """At the same ref; in the own repository it stays as it is."""
    assert within(f"{BUILD}@v1", "./.github/workflows/deep.yml") == f"{DEEP}@v1"
    assert within(f"{BUILD}@v1", "$/.github/workflows/deep.yml") == f"{DEEP}@v1"
    assert within(f"{BUILD}@v1", "other/one/x.yml@v2") == "other/one/x.yml@v2"
    assert within("./.github/workflows/build.yml", "./a.yml") == "./a.yml"
    assert within("", "./a.yml") == "./a.yml"


def test_what_is_not_known_is_wanted_level_by_level() -> None:
    """First what the file names, then what that names, at the commit that the first was found at."""
    assert taken(elsewhere={}).wanted == (f"{BUILD}@v1",)
    assert taken(elsewhere={f"{BUILD}@v1": Fetched(SHA, CALLED)}).wanted == (f"{DEEP}@{SHA}",)
    assert taken().wanted == ()


def test_a_plan_names_commits() -> None:
    """In the file itself and in what it calls: nothing of it can move any more."""
    gathered = taken()
    assert gathered.found == []
    workflow = gathered.workflow
    assert workflow.jobs["build"].uses == f"{BUILD}@{SHA}"
    assert list(workflow.called) == [f"{BUILD}@{SHA}", f"{DEEP}@{SHA}"]
    assert workflow.called[f"{BUILD}@{SHA}"].jobs["inner"].uses == f"{DEEP}@{SHA}"
    assert [each.path for each in workflow.called.values()] == list(workflow.called)


def test_two_refs_of_one_commit_are_one_file_and_two_commits_are_two() -> None:
    """A tag and the SHA that it stands for; a branch that is elsewhere."""
    two = CALLER + f"  same: {{uses: '{BUILD}@{SHA}', with: {{word: y}}}}\n  other: {{uses: '{BUILD}@main', with: {{word: z}}}}\n"
    gathered = taken(two, {**KNOWN, f"{BUILD}@main": Fetched(OTHER, CALLED), f"{DEEP}@{OTHER}": Fetched(OTHER, LEAF)})
    assert errors(gathered.found) == []
    assert [job.uses for job in gathered.workflow.jobs.values()] == [f"{BUILD}@{SHA}", f"{BUILD}@{SHA}", f"{BUILD}@{OTHER}"]
    assert len(gathered.workflow.called) == 4


def test_own_files_and_those_of_others_call_each_other() -> None:
    """A file of the own repository may call another's; a `./` in that is not the own repository's."""
    middle = f"on: workflow_call\njobs: {{far: {{uses: '{BUILD}@v1', with: {{word: m}}}}}}\n"
    text = "on: push\njobs: {near: {uses: ./.github/workflows/middle.yml}}\n"
    gathered = taken(text, middle=middle, deep="broken: [")
    assert errors(gathered.found) == []
    assert list(gathered.workflow.called) == ["./.github/workflows/middle.yml", f"{BUILD}@{SHA}", f"{DEEP}@{SHA}"]


def test_what_cannot_be_had_is_an_error_at_the_call() -> None:
    """With what was looked for and what to do; nothing else is checked then."""
    gathered = taken(elsewhere={f"{BUILD}@v1": Missing("no v1", "looked", "write v2")})
    (found,) = gathered.found
    assert (found.code, found.file, found.line, found.column) == ("WF108", FILE, 4, 11)
    assert (found.message, found.because, found.help) == ("no v1", "looked", "write v2")
    inner = taken(elsewhere={**KNOWN, f"{DEEP}@{SHA}": Missing("no file", "looked", "write it")})
    assert [(each.code, each.file, each.line) for each in inner.found] == [("WF108", f"{BUILD}@{SHA}", 3)]


@pytest.mark.parametrize(
    ("caller", "called", "code", "file"),
    [
        (("word: x", "wort: x"), ("", ""), "WF045", FILE),
        (("on: push", "on: push\npermissions: {contents: read}"), ("jobs:", "permissions: {contents: write}\njobs:"), "WF047", FILE),
        (("", ""), ("jobs:", "jobs: ["), "WF001", f"{BUILD}@{SHA}"),
        (("", ""), ("workflow_call:", "workflow_dispatch:"), "WF045", FILE),
        (("", ""), ("./.github/workflows/deep.yml", "./.github/workflows/deep.yml, with: {v: 1}"), "WF045", f"{BUILD}@v1"),
    ],
)
def test_a_call_must_fit_what_it_calls(caller: Any, called: Any, code: str, file: str) -> None:
    """Inputs, permissions and syntax are checked in other repositories' files too, with their places."""
    text = CALLED.replace(*called) if called[0] else CALLED
    found = errors(taken(CALLER.replace(*caller) if caller[0] else CALLER, {**KNOWN, f"{BUILD}@v1": Fetched(SHA, text)}).found)
    assert (code, file) in [(each.code, each.file) for each in found]


def test_a_circle_through_another_repository_ends() -> None:
    """At the depth at which every chain of calls ends."""
    again = "on: workflow_call\njobs: {again: {uses: ./.github/workflows/build.yml}}\n"
    found = errors(taken(CALLER.replace("    with: {word: x}\n", ""), {f"{BUILD}@v1": Fetched(SHA, again)}).found)
    assert [each.code for each in found] == ["WF046"]


def test_without_the_other_repository_the_own_files_are_checked_all_the_same() -> None:
    """As `lint` does, which asks nobody."""
    text = CALLER + "  near: {uses: ./.github/workflows/near.yml, with: {none: 1}}\n"
    assert taken(elsewhere={}).found == []
    assert [each.code for each in errors(taken(text, {}, near=LEAF).found)] == ["WF045"]


@pytest.mark.parametrize(
    ("caller", "reference", "expected"),
    [
        ("", "./a.yml", True),
        ("", f"{BUILD}@v1", True),
        ("", "ACME/shared/a.yml@v1", True),
        ("", "other/shared/a.yml@v1", False),
        (f"{BUILD}@v1", "acme/x/a.yml@v1", True),
        ("other/shared/a.yml@v1", f"{BUILD}@v1", False),
    ],
)
def test_secrets_are_inherited_by_the_same_owners_files_only(caller: str, reference: str, expected: bool) -> None:
    """Whoever else is called gets what is named."""
    assert same_owner(caller, reference, "acme/pay") is expected
    assert same_owner("", reference, ""), "nobody knows whose file it is"


def test_a_required_secret_is_not_inherited_by_another_owner() -> None:
    """So it is missing, as GitHub says."""
    needing = "on: {workflow_call: {secrets: {key: {required: true}}}}\njobs: {last: {runs-on: linux, steps: [{run: x}]}}\n"
    for owner, expected in (("acme", []), ("other", ["WF045"])):
        reference = f"{owner}/shared/.github/workflows/build.yml@v1"
        text = f"on: push\njobs: {{build: {{uses: '{reference}', secrets: inherit}}}}\n"
        assert [each.code for each in errors(taken(text, {reference: Fetched(SHA, needing)}).found)] == expected
