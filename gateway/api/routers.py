"""All read routes of the API, for the composition root."""

from fastapi import APIRouter

from gateway.api.events import event_routes
from gateway.api.jobs import job_routes
from gateway.api.overview import overview_routes, record_routes
from gateway.api.reads import Reads
from gateway.api.replay import replay_routes
from gateway.api.runs import run_routes


def read_routers(reads: Reads) -> tuple[APIRouter, ...]:
    """The routers of all views and of the log."""
    return run_routes(reads), replay_routes(reads), job_routes(reads), event_routes(reads), overview_routes(reads), record_routes(reads)
