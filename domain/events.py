"""The register of all events: stable name and schema version of each shape, and the upcasters from old shapes.

A name is chosen, never a module path. A shape that has been released is never edited: give the new shape a higher
schema version here and add an upcaster from the old one (old JSON object in, new JSON object out).
"""

from collections.abc import Callable
from typing import Any

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
from domain.job import events as job
from domain.run import events as run

REGISTER: dict[str, tuple[type[msgspec.Struct], int]] = {
    "RepositoryRegistered": (repository.RepositoryRegistered, 1),
    "RepositorySettingsChanged": (repository.RepositorySettingsChanged, 1),
    "WebhookSecretSet": (repository.WebhookSecretSet, 1),
    "WorkflowListed": (repository.WorkflowListed, 1),
    "WorkflowUnlisted": (repository.WorkflowUnlisted, 1),
    "RepositoryRemoved": (repository.RepositoryRemoved, 1),
    "WorkflowRegistered": (workflow_file.WorkflowRegistered, 1),
    "WorkflowSourceChanged": (workflow_file.WorkflowSourceChanged, 1),
    "WorkflowTextSet": (workflow_file.WorkflowTextSet, 1),
    "WorkflowRemoved": (workflow_file.WorkflowRemoved, 1),
    "WorkflowEnabled": (workflow_file.WorkflowEnabled, 1),
    "WorkflowDisabled": (workflow_file.WorkflowDisabled, 1),
    "RunNumbered": (workflow_file.RunNumbered, 1),
    "RunTriggered": (run.RunTriggered, 2),
    "FollowersFixed": (run.FollowersFixed, 2),
    "RunPlanned": (run.RunPlanned, 2),
    "NodeExpanded": (run.NodeExpanded, 1),
    "NodeCalled": (run.NodeCalled, 2),
    "CallHeld": (run.CallHeld, 1),
    "CallAdmitted": (run.CallAdmitted, 1),
    "CallCancellationRequested": (run.CallCancellationRequested, 1),
    "CallConcluded": (run.CallConcluded, 1),
    "JobHeld": (run.JobHeld, 1),
    "JobAdmitted": (run.JobAdmitted, 1),
    "RunClockStopped": (run.RunClockStopped, 1),
    "RunClockResumed": (run.RunClockResumed, 1),
    "RunHeld": (run.RunHeld, 1),
    "RunAdmitted": (run.RunAdmitted, 2),
    "NodeSkipped": (run.NodeSkipped, 1),
    "NodeFailed": (run.NodeFailed, 1),
    "JobConcluded": (run.JobConcluded, 1),
    "RunCancellationRequested": (run.RunCancellationRequested, 1),
    "RunCompleted": (run.RunCompleted, 1),
    "RunRerunRequested": (run.RunRerunRequested, 1),
    "JobCreated": (job.JobCreated, 3),
    "JobQueued": (job.JobQueued, 1),
    "JobAcquired": (job.JobAcquired, 1),
    "JobStarted": (job.JobStarted, 1),
    "HeartbeatRecorded": (job.HeartbeatRecorded, 1),
    "LeaseExtended": (job.LeaseExtended, 1),
    "StepStarted": (job.StepStarted, 2),
    "StepCompleted": (job.StepCompleted, 3),
    "LogSegmentStored": (job.LogSegmentStored, 2),
    "JobCancellationRequested": (job.JobCancellationRequested, 1),
    "StaleWriteRejected": (job.StaleWriteRejected, 1),
    "AttemptLost": (job.AttemptLost, 1),
    "AttemptFailed": (job.AttemptFailed, 1),
    "AttemptTimedOut": (job.AttemptTimedOut, 1),
    "JobRetried": (job.JobRetried, 1),
    "JobSucceeded": (job.JobSucceeded, 1),
    "JobFailed": (job.JobFailed, 1),
    "JobTimedOut": (job.JobTimedOut, 1),
    "JobSkipped": (job.JobSkipped, 1),
    "JobCancelled": (job.JobCancelled, 1),
    "ConcurrencyAcquired": (concurrency.ConcurrencyAcquired, 1),
    "ConcurrencyAwaited": (concurrency.ConcurrencyAwaited, 1),
    "ConcurrencyReplaced": (concurrency.ConcurrencyReplaced, 1),
    "ConcurrencyReleased": (concurrency.ConcurrencyReleased, 1),
    "WebhookReceived": (delivery.WebhookReceived, 1),
    "WebhookIgnored": (delivery.WebhookIgnored, 1),
    "WebhookAnswered": (delivery.WebhookAnswered, 1),
    "WebhookDeferred": (delivery.WebhookDeferred, 1),
    "WebhookFailed": (delivery.WebhookFailed, 1),
    "CommitStatusWanted": (commit_status.CommitStatusWanted, 1),
    "CommitStatusTold": (commit_status.CommitStatusTold, 1),
    "CommitStatusDeferred": (commit_status.CommitStatusDeferred, 1),
    "CommitStatusFailed": (commit_status.CommitStatusFailed, 1),
    "ScheduleReadRequested": (schedule.ScheduleReadRequested, 1),
    "ScheduleAdvanced": (schedule.ScheduleAdvanced, 1),
    "RunnerRegistered": (runner_pool.RunnerRegistered, 2),
    "RunnerOnline": (runner_pool.RunnerOnline, 1),
    "RunnerOffline": (runner_pool.RunnerOffline, 1),
    "RunnerPaused": (runner_pool.RunnerPaused, 2),
    "RunnerResumed": (runner_pool.RunnerResumed, 2),
    "RunnerDrained": (runner_pool.RunnerDrained, 2),
    "RunnerRetired": (runner_pool.RunnerRetired, 1),
    "RunnerRegistrationCreated": (registration.RunnerRegistrationCreated, 1),
    "RunnerRegistrationUsed": (registration.RunnerRegistrationUsed, 1),
    "RunnerGroupChanged": (runner_group.RunnerGroupChanged, 1),
    "TokenCreated": (token.TokenCreated, 1),
    "TokenRevoked": (token.TokenRevoked, 1),
    "TokenUsed": (token.TokenUsed, 1),
    "CommandRefused": (audit.CommandRefused, 1),
    "SubscriptionCreated": (subscription.SubscriptionCreated, 1),
    "SubscriptionSecretSet": (subscription.SubscriptionSecretSet, 1),
    "SubscriptionDisabled": (subscription.SubscriptionDisabled, 1),
    "SubscriptionEnabled": (subscription.SubscriptionEnabled, 1),
    "SubscriptionDeleted": (subscription.SubscriptionDeleted, 1),
}

NAMES: dict[type[msgspec.Struct], tuple[str, int]] = {shape: (name, schema) for name, (shape, schema) in REGISTER.items()}

UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("JobCreated", 1): lambda data: data,  # its steps follow one another, which is what steps do that say nothing else
    ("JobCreated", 2): lambda data: data,  # without the steps' limits, which came later and may be absent
    ("StepStarted", 1): lambda data: data,  # deadline came later and may be absent
    ("StepCompleted", 1): lambda data: data,  # the same
    ("StepCompleted", 2): lambda data: data,  # subjects came later and may be absent
    ("NodeCalled", 1): lambda data: data,  # the groups of its calls came later and may be absent
    ("LogSegmentStored", 1): lambda data: data,  # text_bytes came later and may be absent
    ("FollowersFixed", 1): lambda data: data,  # ref and sha came later and may be absent
    ("RunTriggered", 1): lambda data: data,  # retry came later and may be absent
    ("RunAdmitted", 1): lambda data: data,  # expires_at came later and may be absent: then the run has no limit
    ("RunnerRegistered", 1): lambda data: data,  # group and key came later and may be absent
    ("RunnerPaused", 1): lambda data: data,  # reason came later and may be absent
    ("RunnerResumed", 1): lambda data: data,  # the same
    ("RunnerDrained", 1): lambda data: data,  # the same
    ("RunPlanned", 1): lambda data: data,  # carried and expires_at came later and may be absent
}
"""(name, old schema) to the function that turns an old JSON object into that of schema + 1."""
