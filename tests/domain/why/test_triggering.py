"""Why an event did not start a workflow: each filter driven, and named; without it the workflow starts."""

from typing import Any

import pytest

from domain import delivery as d
from domain import ids
from domain.envelope import Meta, Recorded
from domain.events import NAMES
from domain.why import why_delivery
from domain.why.reason import CODES, FILTERS
from domain.workflow import reader, triggers
from tests.domain.scenario import NOW

REJECTED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "on": ("pull_request", "push", {}),
    "deleted": ("push", "push", {"payload": {"deleted": True}}),
    "skip": ("push", "push", {"payload": {"head_commit": {"message": "fix [skip ci]"}}}),
    "types": ("{pull_request: {types: [closed]}}", "pull_request", {"payload": {"action": "opened"}}),
    "branches": ("{push: {branches: [release]}}", "push", {}),
    "branches-ignore": ("{push: {branches-ignore: [ma*]}}", "push", {}),
    "tags": ("{push: {tags: [v1]}}", "push", {"ref": "refs/tags/v2"}),
    "tags-ignore": ("{push: {tags-ignore: [v*]}}", "push", {"ref": "refs/tags/v2"}),
    "workflows": ("{workflow_run: {workflows: [other]}}", "workflow_run", {"payload": {"workflow_run": {"name": "ci"}}}),
    "paths": ("{push: {paths: [docs/**]}}", "push", {"changed_paths": ["a.py"]}),
    "paths-ignore": ("{push: {paths-ignore: ['**.py']}}", "push", {"changed_paths": ["a.py"]}),
}


def verdict(on: str, event: str, **facts: Any) -> triggers.Verdict:
    """Whether the event starts a workflow that listens so."""
    workflow, problems = reader.read("ci.yml", f"on: {on}\njobs: {{a: {{runs-on: linux, steps: [{{run: a}}]}}}}")
    assert workflow is not None, problems
    return triggers.match(workflow, event, **{"ref": "refs/heads/main", "payload": {}, **facts})


@pytest.mark.parametrize("name", REJECTED)
def test_the_filter_that_kept_it_away_is_named(name: str) -> None:
    """By its key in the file; the event alone would have started the workflow."""
    on, event, facts = REJECTED[name]
    found = verdict(on, event, **facts)
    assert (found.matched, found.filter) == (False, name)
    assert verdict(event, event).matched


def test_every_filter_is_explained() -> None:
    """The documentation knows those that are driven here, the one that a broken pattern gets, and those of deliveries."""
    assert set(FILTERS) == {*REJECTED, "pattern", "disabled", "invalid", "commit"}


DELIVERY = ids.delivery_id("default", "github", "acme/pay", "k")
RECEIVED = d.WebhookReceived("github", "push", "k", ids.repository_id("default", "github", "acme/pay"), "acme/pay", "0" * 64, 2)
RUN = d.StartedRun("ci.yml", "push", ids.run_id("default", "k"))


def delivered(*events: Any) -> list[Recorded]:
    """The stream of a delivery."""
    meta = Meta(NOW, "default", "webhook:github")
    said = enumerate((RECEIVED, *events), 1)
    return [Recorded(10 * version, DELIVERY, version, *NAMES[type(data)], meta, data) for version, data in said]


def test_a_delivery_names_the_filter_that_kept_each_workflow_away() -> None:
    """Workflow by workflow, beside the runs that it did start."""
    rejected = tuple(d.Unstarted(f"{name}.yml", "push", name, f"because of {name}") for name in FILTERS)
    found = why_delivery(delivered(d.WebhookAnswered((RUN,), rejected)))
    assert found is not None
    assert (found.id, found.status, found.position, [run.id for run in found.runs]) == (DELIVERY, "answered", 20, [RUN.run])
    assert [reason.facts["filter"] for reason in found.reasons] == list(FILTERS)
    assert {reason.code for reason in found.reasons} == {"not_triggered"}
    assert found.reasons[0].text == "on.yml: because of on"
    assert all(reason.facts["meaning"] for reason in found.reasons)


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        ((), "received", "not_answered"),
        ((d.WebhookIgnored("no workflows there"),), "ignored", "ignored"),
        ((d.WebhookDeferred(2, "the forge is away", NOW),), "deferred", "deferred"),
        ((d.WebhookDeferred(1, "x", NOW), d.WebhookFailed(9, "the forge was away")), "failed", "given_up"),
        ((d.WebhookDeferred(1, "x", NOW), d.WebhookAnswered((RUN,), ())), "answered", "succeeded"),
    ],
)
def test_a_delivery_without_a_verdict_says_why(end: tuple[Any, ...], status: str, code: str) -> None:
    """It waits, was ignored or given up, or started everything."""
    found = why_delivery(delivered(*end))
    assert found is not None
    assert (found.status, [reason.code for reason in found.reasons]) == (status, [code])
    assert code in CODES


def test_what_is_no_delivery_is_none() -> None:
    """Another stream, or none."""
    assert why_delivery([]) is None
    assert why_delivery(delivered(d.WebhookIgnored("x"))[1:]) is None
