"""All read routes of the API, for the composition root."""

from fastapi import APIRouter

from gateway.api.bundles import bundle_routes
from gateway.api.commit_statuses import commit_status_routes
from gateway.api.deliveries import delivery_routes
from gateway.api.events import event_routes
from gateway.api.fleet import fleet_routes
from gateway.api.jobs import job_routes
from gateway.api.overview import overview_routes, record_routes
from gateway.api.provenance import provenance_routes
from gateway.api.replay import replay_routes
from gateway.api.runs import run_routes
from gateway.api.subscriptions import subscription_routes
from gateway.api.tokens import token_routes
from gateway.api.transparency import transparency_routes
from gateway.api.why import why_routes


def read_routers() -> tuple[APIRouter, ...]:
    """The routers of all views and of the log."""
    return (
        run_routes(),
        replay_routes(),
        why_routes(),
        provenance_routes(),
        bundle_routes(),
        job_routes(),
        event_routes(),
        overview_routes(),
        record_routes(),
        transparency_routes(),
        token_routes(),
        fleet_routes(),
        delivery_routes(),
        commit_status_routes(),
        subscription_routes(),
    )
