"""The checker: one pass over a log that proves what must always hold. It judges the log, not the code that wrote it.

Therefore it shares nothing with decide and evolve: it keeps its own small account of each job and run, so that a fault
in them is found here. Invariants 1 to 6 and 8 are judged from the log alone. The ninth (views equal the fold) needs the
rows of the views; `projections.verify` compares them and the `check` verb reports both.
"""

from collections.abc import Iterable

from domain.envelope import Recorded
from domain.invariants.breach import Breach
from domain.invariants.concurrency import GroupLedger
from domain.invariants.envelope import EnvelopeAccount
from domain.invariants.job import JobLedger
from domain.invariants.run import RunLedger

__all__ = ["Breach", "check"]


def check(events: Iterable[Recorded]) -> list[Breach]:
    """All breaches of a log that is complete from position 0 and given in the order in which a reader saw it."""
    jobs = JobLedger()
    runs = RunLedger(jobs)
    envelopes = EnvelopeAccount(jobs)
    groups = GroupLedger()
    breaches: list[Breach] = []
    for event in events:
        found = [*envelopes.see(event), *runs.see(event), *jobs.see(event), *groups.see(event)]
        breaches.extend(Breach(number, event.position, event.stream, message) for number, message in found)
    breaches.extend(Breach(5, position, stream, message) for position, stream, message in groups.end())
    return breaches
