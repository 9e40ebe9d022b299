"""How much a statement can promise: the SLSA build level, honestly, by how its runner came to be known.

Nothing that a runner says of itself counts: only whether the server started it, or a registration let it in with its own key.
"""

import msgspec

from domain.runner_pool import RunnerRegistered

BUILDERS = "urn:ledgermill:builder:"


class Assurance(msgspec.Struct, frozen=True):
    """builder: the builder.id. isolation: what stands between two jobs. level: SLSA build level; reason: why no higher one."""

    builder: str
    isolation: str
    level: int
    reason: str


LOCAL = Assurance(
    f"{BUILDERS}local",
    "host",
    1,
    "the runner has no key of its own: it may be a process of the server's machine and user, so a job might reach what the server and"
    " its signer can; level 2 needs a runner that joined by a registration",
)
JOINED = Assurance(
    f"{BUILDERS}joined",
    "host",
    2,
    "jobs run as processes of their runner's user, on a machine that is not made anew for each; level 3 needs jobs that are isolated"
    " from one another and from their runner",
)


def assurance(runner: RunnerRegistered) -> Assurance:
    """What can be said of jobs of this runner."""
    return JOINED if runner.key else LOCAL
