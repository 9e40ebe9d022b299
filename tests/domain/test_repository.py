"""Repositories and workflow files: what is known is said once, a listed text answers, what is removed begins anew."""

from typing import Any

import pytest

from domain import clone_urls, ids, repository, workflow_file
from domain.refusals import REPEAT, Decision, Refusal
from domain.repository_commands import (
    ChangeRepository,
    ListWorkflow,
    RegisterRepository,
    RegisterWorkflow,
    RemoveRepository,
    RemoveWorkflow,
    SetWorkflowEnabled,
    UnlistWorkflow,
)
from domain.schedule import RequestScheduleRead

REPOSITORY = ids.repository_id("default", "github", "acme/pay")
WORKFLOW = ids.workflow_id("default", REPOSITORY, "ci.yml")
REGISTERED = repository.RepositoryRegistered("acme/pay", "github", "https://forge/acme/pay.git")
REGISTER = RegisterRepository(REPOSITORY, "acme/pay", "github", "https://forge/acme/pay.git")
LISTED = repository.WorkflowListed(WORKFLOW, "ci.yml", "t1")
LIST = ListWorkflow(REPOSITORY, WORKFLOW, "ci.yml", "CI", "t1")
READ = RequestScheduleRead(ids.schedule_id(REPOSITORY), REPOSITORY)
KNOWN = workflow_file.WorkflowRegistered(REPOSITORY, "ci.yml", "CI", "t1")
TEXT = workflow_file.WorkflowTextSet("t1")


def decided(given: tuple[Any, ...], command: Any) -> Decision | Refusal:
    """What a repository with this history answers."""
    state = None
    for event in given:
        state = repository.evolve_repository(state, event)
    return repository.decide_repository(state, command)


def workflow_after(given: tuple[Any, ...]) -> workflow_file.Workflow | None:
    """A workflow with this history."""
    state = None
    for event in given:
        state = workflow_file.evolve_workflow(WORKFLOW, state, event)
    return state


def answered(given: tuple[Any, ...], command: Any) -> Decision | Refusal:
    """What a workflow with this history answers."""
    return workflow_file.decide_workflow(workflow_after(given), command)


def test_a_repository_is_registered_once() -> None:
    """The same facts again give no event, other facts do, and after a removal the same ones do too."""
    assert decided((), REGISTER) == Decision((REGISTERED,))
    assert decided((REGISTERED,), REGISTER) is REPEAT
    assert decided((REGISTERED, repository.RepositoryRemoved()), REGISTER) == Decision((REGISTERED,))


def test_a_change_says_only_what_changes() -> None:
    """URL, retry and secret in one commit; a field that is None or the same gives nothing. Another URL has the schedule read again."""
    moved = repository.RepositoryRegistered("acme/pay", "github", "https://other/acme/pay.git")
    change = ChangeRepository(REPOSITORY, "max=2", "https://other/acme/pay.git", "main", new_secret=True)
    events = (moved, repository.RepositorySettingsChanged("max=2"), repository.WebhookSecretSet(1))
    assert decided((REGISTERED,), change) == Decision(events, (READ,))
    assert decided((REGISTERED, *events), ChangeRepository(REPOSITORY, "max=2")) == REPEAT
    again = decided((REGISTERED, *events), ChangeRepository(REPOSITORY, new_secret=True))
    assert again == Decision((repository.WebhookSecretSet(2),))


def test_a_listed_workflow_is_told_to_its_own_stream() -> None:
    """Listing the same text again gives no event of the repository; the workflow's stream decides for itself."""
    register = RegisterWorkflow(WORKFLOW, REPOSITORY, "ci.yml", "CI", "t1")
    assert decided((REGISTERED,), LIST) == Decision((LISTED,), (register,))
    assert decided((REGISTERED, LISTED), LIST) == Decision((), (register,))
    scheduled = ListWorkflow(REPOSITORY, WORKFLOW, "ci.yml", "CI", "t1", scheduled=True)
    assert decided((REGISTERED, LISTED), scheduled) == Decision((), (register, READ))
    assert answered((), register) == Decision((KNOWN, TEXT))
    assert answered((KNOWN, TEXT), register) == REPEAT
    file_again = RegisterWorkflow(WORKFLOW, REPOSITORY, "ci.yml", "ci.yml")
    assert answered((KNOWN, TEXT), file_again) == Decision((workflow_file.WorkflowTextSet(""),))


def test_what_is_removed_leaves_both_streams_and_comes_back_with_its_number() -> None:
    """A removal is told to the other stream in the same commit; runs count on."""
    assert answered((KNOWN, TEXT), RemoveWorkflow(WORKFLOW)) == Decision(
        (workflow_file.WorkflowRemoved(),), (UnlistWorkflow(REPOSITORY, "ci.yml"),)
    )
    assert decided((REGISTERED, LISTED), UnlistWorkflow(REPOSITORY, "ci.yml")) == Decision((repository.WorkflowUnlisted("ci.yml"),))
    removal = decided((REGISTERED, LISTED), RemoveRepository(REPOSITORY))
    assert removal == Decision((repository.RepositoryRemoved(),), (RemoveWorkflow(WORKFLOW),))
    gone = (KNOWN, TEXT, workflow_file.RunNumbered(REPOSITORY, 4), workflow_file.WorkflowDisabled(), workflow_file.WorkflowRemoved())
    assert answered(gone, RegisterWorkflow(WORKFLOW, REPOSITORY, "ci.yml", "CI", "t1")) == Decision((KNOWN, TEXT))
    back = workflow_after((*gone, KNOWN))
    assert back is not None
    assert (back.runs, back.enabled, back.text, back.version) == (4, True, "", 6)


@pytest.mark.parametrize("command", [LIST, ChangeRepository(REPOSITORY), RemoveRepository(REPOSITORY)])
@pytest.mark.parametrize("given", [(), (REGISTERED, repository.RepositoryRemoved())])
def test_what_is_not_there_cannot_be_changed(given: tuple[Any, ...], command: Any) -> None:
    """Neither before a registration nor after a removal."""
    answer = decided(given, command)
    assert isinstance(answer, Refusal)
    assert answer.code == "repository_not_found"


@pytest.mark.parametrize("command", [RemoveWorkflow(WORKFLOW, (7,)), SetWorkflowEnabled(WORKFLOW, enabled=False, versions=(7,))])
def test_another_version_than_the_one_read_is_refused(command: Any) -> None:
    """If-Match counts for removals too."""
    answer = answered((KNOWN, TEXT), command)
    assert isinstance(answer, Refusal)
    assert answer.code == "version_mismatch"
    removal = decided((REGISTERED,), RemoveRepository(REPOSITORY, (7,)))
    assert isinstance(removal, Refusal)
    assert removal.code == "version_mismatch"


@pytest.mark.parametrize(
    ("url", "provider", "word"),
    [
        ("https://forge.example/acme/pay.git", "github", None),
        ("ssh://git@forge.example:2222/acme/pay.git", "gitea", None),
        ("git@forge.example:acme/pay.git", "gitlab", None),
        ("git://127.0.0.1:9418/pay", "git", None),
        ("/srv/pay.git", "local", None),
        ("/srv/pay.git", "github", "neither"),
        ("file:///srv/pay.git", "local", "scheme"),
        ("ext::sh -c id", "git", "blanks"),
        ("ext::id", "git", "neither"),
        ("https://user:token@forge.example/a/b", "github", "password"),
        ("https://token@forge.example/a/b", "github", "password"),
        ("ssh://-oProxyCommand=id/a", "git", "host"),
        ("-oProxyCommand=id:a", "git", "neither"),
        ("--upload-pack=id", "local", "neither"),
        ("https:///a/b", "github", "host"),
        ("https://[::1/a", "github", "read"),
        ("https://h:x/a", "github", "read"),
        ("", "git", "empty"),
        ("https://h/" + "a" * 2000, "git", "longer"),
        ("https://h/a\nb", "git", "blanks"),
    ],
)
def test_only_urls_of_git_servers_are_fetched_from(url: str, provider: str, word: str | None) -> None:
    """No helper program, no option of git, no file of the server, no password that the log would show."""
    fault = clone_urls.fault(url, provider)
    assert (fault is None) == (word is None), fault
    assert word is None or word in (fault or "")
