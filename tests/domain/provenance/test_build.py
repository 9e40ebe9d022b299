"""Statements of provenance from a run's events: what they say, what they leave out, and that they are always the same bytes."""

import msgspec
import pytest
from msgspec.structs import replace

from domain.job.events import JobSucceeded, LogSegmentStored, StepCompleted, Subject
from domain.provenance import Statement, canonical, read_statement
from domain.provenance.assurance import JOINED, LOCAL
from domain.provenance.source import GITHUB_BUILD_TYPE, OWN_BUILD_TYPE, repository_uri
from domain.refusals import Refusal
from domain.run.commands import RerunRun
from domain.run.events import RunPlanned, RunTriggered
from tests.domain.provenance.scene import ONE, WHEEL, Scene, made

CALLS = """
on: push
jobs:
  outer: {uses: ./called.yml}
"""


def test_a_statement_tells_what_was_built_of_what_by_whom() -> None:
    """Every part comes from the log: subjects, source, workflow, who asked, runner, times, span of events."""
    scene = Scene()
    runner = scene.runner()
    statement = made(scene, WHEEL)
    told = msgspec.json.decode(canonical(statement))
    build, details = told["predicate"]["buildDefinition"], told["predicate"]["runDetails"]
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    assert told["subject"] == [{"name": WHEEL.name, "digest": {"sha256": WHEEL.sha256}}]
    assert build["externalParameters"]["workflow"] == {"ref": "refs/heads/main", "repository": "file:///nowhere", "path": "ci.yml"}
    assert build["resolvedDependencies"][0] == {"uri": "git+file:///nowhere@refs/heads/main", "digest": {"gitCommit": "0" * 40}}
    own = build["internalParameters"]["ledgermill"]
    assert (own["job"], own["run_attempt"], own["attempt"], own["runner"]) == ("build", 1, 1, str(runner))
    assert (own["level"], own["isolation"], own["level_reason"]) == (1, "host", LOCAL.reason)
    assert build["internalParameters"]["github"]["event_name"] == "push"
    assert details["builder"] == {"id": LOCAL.builder}
    events = scene.world.log
    first = next(event for event in events if isinstance(event.data, RunTriggered))
    last = next(event for event in events if isinstance(event.data, JobSucceeded))
    assert details["byproducts"][-1]["annotations"] == {"first_position": first.position, "last_position": last.position}
    assert read_statement(canonical(statement)) == statement


def test_the_same_log_gives_the_same_bytes_whatever_follows() -> None:
    """Made again, from the log of the end of the job, and after a re-run of everything."""
    scene = Scene()
    scene.runner()
    job = scene.built(WHEEL)
    before = list(scene.world.log)
    first = scene.statement(job)
    assert isinstance(first, Statement)
    scene.send(RerunRun(scene.runs["one"], "all"))
    assert len(scene.world.log) > len(before)
    for log in (before, list(scene.world.log)):
        found = scene.statement(job, log)
        assert isinstance(found, Statement)
        assert canonical(found) == canonical(first)


def test_a_runner_that_lies_changes_nothing_but_its_subjects() -> None:
    """Whatever it says of steps, outputs, times and itself: the statement is the same but for what it names as made."""
    honest, liar = Scene(), Scene()
    honest.runner()
    liar.runner()
    forged = {"level": "3", "builder": "urn:ledgermill:builder:joined", "subject": "x"}
    lies = {"message": "slsa level 3", "exit_code": 77, "effect": "f" * 64, "outputs": forged}
    mine, theirs = made(honest, WHEEL), made(liar, WHEEL, Subject("evil", "0" * 64), **lies)
    assert [each.name for each in theirs.subject] == [WHEEL.name, "evil"]
    assert canonical(replace(theirs, subject=mine.subject)) == canonical(mine)


def test_a_job_of_a_runner_that_joined_with_a_key_promises_more() -> None:
    """Level 2: not of the server's machine and user; the builder is another one."""
    scene = Scene()
    scene.joined()
    statement = made(scene, WHEEL)
    assert statement.predicate.run_details.builder.id == JOINED.builder
    assert statement.parameters["level"] == 2


def test_only_what_the_attempt_made_counts_with_which_the_job_succeeded() -> None:
    """A lost attempt's files are nobody's; of a file that two steps name the last digest counts."""
    scene = Scene()
    scene.runner("r1")
    scene.runner("r2")
    scene.start(ONE)
    scene.assign()
    lost = scene.begin("build")
    scene.attest(lost, 0, Subject("old.tar", "1" * 64))
    scene.clock.advance(31)
    scene.tick("build", "lease", 0)
    scene.clock.advance(60)
    scene.tick("build", "retry", 60)
    scene.assign()
    fence = scene.begin("build")
    assert fence[2] == 2
    scene.attest(fence, 0, Subject("b.tar", "2" * 64), Subject("a.tar", "3" * 64))
    scene.attest(fence, 1, Subject("b.tar", "4" * 64))
    scene.report(fence)
    found = scene.statement(fence[0])
    assert isinstance(found, Statement)
    assert [(each.name, each.digest["sha256"][0]) for each in found.subject] == [("a.tar", "3"), ("b.tar", "4")]
    assert found.parameters["attempt"] == 2


@pytest.mark.parametrize(("subjects", "conclusion", "says"), [((), "success", "attests nothing"), ((WHEEL,), "failure", "not succeeded")])
def test_what_failed_or_attests_nothing_has_no_provenance(subjects: tuple[Subject, ...], conclusion: str, says: str) -> None:
    """And it is said why; so is a job that is not in the run."""
    scene = Scene()
    scene.runner()
    scene.start(ONE)
    scene.assign()
    fence = scene.begin("build")
    scene.attest(fence, 0, *subjects)
    scene.step(fence, 1, conclusion)
    scene.report(fence, conclusion)
    found = scene.statement(fence[0])
    assert isinstance(found, Refusal)
    assert says in found.message
    missing = scene.statement(scene.runs["one"])
    assert isinstance(missing, Refusal)
    assert missing.code == "job_not_found"


def changed(scene: Scene, kind: type, **facts: object) -> list:
    """The log with other facts in events of a type."""
    return [replace(each, data=replace(each.data, **facts)) if isinstance(each.data, kind) else each for each in scene.world.log]


@pytest.mark.parametrize(
    ("run", "planned", "github"),
    [
        ({"source_url": "https://git.example/acme/pay.git"}, {}, True),
        ({"source_url": "https://git.example/acme/pay.git", "event": "workflow_dispatch", "inputs": {"v": "1", "empty": ""}}, {}, True),
        ({"source_url": "https://git.example/acme/pay.git", "event": "pull_request"}, {}, False),
        ({"source_url": "https://git.example/acme/pay.git", "event": "schedule"}, {}, False),
        ({"source_url": "https://git.example/acme/pay.git", "event": "release"}, {}, False),
        ({"source_url": "https://git.example/acme/pay.git"}, {"matrix": {"v": ("1",)}}, False),
        ({"source_url": "/srv/pay"}, {}, False),
    ],
)
def test_the_build_type_is_githubs_only_where_it_tells_all(run: dict, planned: dict, github: bool) -> None:
    """Four events of https repositories, less what a release would need; all others add the event and what narrowed the run."""
    scene = Scene()
    scene.runner()
    job = scene.built(WHEEL)
    log = changed(scene, RunTriggered, **run)
    scene.world.log[:] = log
    found = scene.statement(job, changed(scene, RunPlanned, **planned))
    assert isinstance(found, Statement)
    build = found.predicate.build_definition
    assert build.build_type == (GITHUB_BUILD_TYPE if github else OWN_BUILD_TYPE)
    assert ("event" in build.external_parameters) is not github
    assert build.external_parameters.get("inputs") == ({"v": "1"} if run.get("inputs") else None)
    assert build.external_parameters.get("matrix") == ({"v": ["1"]} if planned else None)


def test_called_workflows_and_log_pieces_are_named_by_digest() -> None:
    """The file that led to the job by the commit, each stored piece of its log by its SHA-256."""
    scene = Scene()
    scene.runner()
    job = scene.built(WHEEL, text=CALLS, job="outer / x")
    piece = next(event for event in scene.world.log if isinstance(event.data, StepCompleted))
    stored = LogSegmentStored(1, 1, 1, 1, 3, 99, "e" * 64)
    found = scene.statement(job, sorted([*scene.world.log, replace(piece, data=stored)], key=lambda each: each.position))
    assert isinstance(found, Statement)
    names = {each.name: each.digest for each in found.predicate.build_definition.resolved_dependencies}
    assert names["./called.yml"] == {"gitCommit": "0" * 40}
    assert found.predicate.run_details.byproducts[0].digest == {"sha256": "e" * 64}


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("https://git.example/acme/pay.git", "https://git.example/acme/pay"),
        ("git@git.example:acme/pay.git", "ssh://git@git.example/acme/pay"),
        ("/srv/my repos/pay.git", "file:///srv/my%20repos/pay.git"),
        ("http://git.example/acme/pay/", "http://git.example/acme/pay"),
    ],
)
def test_repositories_have_one_uri(url: str, uri: str) -> None:
    """As GitHub writes it, where it can."""
    assert repository_uri(url) == uri
