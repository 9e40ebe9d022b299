"""What the checker reports."""

from uuid import UUID

import msgspec


class Breach(msgspec.Struct, frozen=True):
    """An invariant that does not hold. invariant: its number in ARCHITECTURE.md; position: of the event that shows it."""

    invariant: int
    position: int
    stream: UUID
    message: str

    def __str__(self) -> str:
        return f"invariant {self.invariant} broken at position {self.position} (stream {self.stream}): {self.message}"
