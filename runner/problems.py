"""What can go wrong between runner and gateway, told apart by what the runner should do about it."""

import msgspec

from runner import wire


class ProtocolError(Exception):
    """The base of what can go wrong between runner and gateway."""


class LeaseLost(ProtocolError):  # noqa: N818 - an outcome with a name of its own
    """409 `lease_lost`: somebody else decides about this job now."""


class Refused(ProtocolError):  # noqa: N818 - an outcome with a name of its own
    """Connection refused, 502 or 503: the control plane is away."""


class Silent(ProtocolError):  # noqa: N818 - an outcome with a name of its own
    """No answer in time, or one that tells nothing about the control plane: a broken connection, a fault of one server."""


class Rejected(ProtocolError):  # noqa: N818 - an outcome with a name of its own
    """Any other error answer. problem: what the gateway said."""

    def __init__(self, problem: wire.Problem) -> None:
        super().__init__(
            f"{problem.status} {problem.code}: {problem.detail or problem.title}" + (f" ({problem.hint})" if problem.hint else "")
        )
        self.problem = problem


def failure(problem: wire.Problem) -> ProtocolError:
    """What a problem means to the runner."""
    if problem.status == 409 and problem.code == "lease_lost":
        return LeaseLost(problem.detail or problem.title)
    said = f"{problem.status} {problem.code}: {problem.detail or problem.title}"
    if problem.status in (502, 503):
        return Refused(said)
    if problem.status >= 500 or problem.status in (408, 429):
        return Silent(said)
    return Rejected(problem)


def raise_for(status: int, body: bytes) -> None:
    """Turn an error answer into its exception; do nothing for 2xx."""
    if status < 300:
        return
    try:
        problem = msgspec.json.decode(body, type=wire.Problem)
    except msgspec.DecodeError:
        problem = wire.Problem(code=f"http_{status}", title=body[:200].decode(errors="replace"), status=status)
    raise failure(msgspec.structs.replace(problem, status=status))
