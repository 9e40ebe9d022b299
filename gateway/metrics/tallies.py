"""What this process counts by itself: plain increments, read when somebody scrapes."""

from collections import Counter

from domain.histogram import Histogram, Labels

LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
"""Stands for what a client made up: a path that no route serves, a method that HTTP does not know."""


class Tallies:
    """One per gateway.

    requests: answers that began, by (method, route, status). log_latency: see the registry. errors: what nobody expected,
    by (component, class of the error). authentication_failures: by (reason,). scrapes_failed: how often the database gave no figures.
    """

    def __init__(self) -> None:
        self.requests: Counter[Labels] = Counter()
        self.log_latency = Histogram(LATENCY_SECONDS)
        self.errors: Counter[Labels] = Counter()
        self.authentication_failures: Counter[Labels] = Counter()
        self.scrapes_failed = 0

    def answered(self, method: str, route: str, status: int) -> None:
        """An answer began. route: as the table or FastAPI has it, never as it was asked for."""
        self.requests[method if method in METHODS else OTHER, route, str(status)] += 1
