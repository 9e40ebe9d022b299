"""The checker: one pass over a log that proves what must always hold. It judges the log, not the code that wrote it.

Therefore it shares nothing with decide and evolve: it keeps its own small account of each job and run, so that a fault
in them is found here. Invariants 1 to 8 and 10 are judged from the log alone. The ninth (views equal the fold) needs the
rows of the views; `projections.verify` compares them and the `check` verb reports both.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from domain.envelope import Recorded
from domain.invariants.breach import Breach
from domain.invariants.concurrency import ABOUT_GROUPS, GroupLedger
from domain.invariants.envelope import EnvelopeAccount
from domain.invariants.job import CONCLUSIONS, Finding, JobLedger
from domain.invariants.leases import LeaseLedger
from domain.invariants.liveness import LivenessAccount
from domain.invariants.numbers import NumberLedger
from domain.invariants.run import RunLedger
from domain.invariants.secrets import SecretScan, holds_text
from domain.job.events import JobEvent, JobQueued
from domain.run.events import RunEvent, RunPlanned, RunTriggered
from domain.workflow_file import RunNumbered

__all__ = ["Breach", "check"]

See = Callable[[Recorded], Iterable[Finding]]


def check(events: Iterable[Recorded], *, now: datetime | None = None, secrets: Iterable[str] = ()) -> list[Breach]:
    """All breaches of a log that is complete from position 0 and given in the order in which a reader saw it, by position.

    now: of a log that has settled, the store's time, so that what nobody looks at any more is found (invariant 10). secrets:
    values that no event may hold (invariant 7), besides what looks like a credential anyhow.
    """
    jobs = JobLedger()
    runs, leases, envelopes, groups = RunLedger(jobs), LeaseLedger(), EnvelopeAccount(jobs), GroupLedger()
    liveness, scan, numbers = LivenessAccount(), SecretScan(secrets), NumberLedger()
    concerned: tuple[tuple[tuple[type, ...], See], ...] = (
        ((RunEvent, JobQueued), runs.see),
        ((JobEvent,), jobs.see),
        ((JobEvent,), leases.see),
        ((*CONCLUSIONS, *ABOUT_GROUPS), groups.see),
        ((RunTriggered, RunPlanned, RunNumbered), numbers.see),
        (tuple(LivenessAccount.RULES), liveness.see),
        ((object,), scan.see),
    )
    routes: dict[type, tuple[tuple[See, ...], bool]] = {}
    breaches: list[Breach] = []
    for event in events:
        kind: type = type(event.data)
        route = routes.get(kind)
        if route is None:
            route = routes[kind] = tuple(see for kinds, see in concerned if issubclass(kind, kinds)), holds_text(kind)
        found = envelopes.see(event)
        for see in route[0]:
            if more := see(event):
                found.extend(more)
        if found:
            breaches.extend(_breach(event, finding) for finding in found)
        if route[1]:
            breaches.extend(_breach(*each) for each in scan.read(event))
    breaches.extend(_breach(*each) for each in scan.end())
    breaches.sort(key=lambda breach: breach.position)
    breaches.extend(Breach(5, position, stream, message) for position, stream, message in groups.end())
    breaches.extend(Breach(10, position, stream, message) for position, stream, message in liveness.end(now))
    return breaches


def _breach(event: Recorded, finding: Finding) -> Breach:
    number, message = finding
    return Breach(number, event.position, event.stream, message)
