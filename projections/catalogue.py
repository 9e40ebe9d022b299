"""All views by name. One projector carries them all; each can be rebuilt alone."""

from projections.attested import ATTESTED
from projections.audit import AUDIT
from projections.commit_statuses import COMMIT_STATUSES
from projections.deadlines import DEADLINES
from projections.deliveries import DELIVERIES
from projections.holds import HOLDS
from projections.logs import LOGS
from projections.queue import QUEUE
from projections.repositories import REPOSITORIES
from projections.runners import RUNNERS
from projections.schedules import SCHEDULES
from projections.status import STATUS
from projections.subscriptions import SUBSCRIPTIONS
from projections.table import View
from projections.tokens import TOKENS

VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        STATUS,
        QUEUE,
        RUNNERS,
        DEADLINES,
        REPOSITORIES,
        AUDIT,
        LOGS,
        HOLDS,
        TOKENS,
        DELIVERIES,
        SCHEDULES,
        ATTESTED,
        COMMIT_STATUSES,
        SUBSCRIPTIONS,
    )
}

SHOWING = (STATUS.name, QUEUE.name, DEADLINES.name)
"""The views that people see runs by and that work goes on by: how far these lag behind the log is how far the server does."""
