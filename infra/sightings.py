"""Which runners the gateways of one store have seen lately, each by its own words.

A runner that knows several gateways goes from one to the next, and the one that it left cannot know that from its own polls.
It must never say that a runner is gone: silence is for those to judge who were told nothing.
"""

import secrets
from collections.abc import Collection
from uuid import UUID

from projections.positions import Connections

_TELL = """
WITH old AS (DELETE FROM public.sightings_0 WHERE seen_at < clock_timestamp() - interval '1 day' AND runner <> ALL (%(runners)s))
INSERT INTO public.sightings_0 AS s (runner, teller, seen_at)
SELECT runner, %(teller)s, clock_timestamp() FROM unnest(%(runners)s::uuid[]) AS runner ORDER BY runner
ON CONFLICT (runner) DO UPDATE SET teller = excluded.teller, seen_at = excluded.seen_at
"""
_ELSEWHERE = """
SELECT runner FROM public.sightings_0
WHERE runner = ANY (%s) AND teller <> %s AND seen_at > clock_timestamp() - make_interval(secs => %s)
"""


class PostgresSightings:
    """See gateway.ports.Sightings. One a process, whose words these are."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._teller = secrets.token_hex(8)

    async def tell(self, runners: Collection[UUID]) -> None:
        """See the port."""
        async with self._connections() as connection:
            await connection.execute(_TELL, {"teller": self._teller, "runners": list(runners)})

    async def elsewhere(self, runners: Collection[UUID], seconds: float) -> set[UUID]:
        """See the port."""
        async with self._connections() as connection:
            found = await connection.execute(_ELSEWHERE, (list(runners), self._teller, seconds))
            return {row[0] for row in await found.fetchall()}
