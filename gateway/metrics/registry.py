"""All metrics by name: docs/reference/metrics.md is made from this list, and nothing is shown that is not in it.

Names follow Prometheus' rules (base units, `_total` for counters), and OpenTelemetry's where it has one. No label takes
a value that users choose; where the values are known they stand in VALUES, and counters show each of them from 0 on.
"""

from typing import Literal

import msgspec

from domain.events import REGISTER
from domain.pools import POOLS
from domain.service_levels import ATTEMPT_RESULTS, CONCLUSIONS, LOSSES, RUN_RESULTS, STEP_FAILURES
from gateway.authentication import AUTHENTICATION_FAILURES
from gateway.metrics.tallies import OTHER
from projections.catalogue import VIEWS
from projections.figures import RUNNER_STATES

Kind = Literal["counter", "gauge", "histogram"]
Source = Literal["log", "process", "views"]


class Metric(msgspec.Struct, frozen=True):
    """One metric. source: whose figure it is; see SOURCES. values: of its labels, where all are known."""

    name: str
    kind: Kind
    source: Source
    about: str
    labels: tuple[str, ...] = ()
    values: tuple[tuple[str, ...], ...] = ()


SOURCES: dict[Source, str] = {
    "log": "counted from all events since this gateway started: every gateway shows the whole, so take one of them (`max`), not their sum",
    "process": "of this process since it started: add them up over processes",
    "views": "asked of the views when somebody scrapes, at most once a second: every gateway shows the same",
}

EVENT_TYPES = (*REGISTER, OTHER)
RESULTS = tuple(ATTEMPT_RESULTS.values())
SERVER_PARTS = "a part of this process, or `gateway` for a request"

REGISTRY: tuple[Metric, ...] = (
    Metric("ledgermill_build_info", "gauge", "process", "1, with the version that is installed.", ("version",)),
    # How well it goes.
    Metric(
        "ledgermill_first_step_seconds",
        "histogram",
        "log",
        "Push to first step: from a run's trigger (its webhook's arrival, where there is one) to the start of its first step.",
    ),
    Metric(
        "ledgermill_job_queue_seconds",
        "histogram",
        "log",
        "From when a job was ready, or was put back, until a runner had it.",
        ("pool",),
        (POOLS,),
    ),
    Metric(
        "ledgermill_job_run_seconds",
        "histogram",
        "log",
        "From the start of an attempt, as its runner reported it, to its end.",
        ("pool", "result"),
        (POOLS, RESULTS),
    ),
    Metric(
        "cicd_pipeline_run_duration_seconds",
        "histogram",
        "log",
        "From a run's trigger, or its re-run, to its end.",
        ("cicd_pipeline_result",),
        (tuple(RUN_RESULTS.values()),),
    ),
    Metric(
        "ledgermill_log_latency_seconds",
        "histogram",
        "process",
        "From when a line was printed, by the runner's clock, until readers could have it: the oldest line of each batch.",
    ),
    Metric(
        "ledgermill_jobs_completed_total",
        "counter",
        "log",
        "Jobs that are over. retried: whether it took more than one attempt.",
        ("conclusion", "retried"),
        (tuple(CONCLUSIONS.values()), ("no", "yes")),
    ),
    Metric("ledgermill_jobs_queued_total", "counter", "log", "Jobs that became ready, or were put back.", ("pool",), (POOLS,)),
    Metric("ledgermill_jobs_retried_total", "counter", "log", "Jobs that were put back into the queue for another attempt."),
    Metric("ledgermill_lease_expirations_total", "counter", "log", "Attempts that ended because no heartbeat came in time."),
    Metric(
        "ledgermill_attempts_lost_total",
        "counter",
        "log",
        "Attempts whose runner vanished, by how that was noticed.",
        ("reason",),
        (LOSSES,),
    ),
    Metric("ledgermill_step_failures_total", "counter", "log", "Steps that failed.", ("class",), (STEP_FAILURES,)),
    Metric("ledgermill_events_total", "counter", "log", "Events of the log.", ("type",), (EVENT_TYPES,)),
    Metric(
        "ledgermill_untimed_total",
        "counter",
        "log",
        "Jobs, runs and deliveries that were counted and not timed, because too many were open at once.",
    ),
    # How it stands.
    Metric("ledgermill_queue_depth", "gauge", "views", "Jobs that wait for a runner."),
    Metric(
        "ledgermill_jobs",
        "gauge",
        "views",
        "Jobs that wait for a runner or are held by one.",
        ("state", "pool"),
        (("queued", "running"), POOLS),
    ),
    Metric(
        "ledgermill_queue_oldest_seconds",
        "gauge",
        "views",
        "How long the first in the queue has waited; 0: nothing waits.",
        ("pool",),
        (POOLS,),
    ),
    Metric(
        "ledgermill_estimated_drain_time_seconds",
        "gauge",
        "views",
        "How long the queued jobs keep the runners of their pool busy, as long as lately each; absent where no job has ended since"
        " this gateway started, or no runner takes any.",
        ("pool",),
        (POOLS,),
    ),
    Metric("ledgermill_runners", "gauge", "views", "Runners that are not removed.", ("state",), (RUNNER_STATES,)),
    Metric("ledgermill_log_position", "gauge", "views", "The position of the log's last event."),
    Metric(
        "ledgermill_projection_lag_events",
        "gauge",
        "views",
        "Positions between a view and the end of the log.",
        ("projection",),
        (tuple(VIEWS),),
    ),
    Metric(
        "ledgermill_projection_lag_seconds",
        "gauge",
        "views",
        "The age of the first event that a view does not show; 0: it shows all.",
        ("projection",),
        (tuple(VIEWS),),
    ),
    Metric(
        "ledgermill_parked_streams",
        "gauge",
        "views",
        "Streams that wait in a view for code that can fold them.",
        ("projection",),
        (tuple(VIEWS),),
    ),
    # What this process does.
    Metric(
        "ledgermill_http_requests_total",
        "counter",
        "process",
        f"Answers that began. route: as the OpenAPI document has it, or `{OTHER}`.",
        ("method", "route", "status"),
    ),
    Metric("ledgermill_events_appended_total", "counter", "process", "Events that this process committed."),
    Metric("ledgermill_commit_seconds", "histogram", "process", "How long a commit to the log took, without waiting for its turn."),
    Metric(
        "cicd_system_errors_total",
        "counter",
        "process",
        f"What nobody expected. component: {SERVER_PARTS}; error_type: the class of the error.",
        ("component", "error_type"),
    ),
    Metric(
        "ledgermill_authentication_failures_total",
        "counter",
        "process",
        "Requests that were answered 401. reason: there was no token; it is known nowhere (a wrong or forged one too); it was revoked; it"
        " has expired; the signature of a webhook, or the time of a runner's assertion, is wrong.",
        ("reason",),
        (AUTHENTICATION_FAILURES,),
    ),
    Metric(
        "ledgermill_scrapes_failed_total",
        "counter",
        "process",
        "Scrapes without figures of the views, or of the queue: the database gave none in time.",
    ),
)
