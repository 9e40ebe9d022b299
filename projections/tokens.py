"""The tokens view: which tokens there are, for what, until when, and when each was last used (by the hour)."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain import token
from domain.envelope import Recorded
from projections.table import Key, Rule, Table, View, by_stream


class TokenRow(msgspec.Struct, gc=False):
    """A token; what it is a secret of is not here. created_by: an actor. last_used_at: the first use in the last hour of use.

    version: of its stream.
    """

    id: UUID
    tenant: str
    name: str
    role: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    version: int


def _created(_row: TokenRow | None, event: Recorded, key: Key) -> TokenRow:
    data: token.TokenCreated = event.data
    return TokenRow(
        id=key,
        tenant=event.meta.tenant,
        name=data.name,
        role=data.role,
        created_at=event.meta.at,
        created_by=event.meta.actor,
        expires_at=data.expires_at,
        revoked_at=None,
        last_used_at=None,
        version=event.version,
    )


def _revoked(row: TokenRow | None, event: Recorded, _key: Key) -> TokenRow | None:
    if row is not None:
        row.revoked_at, row.version = event.meta.at, event.version
    return row


def _used(row: TokenRow | None, event: Recorded, _key: Key) -> TokenRow | None:
    if row is not None:
        row.last_used_at, row.version = event.meta.at, event.version
    return row


TOKEN_TABLE = Table(
    "tokens",
    TokenRow,
    ("id",),
    {
        token.TokenCreated: Rule(_created, by_stream, opens=True),
        token.TokenRevoked: Rule(_revoked, by_stream),
        token.TokenUsed: Rule(_used, by_stream),
    },
    indexes=("(tenant, created_at, id)",),
)

TOKENS = View("tokens", (TOKEN_TABLE,))
