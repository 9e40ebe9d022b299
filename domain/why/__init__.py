"""Why: the reasons behind what a run and its jobs do, told from events and from what stands around them.

One engine for the API, the CLI and the dashboard. Its answers are folded from the run's own events, with `decide`'s own
states; only what other streams say (who holds a concurrency group, which runners there are) is handed in as
`Surroundings`. It never guesses: what no event tells, it does not tell.

    reason.py        the shapes of the answers, and every code with its meaning
    surroundings.py  what other streams say
    history.py       the run's own events, folded
    runners.py       why no runner takes a queued job
    waiting.py       why a job or a run is not further
    ends.py          why a job ended as it did: skipped, failed, cancelled, out of time
    retries.py       why there was another attempt
    times.py         where the time went
    explain.py       the answers, put together: root causes apart from what followed from them
    triggering.py    why an event did not start a workflow
"""

from domain.why.explain import why_job, why_run
from domain.why.reason import CODES, DeliveryWhy, JobWhy, Reason, RunWhy
from domain.why.surroundings import Holder, Runner, Surroundings
from domain.why.triggering import why_delivery

__all__ = [
    "CODES",
    "DeliveryWhy",
    "Holder",
    "JobWhy",
    "Reason",
    "RunWhy",
    "Runner",
    "Surroundings",
    "why_delivery",
    "why_job",
    "why_run",
]
