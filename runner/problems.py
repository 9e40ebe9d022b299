"""What can go wrong between runner and gateway, told apart by what the runner should do about it."""

import ssl

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


class Distrusted(Silent):
    """TLS failed: one side does not believe the other's certificate. That may be repaired while the runner waits."""


class Unanswered(Silent):
    """A TLS connection that the server ends without an answer: it may want a client certificate, or be dying."""


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


UNANSWERED = (
    "the server ended the connection without an answer; it may trust only clients with a certificate of its authority:"
    " give one with --cert-file and --key-file"
)


def explained(error: ssl.SSLError) -> str:
    """What a failure of TLS means, with what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted here: {error.verify_message}"
            " (give the authority that signed it: --ca-file, or the name that it is made for: --url)"
        )
    reason = (error.reason or "").upper()
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        return f"{UNANSWERED} ({error.reason})"
    return f"TLS failed: {error.reason or error}"


def raise_for(status: int, body: bytes) -> None:
    """Turn an error answer into its exception; do nothing for 2xx."""
    if status < 300:
        return
    try:
        problem = msgspec.json.decode(body, type=wire.Problem)
    except msgspec.DecodeError:
        problem = wire.Problem(code=f"http_{status}", title=body[:200].decode(errors="replace"), status=status)
    raise failure(msgspec.structs.replace(problem, status=status))
