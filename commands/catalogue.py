"""Every command: which kind of stream it is for, and which field names that stream. Every kind: its two functions."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from domain import (
    audit,
    commit_status,
    concurrency,
    delivery,
    registration,
    repository,
    runner_group,
    runner_pool,
    schedule,
    subscription,
    token,
    workflow_file,
)
from domain import repository_commands as of_repository
from domain.envelope import Meta
from domain.job import commands as job
from domain.job import decide as job_decide
from domain.job import events as job_events
from domain.job import evolve as job_evolve
from domain.refusals import Decision, Refusal
from domain.run import commands as run
from domain.run import decide as run_decide
from domain.run import events as run_events
from domain.run import evolve as run_evolve


class Aggregate(msgspec.Struct, frozen=True):
    """decide(state, command, meta): meta is the envelope that the events get, its `at` is now. evolve folds one event."""

    decide: Callable[[Any, Any, Meta], Decision | Refusal]
    evolve: Callable[[UUID, Any, Any, Meta], Any]


AGGREGATES: dict[str, Aggregate] = {
    "job": Aggregate(lambda state, command, meta: job_decide.decide(state, command, meta.at), job_evolve.evolve),
    "run": Aggregate(run_decide.decide, run_evolve.evolve),
    "workflow": Aggregate(
        lambda state, command, _meta: workflow_file.decide_workflow(state, command),
        lambda stream, state, event, _meta: workflow_file.evolve_workflow(stream, state, event),
    ),
    "repository": Aggregate(
        lambda state, command, _meta: repository.decide_repository(state, command),
        lambda _stream, state, event, _meta: repository.evolve_repository(state, event),
    ),
    "runner": Aggregate(
        lambda state, command, _meta: runner_pool.decide(state, command),
        lambda _stream, state, event, meta: runner_pool.evolve(state, event, meta.tenant),
    ),
    "concurrency": Aggregate(
        lambda state, command, _meta: concurrency.decide(state, command),
        lambda _stream, state, event, _meta: concurrency.evolve(state, event),
    ),
    "token": Aggregate(
        lambda state, command, meta: token.decide(state, command, meta.at),
        lambda _stream, state, event, meta: token.evolve(state, event, meta.tenant, meta.at),
    ),
    "registration": Aggregate(
        lambda state, command, meta: registration.decide(state, command, meta.at),
        lambda _stream, state, event, meta: registration.evolve(state, event, meta.tenant),
    ),
    "runner_group": Aggregate(
        lambda state, command, _meta: runner_group.decide(state, command),
        lambda _stream, _state, event, _meta: runner_group.evolve(event),
    ),
    "delivery": Aggregate(delivery.decide, lambda _stream, state, event, meta: delivery.evolve(state, event, meta)),
    "commit_status": Aggregate(commit_status.decide, lambda _stream, state, event, meta: commit_status.evolve(state, event, meta)),
    "schedule": Aggregate(
        lambda state, command, _meta: schedule.decide(state, command),
        lambda _stream, state, event, meta: schedule.evolve(state, event, meta),
    ),
    "subscription": Aggregate(
        lambda state, command, _meta: subscription.decide(state, command),
        lambda _stream, state, event, _meta: subscription.evolve(state, event),
    ),
    "audit": Aggregate(
        lambda _state, command, _meta: audit.decide(command),
        lambda _stream, _state, event, _meta: event,
    ),
}

COMMANDS: dict[type, tuple[str, str]] = {
    job.CreateJob: ("job", "job"),
    job.QueueJob: ("job", "job"),
    job.AcquireJob: ("job", "job"),
    job.StartJob: ("job", "job"),
    job.RecordHeartbeat: ("job", "job"),
    job.ReportSteps: ("job", "job"),
    job.StoreLogSegments: ("job", "job"),
    job.ReportAttempt: ("job", "job"),
    job.ExtendLease: ("job", "job"),
    job.ReportLost: ("job", "job"),
    job.Expire: ("job", "job"),
    job.CancelJob: ("job", "job"),
    run.StartRun: ("run", "run"),
    run.ConcludeJob: ("run", "run"),
    run.AdmitRun: ("run", "run"),
    run.AdmitJob: ("run", "run"),
    run.AdmitCall: ("run", "run"),
    run.CancelCall: ("run", "run"),
    concurrency.ClaimConcurrency: ("concurrency", "group"),
    concurrency.ReleaseConcurrency: ("concurrency", "group"),
    run.CancelRun: ("run", "run"),
    run.RerunRun: ("run", "run"),
    run.PlanRerun: ("run", "run"),
    run.ExpireRun: ("run", "run"),
    run.NoteBackoff: ("run", "run"),
    run.NoteWaiting: ("run", "run"),
    run.TriggerRun: ("workflow", "workflow"),
    of_repository.RegisterWorkflow: ("workflow", "workflow"),
    of_repository.RemoveWorkflow: ("workflow", "workflow"),
    of_repository.SetWorkflowEnabled: ("workflow", "workflow"),
    of_repository.RegisterRepository: ("repository", "repository"),
    of_repository.ChangeRepository: ("repository", "repository"),
    of_repository.RemoveRepository: ("repository", "repository"),
    of_repository.ListWorkflow: ("repository", "repository"),
    of_repository.UnlistWorkflow: ("repository", "repository"),
    delivery.ReceiveWebhook: ("delivery", "delivery"),
    delivery.IgnoreDelivery: ("delivery", "delivery"),
    delivery.AnswerDelivery: ("delivery", "delivery"),
    delivery.DeferDelivery: ("delivery", "delivery"),
    commit_status.WantCommitStatus: ("commit_status", "status"),
    commit_status.NoteCommitStatusTold: ("commit_status", "status"),
    commit_status.DeferCommitStatus: ("commit_status", "status"),
    schedule.RequestScheduleRead: ("schedule", "schedule"),
    schedule.AdvanceSchedule: ("schedule", "schedule"),
    run.RegisterRunner: ("runner", "runner"),
    run.NoteRunner: ("runner", "runner"),
    run.ClaimSlots: ("runner", "runner"),
    registration.CreateRegistration: ("registration", "registration"),
    registration.UseRegistration: ("registration", "registration"),
    runner_group.ChangeRunnerGroup: ("runner_group", "group"),
    token.CreateToken: ("token", "token"),
    token.RevokeToken: ("token", "token"),
    token.NoteTokenUse: ("token", "token"),
    subscription.CreateSubscription: ("subscription", "subscription"),
    subscription.ChangeSubscription: ("subscription", "subscription"),
    subscription.DeleteSubscription: ("subscription", "subscription"),
    run.RecordRefusal: ("audit", "audit"),
}

OPENING = frozenset({job.CreateJob, run.StartRun, delivery.ReceiveWebhook})
"""Commands whose stream is new, unless they are repeated."""


BEGINNINGS: dict[type, str] = {
    job_events.JobCreated: "job",
    run_events.RunTriggered: "run",
    workflow_file.WorkflowRegistered: "workflow",
    repository.RepositoryRegistered: "repository",
    runner_pool.RunnerRegistered: "runner",
    concurrency.ConcurrencyAcquired: "concurrency",
    token.TokenCreated: "token",
    registration.RunnerRegistrationCreated: "registration",
    runner_group.RunnerGroupChanged: "runner_group",
    audit.CommandRefused: "audit",
    subscription.SubscriptionCreated: "subscription",
    delivery.WebhookReceived: "delivery",
    schedule.ScheduleReadRequested: "schedule",
    commit_status.CommitStatusWanted: "commit_status",
}
"""What each kind of stream begins with: an id may have come from outside, and name a stream of another kind."""


RANKS = {"delivery": 0, "repository": 1, "schedule": 2, "workflow": 3, "job": 4, "run": 5, "concurrency": 6}
"""The order in which the streams of one commit are locked; other kinds come last. A job's end is told to its run, a run's to its group."""


def place(kind: str, stream: UUID) -> tuple[int, UUID]:
    """A stream's place in the order of locks."""
    return RANKS.get(kind, len(RANKS)), stream


def target(command: Any) -> tuple[str, UUID]:
    """The kind and the id of the stream that a command is for."""
    kind, field = COMMANDS[type(command)]
    stream: UUID = getattr(command, field)
    return kind, stream
