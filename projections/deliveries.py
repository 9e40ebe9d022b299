"""The deliveries view: what forges sent, what it started, and what it did not start and why."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain import delivery
from domain.envelope import Recorded
from projections.table import Key, Rule, Table, View, by_stream


class DeliveryRow(msgspec.Struct, gc=False):
    """A webhook delivery; the fields are those of its events. status: "received", "deferred", "ignored", "answered" or "failed"."""

    id: UUID
    tenant: str
    provider: str
    event: str
    key: str
    repository_id: UUID | None
    repository_name: str
    payload: str
    payload_bytes: int
    status: str
    reason: str
    runs: tuple[delivery.StartedRun, ...]
    unstarted: tuple[delivery.Unstarted, ...]
    attempts: int
    retry_at: datetime | None
    received_at: datetime
    settled_at: datetime | None
    position: int


def _received(_row: DeliveryRow | None, event: Recorded, key: Key) -> DeliveryRow:
    data: delivery.WebhookReceived = event.data
    return DeliveryRow(
        id=key,
        tenant=event.meta.tenant,
        provider=data.provider,
        event=data.event,
        key=data.key,
        repository_id=data.repository,
        repository_name=data.repository_name,
        payload=data.payload,
        payload_bytes=data.payload_bytes,
        status="received",
        reason="",
        runs=(),
        unstarted=(),
        attempts=0,
        retry_at=None,
        received_at=event.meta.at,
        settled_at=None,
        position=event.position,
    )


def _changed(row: DeliveryRow | None, event: Recorded, _key: Key) -> DeliveryRow | None:
    if row is None:
        return None
    row.retry_at, row.settled_at = None, event.meta.at
    match event.data:
        case delivery.WebhookIgnored() as data:
            row.status, row.reason = "ignored", data.reason
        case delivery.WebhookAnswered() as data:
            row.status, row.reason, row.runs, row.unstarted = "answered", "", data.runs, data.unstarted
        case delivery.WebhookDeferred() as data:
            row.status, row.reason, row.attempts, row.retry_at, row.settled_at = "deferred", data.reason, data.attempts, data.retry_at, None
        case delivery.WebhookFailed() as data:
            row.status, row.reason, row.attempts = "failed", data.reason, data.attempts
        case _:
            raise AssertionError(f"{event.type} is not a change of a delivery")
    return row


_CHANGES = (delivery.WebhookIgnored, delivery.WebhookAnswered, delivery.WebhookDeferred, delivery.WebhookFailed)

DELIVERY_TABLE = Table(
    "deliveries",
    DeliveryRow,
    ("id",),
    {delivery.WebhookReceived: Rule(_received, by_stream, opens=True), **{change: Rule(_changed, by_stream) for change in _CHANGES}},
    indexes=("(tenant, position DESC)", "(tenant, repository_id, position DESC)"),
)

DELIVERIES = View("deliveries", (DELIVERY_TABLE,))
