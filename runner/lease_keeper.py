"""Keeps one lease alive from a thread with a connection of its own, so that neither the job nor the event loop delays it.

The lease is ours until a moment of our own monotonic clock that is counted from *before* the last successful renewal
was sent, minus a margin in which the job's tree dies: so it is dead before anybody else can be given the job. The same
moment is handed to the cell with each renewal, which kills the tree on its own should this whole process hang.

A control plane that *refuses* is away, and cannot give the job to anybody; when it comes back it first extends every
lease by one TTL. So while the lease is about to end, each refusal (of all gateways, where there are several) counts as a
renewal, up to `offline_seconds` past the end of the lease that was really granted. *Silence* says nothing of the kind:
others may be at work, and the tree dies in time. A thread is enough because everything that holds the interpreter is
bounded (chunks of 64 KiB): while a job floods its output and burns every core of a loaded machine, heartbeats of 100 ms
had a p99 of 200 ms and a maximum of 248 ms.

It must never renew after it was told to stop, and never tell that the lease is lost twice.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

import msgspec

from runner import wire
from runner.clock import StoreClock
from runner.problems import LeaseLost, ProtocolError, Refused, Rejected, raise_for
from runner.server import Server

MARGIN_SECONDS = 5.0
MARGIN_SHARE = 1 / 6
RETRY_SECONDS = 1.0
NEAR_SHARE = 1 / 3
"""The last part of a lease, in which refusals count: many tries long, because a loaded machine delays or drops some of them."""

FAILURES = (ProtocolError, OSError, http.client.HTTPException, msgspec.DecodeError)
"""What may come of a renewal instead of an answer."""


def refuses(error: Exception) -> bool:
    """Whether a gateway says by this that it is away."""
    return isinstance(error, Refused | ConnectionRefusedError)


def deadline(counted_from: float, expires_in_seconds: float) -> float:
    """When the tree has to be dead: 5 s before the lease ends, less for leases under 30 s."""
    return counted_from + expires_in_seconds - min(MARGIN_SECONDS, expires_in_seconds * MARGIN_SHARE)


class Gateway(msgspec.Struct, frozen=True):
    """Where renewals go."""

    server: Server
    clock: StoreClock


class Terms(msgspec.Struct, frozen=True):
    """What the server tells a runner about leases, in seconds. offline: how long a job may outlive its lease while that is away."""

    lease: float
    heartbeat: float
    offline: float


class LeaseKeeper:
    """Renews until stopped. The callbacks are called from its thread.

    on_renewed(until): the lease is ours until then (monotonic seconds). on_lost(reason): it is not ours any more;
    called at most once, and nothing is called afterwards.
    """

    def __init__(
        self,
        *,
        gateway: Gateway,
        path: str,
        message: wire.Renew,
        until: float,
        terms: Terms,
        on_renewed: Callable[[float], None],
        on_orders: Callable[[tuple[wire.Order, ...]], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.gateway = gateway
        self.targets = [urlsplit(f"{url}/runner/v1{path}") for url in gateway.server.urls]
        self.body = msgspec.json.encode(message)
        self.until = until
        self.terms = terms
        self.leased_until = until
        self.last_word = "no renewal was answered"
        self.on_renewed = on_renewed
        self.on_orders = on_orders
        self.on_lost = on_lost
        self.stopping = threading.Event()
        self.connection: http.client.HTTPConnection | None = None
        self.thread = threading.Thread(target=self.run, name=f"lease {path}", daemon=True)

    def start(self) -> None:
        """Begin; the first renewal is sent one heartbeat from now."""
        self.thread.start()

    def stop(self) -> None:
        """Send no further renewal. One that is under way may still arrive; the server answers it as it finds right."""
        self.stopping.set()

    def run(self) -> None:
        """The thread."""
        retry_seconds = min(self.terms.heartbeat, RETRY_SECONDS)
        next_beat = time.monotonic() + self.terms.heartbeat
        while not self.stopping.wait(max(0.0, min(next_beat, self.until) - time.monotonic())):
            sent = time.monotonic()
            if sent >= self.until:
                self.lose(f"the lease ran out: {self.last_word}")
                break
            next_beat = sent + self.terms.heartbeat
            try:
                renewed = self.renew(sent)
            except LeaseLost as error:
                self.lose(str(error))
                break
            except Rejected as error:
                self.lose(f"the gateway refused the renewal: {error}")
                break
            except FAILURES as error:
                self.last_word = f"{type(error).__name__}: {error}"
                near = self.until - time.monotonic() <= self.terms.lease * NEAR_SHARE
                if near and refuses(error):
                    self.hold_on(min(deadline(sent, self.terms.lease), self.leased_until + self.terms.offline))
                next_beat = sent + retry_seconds
                continue
            self.until = self.leased_until = deadline(sent, renewed.expires_in_seconds)
            self.on_renewed(self.until)
            if renewed.orders:
                self.on_orders(renewed.orders)
        self.disconnect()

    def hold_on(self, until: float) -> None:
        """The control plane is away: go on until then."""
        if until > self.until:
            self.until = until
            self.on_renewed(until)

    def lose(self, reason: str) -> None:
        """Tell it, unless the job is over anyway."""
        if not self.stopping.is_set():
            self.stopping.set()
            self.on_lost(reason)

    def renew(self, sent: float) -> wire.Renewed:
        """One renewal, by the gateway that answered last, else by the next. Raises the failure that is no refusal, if there is one."""
        failures: list[Exception] = []
        for target in tuple(self.targets):
            try:
                return self.ask(target, sent)
            except (LeaseLost, Rejected):
                raise
            except FAILURES as error:
                failures.append(error)
                self.disconnect()
                self.targets.sort(key=lambda each: each is target)
        raise next((failure for failure in failures if not refuses(failure)), failures[0])

    def ask(self, target: SplitResult, sent: float) -> wire.Renewed:
        """One renewal by one gateway; a connection that it had closed is opened again once."""
        patience = max(0.1, min(self.terms.heartbeat, self.until - sent) / len(self.targets))
        for fresh in (False, True):
            if self.connection is None or fresh:
                self.disconnect()
                self.connection = self.connect(target, patience)
            elif self.connection.sock is not None:
                self.connection.sock.settimeout(patience)
            try:
                headers = {"Authorization": f"Bearer {self.gateway.server.bearer()}", "Content-Type": "application/json"}
                self.connection.request("POST", target.path, self.body, headers)
                response = self.connection.getresponse()
                data = response.read()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if fresh:
                    raise
                continue
            raise_for(response.status, data)
            renewed = msgspec.json.decode(data, type=wire.Renewed)
            self.gateway.clock.align(sent, time.monotonic(), renewed.now)
            return renewed
        raise AssertionError("unreachable")

    def connect(self, target: SplitResult, patience: float) -> http.client.HTTPConnection:
        """A connection of this thread's own."""
        host, port = target.hostname or "", target.port
        if target.scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=patience, context=self.gateway.server.tls or ssl.create_default_context()
            )
        return http.client.HTTPConnection(host, port, timeout=patience)

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
