"""Runners: who may take jobs. Presence (a poll is open) is not an event; its changes are."""

import msgspec
from msgspec.structs import replace

from domain.refusals import REPEAT, Decision, Refusal, mismatch
from domain.run.commands import ClaimSlots, NoteRunner, RegisterRunner

SLOTS_MAX = 1024
"""More jobs than these at a time are no claim of one runner."""


class RunnerRegistered(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A runner is known. pid: its process, where it runs on the server's own machine; None otherwise.

    group: of runners, "": the default one. key: its public key (Ed25519, hexadecimal), "": it has none of its own.
    """

    name: str
    labels: tuple[str, ...]
    slots: int
    os: str
    arch: str
    version: str
    ephemeral: bool = False
    pid: int | None = None
    group: str = ""
    key: str = ""


class RunnerOnline(msgspec.Struct, frozen=True, gc=False):
    """Its poll is open."""


class RunnerOffline(msgspec.Struct, frozen=True, gc=False):
    """It has not polled for a lease's time. reason: "silent" or "stopped"."""

    reason: str


class RunnerPaused(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """It gets no new jobs until resumed. reason: why, as whoever asked said."""

    reason: str = ""


class RunnerResumed(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """It gets jobs again."""

    reason: str = ""


class RunnerDrained(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """It finishes what it has, gets nothing new, then leaves."""

    reason: str = ""


class RunnerRetired(msgspec.Struct, frozen=True, gc=False):
    """It is gone for good."""

    reason: str


RunnerEvent = RunnerRegistered | RunnerOnline | RunnerOffline | RunnerPaused | RunnerResumed | RunnerDrained | RunnerRetired


class Runner(msgspec.Struct, frozen=True, gc=False):
    """A runner's state. duty: "active", "paused", "draining" or "retired". tenant: whose it is. version: of the stream."""

    facts: RunnerRegistered
    tenant: str = ""
    online: bool = False
    duty: str = "active"
    version: int = 1


def decide(state: Runner | None, command: RegisterRunner | NoteRunner | ClaimSlots) -> Decision | Refusal:
    """The answer of a runner to each command."""
    if isinstance(command, RegisterRunner):
        return _register(state, command)
    if state is None:
        return Refusal("runner_not_found", f"there is no runner {command.runner}", state="absent")
    if state.duty == "retired":
        again = isinstance(command, NoteRunner) and command.change == "retire"
        return REPEAT if again else Refusal("runner_retired", f"runner {state.facts.name} is retired", "retired")
    if isinstance(command, ClaimSlots):
        return _claim(state, command)
    other = mismatch(f"runner {command.runner}", state.version, command.versions)
    if other is not None:
        return other
    match command.change:
        case "online":
            return REPEAT if state.online else Decision((RunnerOnline(),))
        case "offline":
            return Decision((RunnerOffline(command.reason),)) if state.online else REPEAT
        case "pause":
            return REPEAT if state.duty == "paused" else Decision((RunnerPaused(command.reason),))
        case "resume":
            return REPEAT if state.duty == "active" else Decision((RunnerResumed(command.reason),))
        case "drain":
            return REPEAT if state.duty == "draining" else Decision((RunnerDrained(command.reason),))
        case "retire":
            return Decision((RunnerRetired(command.reason),))


def _claim(state: Runner, command: ClaimSlots) -> Decision | Refusal:
    slots = state.facts.slots
    if command.free >= 0 and command.free + command.held <= slots:
        return REPEAT
    message = f"runner {state.facts.name} has {slots} slots; it holds {command.held} jobs and asks for {command.free} more"
    return Refusal("too_many_slots", message, state=state.duty, help="register with the number of jobs that it runs at a time")


def _register(state: Runner | None, command: RegisterRunner) -> Decision | Refusal:
    if not 1 <= command.slots <= SLOTS_MAX:
        message = f"runner {command.name} registers {command.slots} slots"
        duty = "unregistered" if state is None else state.duty
        return Refusal("bad_slots", message, state=duty, help=f"a runner has 1 to {SLOTS_MAX} slots")
    facts = RunnerRegistered(
        command.name,
        command.labels,
        command.slots,
        command.os,
        command.arch,
        command.version,
        command.ephemeral,
        command.pid,
        command.group,
        command.key,
    )
    if state is not None and state.facts.key != command.key:
        message = f"runner {state.facts.name} is known by another key"
        return Refusal("not_this_runner", message, state=state.duty, help="register it anew: ledgermill runner register")
    if state is not None and state.duty == "retired":
        message = f"runner {command.name} was removed; start it with a new registration"
        return Refusal("runner_retired", message, state="retired")
    known = state is not None and state.facts == facts and state.duty != "draining"
    return REPEAT if known else Decision((facts,))


def evolve(state: Runner | None, event: RunnerEvent, tenant: str = "") -> Runner:
    """How each event changes a runner."""
    if isinstance(event, RunnerRegistered):
        return Runner(event, tenant) if state is None else replace(state, facts=event, duty="active", version=state.version + 1)
    assert state is not None, "a runner's stream begins with RunnerRegistered"  # noqa: S101 - a fact, not a check
    version = state.version + 1
    match event:
        case RunnerOnline():
            return replace(state, online=True, version=version)
        case RunnerOffline():
            return replace(state, online=False, version=version)
        case RunnerPaused():
            return replace(state, duty="paused", version=version)
        case RunnerResumed():
            return replace(state, duty="active", version=version)
        case RunnerDrained():
            return replace(state, duty="draining", version=version)
        case RunnerRetired():
            return replace(state, online=False, duty="retired", version=version)
