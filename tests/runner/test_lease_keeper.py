"""The keeper of a lease whose thread gets its turn late, on a clock of the test's own."""

import http.server
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from runner import lease_keeper, wire
from runner.clock import StoreClock
from runner.lease_keeper import Gateway, LeaseKeeper, Terms, deadline
from runner.problems import ProtocolError, Refused, Silent
from runner.server import Server

LATE_SECONDS = 0.25
"""How much later than it asked for the thread gets its turn; a heartbeat is 0.1 s, a lease 1.2 s."""


def kept(monkeypatch: pytest.MonkeyPatch, answer: Callable[[float], ProtocolError], seconds: float, offline: float = 60) -> float | None:
    """When the lease was lost, None where it was kept for so many seconds. answer: to the renewal that is sent at a moment."""
    now = 0.0
    lost: list[float] = []
    nobody = UUID(int=0)
    keeper = LeaseKeeper(
        gateway=Gateway(Server("http://127.0.0.1:1", str), StoreClock()),
        path="/renew",
        message=wire.Renew(runner=nobody, attempt=1, epoch=1, lease=nobody),
        until=deadline(0, 1.2),
        terms=Terms(lease=1.2, heartbeat=0.1, offline=offline),
        on_renewed=lambda _until: None,
        on_orders=lambda _orders: None,
        on_lost=lambda _reason: lost.append(now),
    )

    def wait(pause: float) -> bool:
        nonlocal now
        now += pause + LATE_SECONDS
        return now > seconds

    def renew(sent: float) -> Any:
        raise answer(sent)

    monkeypatch.setattr(lease_keeper.time, "monotonic", lambda: now)
    monkeypatch.setattr(keeper.stopping, "wait", wait)
    monkeypatch.setattr(keeper, "renew", renew)
    keeper.run()
    return lost[0] if lost else None


def test_a_thread_that_is_late_still_hears_the_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every turn comes two heartbeats late: the lease is kept for as long as the control plane refuses."""
    assert kept(monkeypatch, lambda _sent: Refused("503"), 30) is None


def test_refusals_count_until_the_offline_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the end of the lease that was granted."""
    lost = kept(monkeypatch, lambda _sent: Refused("503"), 30, offline=5)
    assert lost is not None
    assert 6 <= lost <= 6.5


def test_an_early_refusal_followed_by_silence_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that was started again, then a broken network: the lease that was granted decides."""
    lost = kept(monkeypatch, lambda sent: Refused("503") if sent < 0.5 else Silent("no answer"), 30)
    assert lost is not None
    assert lost < 1.2 + LATE_SECONDS


def answering(status: int, requests: list[str]) -> "tuple[http.server.HTTPServer, str]":
    """A gateway that answers each renewal with this status; its URL."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(f"{status}")
            body = msgspec.json.encode(wire.Renewed(expires_in_seconds=30, now=datetime.now(UTC))) if status == 200 else b"{}"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


def keeper_of(*urls: str) -> LeaseKeeper:
    """A keeper that renews by these gateways."""
    nobody = UUID(int=0)
    return LeaseKeeper(
        gateway=Gateway(Server(",".join(urls), str), StoreClock()),
        path="/renew",
        message=wire.Renew(runner=nobody, attempt=1, epoch=1, lease=nobody),
        until=time.monotonic() + 60,
        terms=Terms(lease=60, heartbeat=20, offline=60),
        on_renewed=lambda _until: None,
        on_orders=lambda _orders: None,
        on_lost=lambda _reason: None,
    )


def test_of_several_gateways_all_have_to_refuse() -> None:
    """One that serves renews the lease and is asked first the next time; one that fails otherwise makes it no refusal."""
    requests: list[str] = []
    away, well, ill = (answering(status, requests) for status in (503, 200, 500))
    try:
        keeper = keeper_of(away[1], well[1])
        assert keeper.renew(time.monotonic()).expires_in_seconds == 30
        keeper.renew(time.monotonic())
        assert requests == ["503", "200", "200"]
        keeper.disconnect()
        for urls, failure in (((away[1], ill[1]), Silent), ((ill[1], away[1]), Silent), ((away[1], away[1]), Refused)):
            with pytest.raises(failure):
                keeper_of(*urls).renew(time.monotonic())
    finally:
        for server, _ in (away, well, ill):
            server.shutdown()
            server.server_close()
