"""Figures in the registry's shape. Pure: what was counted and asked goes in, samples come out."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime

from domain.events import NAMES
from domain.histogram import Histogram, Labels
from domain.job.events import JobRetried
from domain.pools import POOLS, Pool, pool_of
from domain.service_levels import ServiceLevels
from gateway.metrics.exposition import Samples
from gateway.metrics.tallies import OTHER, Tallies
from projections.figures import RUNNER_STATES, Figures, Runners


def of_log(levels: ServiceLevels) -> Samples:
    """What the log says."""
    types: Counter[Labels] = Counter()
    for kind, count in levels.events.items():
        types[NAMES[kind][0] if kind in NAMES else OTHER,] += count
    return {
        "ledgermill_first_step_seconds": {(): levels.first_step},
        "ledgermill_job_queue_seconds": levels.queue_wait,
        "ledgermill_job_run_seconds": levels.job_run,
        "cicd_pipeline_run_duration_seconds": levels.runs,
        "ledgermill_jobs_completed_total": levels.jobs,
        "ledgermill_jobs_queued_total": levels.queued,
        "ledgermill_jobs_retried_total": {(): levels.events[JobRetried]},
        "ledgermill_lease_expirations_total": {(): levels.lost["lease_expired",]},
        "ledgermill_attempts_lost_total": levels.lost,
        "ledgermill_step_failures_total": levels.step_failures,
        "ledgermill_events_total": types,
        "ledgermill_untimed_total": {(): levels.untimed},
    }


def of_process(tallies: Tallies, errors: Mapping[Labels, int], commits: Histogram, appended: int, version: str) -> Samples:
    """What this process counted. errors: of its parts; commits: how long each took; appended: how many events."""
    return {
        "ledgermill_build_info": {(version,): 1},
        "ledgermill_log_latency_seconds": {(): tallies.log_latency},
        "ledgermill_http_requests_total": tallies.requests,
        "ledgermill_events_appended_total": {(): appended},
        "ledgermill_commit_seconds": {(): commits},
        "cicd_system_errors_total": {**errors, **tallies.errors},
        "ledgermill_authentication_failures_total": tallies.authentication_failures,
        "ledgermill_scrapes_failed_total": {(): tallies.scrapes_failed},
    }


def of_views(
    found: Figures, head: int, behind: Mapping[int, float], job_seconds: Mapping[Pool, tuple[int, float]], now: datetime
) -> Samples:
    """How it stands. head: the log's last position; behind: by position, the age of the first event after it."""
    depth: Counter[Pool] = Counter()
    running: Counter[Pool] = Counter()
    oldest: dict[Pool, float] = dict.fromkeys(POOLS, 0.0)
    for line in found.queued or ():
        pool = pool_of(line.labels)
        depth[pool] += line.count
        oldest[pool] = max(oldest[pool], (now - line.since).total_seconds())
    for labels, count in found.running:
        running[pool_of(labels)] += count
    runners = dict.fromkeys(RUNNER_STATES, 0)
    for each in found.runners:
        runners[each.state] += each.count
    lag = {place.view: max(0, head - place.position) for place in found.places}
    states = (("queued", depth), ("running", running)) if found.queued is not None else (("running", running),)
    queue: Samples = {
        "ledgermill_queue_depth": {(): depth.total()},
        "ledgermill_queue_oldest_seconds": {(pool,): seconds for pool, seconds in oldest.items()},
        "ledgermill_estimated_drain_time_seconds": drain_seconds(depth, job_seconds, slots_of(found.runners)),
    }
    return {
        **(queue if found.queued is not None else {}),
        "ledgermill_jobs": {(state, pool): jobs[pool] for state, jobs in states for pool in POOLS},
        "ledgermill_runners": {(state,): count for state, count in runners.items()},
        "ledgermill_log_position": {(): head},
        "ledgermill_projection_lag_events": {(view,): positions for view, positions in lag.items()},
        "ledgermill_projection_lag_seconds": {(place.view,): max(0.0, behind.get(place.position, 0.0)) for place in found.places},
        "ledgermill_parked_streams": {(view,): found.parked.get(view, 0) for view in lag},
    }


def slots_of(runners: tuple[Runners, ...]) -> dict[Pool, int]:
    """By pool the slots of runners that take jobs. Jobs that name no system may go to any of them."""
    slots: dict[Pool, int] = defaultdict(int)
    for each in runners:
        if each.state in ("idle", "busy"):
            pool = pool_of((*each.labels, each.os))
            slots["other"] += each.slots
            if pool != "other":
                slots[pool] += each.slots
    return slots


def drain_seconds(
    depth: Mapping[Pool, int], job_seconds: Mapping[Pool, tuple[int, float]], slots: Mapping[Pool, int]
) -> dict[Labels, float]:
    """How long `depth` jobs keep the slots of their pool busy; nothing for a pool of which nobody can tell."""
    return {(pool,): depth.get(pool, 0) * mean / slots[pool] for pool, (_, mean) in job_seconds.items() if slots.get(pool)}
