"""Registration tokens: how a runner on another machine joins. Each is good for one runner, for ten minutes, for one group and labels.

The runner makes a key pair and hands in the public half; from then on it is known by its key. Labels and group come from
the registration, never from the runner: what it asks for beyond them is refused.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.refusals import REPEAT, Decision, Refusal
from domain.run.commands import RegisterRunner

LIFETIME_SECONDS = 600
LABELS_MAX = 50
LABEL_LENGTH_MAX = 100
DEFAULT_GROUP = "default"


class RunnerRegistrationCreated(msgspec.Struct, frozen=True, gc=False):
    """A runner may join. digest: SHA-256 of the registration token's text, hexadecimal. labels: beside the system's own."""

    digest: str
    group: str
    labels: tuple[str, ...]
    ephemeral: bool
    expires_at: datetime


class RunnerRegistrationUsed(msgspec.Struct, frozen=True, gc=False):
    """The one runner has joined."""

    runner: UUID


RegistrationEvent = RunnerRegistrationCreated | RunnerRegistrationUsed


class CreateRegistration(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Let one runner join. group: its name."""

    registration: UUID
    digest: str
    labels: tuple[str, ...] = ()
    group: str = DEFAULT_GROUP
    ephemeral: bool = False


class UseRegistration(msgspec.Struct, frozen=True, gc=False):
    """A runner joins. facts: of the runner as it tells them; its labels and group are what it asks for, "": whatever it gets."""

    registration: UUID
    facts: RegisterRunner


class Registration(msgspec.Struct, frozen=True, gc=False):
    """A registration's state. runner: who has joined by it."""

    facts: RunnerRegistrationCreated
    tenant: str
    runner: UUID | None = None


def decide(state: Registration | None, command: CreateRegistration | UseRegistration, now: datetime) -> Decision | Refusal:
    """The answer of a registration to each command."""
    if isinstance(command, CreateRegistration):
        return _create(state, command, now)
    if state is None:
        return Refusal("registration_not_found", "there is no such registration token", state="absent", help=ANOTHER)
    if state.runner is not None:
        if state.runner == command.facts.runner:
            return REPEAT
        return Refusal("registration_used", "another runner has joined by this registration token", state="used", help=ANOTHER)
    if now >= state.facts.expires_at:
        message = f"the registration token has expired at {state.facts.expires_at:%H:%M:%S} UTC"
        return Refusal("registration_expired", message, state="expired", help=ANOTHER)
    return _join(state, command.facts)


ANOTHER = "make another one: ledgermill runner token"


def _join(state: Registration, wanted: RegisterRunner) -> Decision | Refusal:
    if wanted.group not in ("", state.facts.group):
        message = f"the registration token is for the group {state.facts.group}, not {wanted.group}"
        return Refusal("group_not_granted", message, state="open", help="leave the group out, or make a token for that group")
    rogue = sorted(set(wanted.labels) - set(state.facts.labels))
    if rogue:
        message = f"the registration token does not grant the labels {', '.join(rogue)}"
        return Refusal("labels_not_granted", message, state="open", help="leave them out, or make a token that grants them")
    labels = tuple(dict.fromkeys((*system_labels(wanted.os, wanted.arch), *(wanted.labels or state.facts.labels))))
    ephemeral = wanted.ephemeral or state.facts.ephemeral
    joined = replace(wanted, labels=labels, group=state.facts.group, ephemeral=ephemeral)
    return Decision((RunnerRegistrationUsed(wanted.runner),), (joined,))


def system_labels(os: str, arch: str) -> tuple[str, ...]:
    """The labels that every runner of its kind has."""
    return tuple(label for label in ("self-hosted", os.lower(), arch.lower()) if label)


def _create(state: Registration | None, command: CreateRegistration, now: datetime) -> Decision | Refusal:
    if len(command.labels) > LABELS_MAX or not all(well_formed(label) for label in (*command.labels, command.group)):
        message = f"a registration has a group and up to {LABELS_MAX} labels, each of 1 to {LABEL_LENGTH_MAX} printable characters"
        return Refusal("bad_registration", message, state="absent", help="labels have no comma and no space at an end")
    if state is None:
        expires_at = now + timedelta(seconds=LIFETIME_SECONDS)
        created = RunnerRegistrationCreated(command.digest, command.group, command.labels, command.ephemeral, expires_at)
        return Decision((created,))
    known = state.facts
    if (known.group, known.labels, known.ephemeral) == (command.group, command.labels, command.ephemeral):
        return REPEAT
    message = "the Idempotency-Key was used for another registration"
    return Refusal("idempotency_key_reused", message, state="present", help="use a new key for a new registration")


def well_formed(name: str) -> bool:
    """Whether this can be a label or the name of a group."""
    return name == name.strip() and 0 < len(name) <= LABEL_LENGTH_MAX and name.isprintable() and "," not in name


def evolve(state: Registration | None, event: RegistrationEvent, tenant: str) -> Registration:
    """How each event changes a registration."""
    if isinstance(event, RunnerRegistrationCreated):
        return Registration(event, tenant)
    assert state is not None, "a registration's stream begins with RunnerRegistrationCreated"  # noqa: S101 - a fact, not a check
    return replace(state, runner=event.runner)
