"""Refusals of authenticated actors, one stream a tenant and day."""

import msgspec

from domain.refusals import Decision
from domain.run.commands import RecordRefusal


class CommandRefused(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A command was refused. target: the stream or name it was about; count: repeats summed within a minute."""

    command: str
    target: str
    code: str
    message: str
    count: int = 1


def decide(command: RecordRefusal) -> Decision:
    """Every refusal is kept."""
    return Decision((CommandRefused(command.command, command.target, command.code, command.message, command.count),))
