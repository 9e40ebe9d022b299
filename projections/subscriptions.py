"""The subscriptions view: where events are sent to, which ones, whether they are, and if not, why."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain import subscription
from domain.envelope import Recorded
from projections.table import Key, Rule, Table, View, by_stream


class SubscriptionRow(msgspec.Struct, gc=False):
    """A subscription. reason: why it is not enabled; enabled_at: since when it is, or was last.

    position: of the event that made it. version: of its stream.
    """

    id: UUID
    tenant: str
    url: str
    types: tuple[str, ...]
    enabled: bool
    reason: str
    created_at: datetime
    created_by: str
    enabled_at: datetime
    deleted_at: datetime | None
    position: int
    version: int


def _created(_row: SubscriptionRow | None, event: Recorded, key: Key) -> SubscriptionRow:
    data: subscription.SubscriptionCreated = event.data
    at = event.meta.at
    return SubscriptionRow(
        id=key,
        tenant=event.meta.tenant,
        url=data.url,
        types=data.types,
        enabled=True,
        reason="",
        created_at=at,
        created_by=event.meta.actor,
        enabled_at=at,
        deleted_at=None,
        position=event.position,
        version=event.version,
    )


def _changed(row: SubscriptionRow | None, event: Recorded, _key: Key) -> SubscriptionRow | None:
    if row is None:
        return None
    match event.data:
        case subscription.SubscriptionSecretSet():
            pass  # the version counts
        case subscription.SubscriptionDisabled() as data:
            row.enabled, row.reason = False, data.reason
        case subscription.SubscriptionEnabled():
            row.enabled, row.reason, row.enabled_at = True, "", event.meta.at
        case subscription.SubscriptionDeleted():
            row.enabled, row.deleted_at = False, event.meta.at
        case _:
            raise AssertionError(f"{event.type} is not a change of a subscription")
    row.version = event.version
    return row


_CHANGES = (
    subscription.SubscriptionSecretSet,
    subscription.SubscriptionDisabled,
    subscription.SubscriptionEnabled,
    subscription.SubscriptionDeleted,
)

SUBSCRIPTION_TABLE = Table(
    "subscriptions",
    SubscriptionRow,
    ("id",),
    {subscription.SubscriptionCreated: Rule(_created, by_stream, opens=True), **{each: Rule(_changed, by_stream) for each in _CHANGES}},
    indexes=("(tenant, position DESC)",),
)

SUBSCRIPTIONS = View("subscriptions", (SUBSCRIPTION_TABLE,))
