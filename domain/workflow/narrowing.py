"""Which jobs a run has that was asked for some of them only (`run -j`)."""

from collections.abc import Collection, Mapping

from domain.workflow.model import Job


def with_needs(jobs: Mapping[str, Job], only: Collection[str]) -> list[str]:
    """The keys of these jobs and all that they need, in the file's order; of all jobs where `only` is empty. Unknown ones count nothing."""
    if not only:
        return list(jobs)
    found: set[str] = set()
    pending = [key for key in only if key in jobs]
    while pending:
        key = pending.pop()
        if key not in found:
            found.add(key)
            pending.extend(jobs[key].needs)
    return [key for key in jobs if key in found]
