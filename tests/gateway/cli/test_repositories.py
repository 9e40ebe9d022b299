"""`repository add/set/deliveries` and `workflow dispatch`: what they send, what they say, what they refuse before asking."""

import io
import json

import pytest

REPOSITORY = {"id": "c1b43489-21c6-58dd-8f59-92397add00df", "full_name": "acme/pay"}
PATH = ".github/workflows/ci.yml"
WORKFLOW = {"id": "f9cd6138-3d03-51c9-abc4-9cfc92b4a92d", "name": "ci", "path": PATH, "repository_id": REPOSITORY["id"]}
RUN = "25e64362-be3b-5d79-b108-204ed60005a9"
ADD = ("repository", "add", "acme/pay", "https://forge.invalid/acme/pay.git", "--provider", "gitea")


@pytest.fixture
def sent(server):
    """What the verb sent, as (method, path, body), without what it only read."""
    server.answers["GET /repositories"] = {"items": [REPOSITORY], "next_cursor": None}
    server.answers["GET /workflows"] = {"items": [WORKFLOW], "next_cursor": None}
    return lambda: [(method, path, json.loads(body)) for method, path, _, body in server.asked if method != "GET"]


def test_add_reads_the_secret_from_standard_input_and_tells_the_forges_address(ledgermill, server, at, sent, monkeypatch):
    """The line's end is no part of the secret, and the secret is in nothing that is printed."""
    server.answers["POST /repositories"] = (201, {"id": REPOSITORY["id"], "position": 1})
    monkeypatch.setattr("sys.stdin", io.StringIO("a secret of the forge\n"))
    said = ledgermill(*ADD, "--webhook-secret", *at)
    facts = {"full_name": "acme/pay", "provider": "gitea", "clone_url": "https://forge.invalid/acme/pay.git", "default_branch": "main"}
    assert sent() == [("POST", "/repositories", facts | {"webhook_secret": "a secret of the forge"})]
    assert said.code == 0
    assert f"{server.url}/api/v1/webhooks/gitea" in said.err
    assert "a secret" not in said.out + said.err


def test_set_sends_what_was_said_and_nothing_else(ledgermill, server, at, sent):
    """With nothing to set the server is not asked; an unknown name is told with how to find it."""
    server.answers[f"PATCH /repositories/{REPOSITORY['id']}"] = {"id": REPOSITORY["id"], "position": 2}
    said = ledgermill("repository", "set", "acme/pay", "--default-branch", "trunk", "--retry", "", *at)
    assert sent() == [("PATCH", f"/repositories/{REPOSITORY['id']}", {"retry": "", "default_branch": "trunk"})]
    assert (said.code, "retry as by default" in said.err, "default branch trunk" in said.err) == (0, True, True)
    asked = len(server.asked)
    assert ledgermill("repository", "set", "acme/pay", *at).code == 64
    assert len(server.asked) == asked
    unknown = ledgermill("repository", "set", "acme/none", "--retry", "", *at)
    assert (unknown.code, "RUN016" in unknown.err, "repository list" in unknown.err) == (5, True, True)


def test_deliveries_name_runs_and_reasons(ledgermill, server, at, sent):
    """One line a delivery, one a workflow below it; what a stranger wrote cannot move the cursor."""
    assert sent() == []
    run = {"workflow": "ci.yml", "event": "push", "run": RUN}
    kept = {"workflow": "docs.yml", "event": "push", "filter": "paths", "reason": "no changed file matches"}
    about = {"received_at": "2026-11-21T10:00:00Z", "reason": "", "runs": [], "unstarted": []}
    answered = about | {"status": "answered", "event": "push", "runs": [run], "unstarted": [kept]}
    ignored = about | {"status": "ignored", "event": "st\rar", "reason": "no workflow can listen to star"}
    server.answers["GET /deliveries"] = {"items": [ignored, answered], "next_cursor": None}
    said = ledgermill("repository", "deliveries", "acme/pay", *at)
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert said.code == 0
    assert "\r" not in said.out
    assert lines[0].endswith("no workflow can listen to star")
    assert lines[1].endswith("1 of 2 workflows started")
    assert lines[2:] == ["ci.yml: run 25e64362", "docs.yml: no changed file matches"]
    assert server.asked[-1][2]["repository"] == [REPOSITORY["id"]]
    server.answers["GET /deliveries"] = {"items": [], "next_cursor": None}
    assert "no deliveries" in ledgermill("repository", "deliveries", "acme/pay", *at).err


def test_dispatch_sends_inputs_and_says_how_to_follow(ledgermill, server, at, sent):
    """An input without `=` and one given twice are refused before anything is asked."""
    server.answers[f"POST /workflows/{WORKFLOW['id']}/dispatches"] = (202, {"run_id": RUN, "position": 3, "events_url": ""})
    said = ledgermill("workflow", "dispatch", "ci", "--ref", "main", "--input", "stage=live=now", *at)
    assert sent() == [("POST", f"/workflows/{WORKFLOW['id']}/dispatches", {"ref": "main", "inputs": {"stage": "live=now"}})]
    assert (said.code, "ledgermill watch 25e64362" in said.err) == (0, True)
    asked = len(server.asked)
    for inputs in (("stage",), ("stage=a", "stage=b")):
        refused = ledgermill("workflow", "dispatch", "ci", *(part for each in inputs for part in ("--input", each)), *at)
        assert (refused.code, "K=V" in refused.err) == (64, True)
    assert len(server.asked) == asked
