"""Verbs against a server that stays."""

import signal

import pytest

from tests.e2e.conftest import waiting_for

pytestmark = pytest.mark.timeout(180)


def test_ctrl_c_lets_go_of_a_server_and_watch_follows_the_run_to_its_end(place, until, tmp_path):
    """The run goes on without the verb, and how to find it again is printed."""
    gate = tmp_path / "gate"
    place.workflow(waiting_for(gate))
    up = place("up", "--detach", "--port", "0")
    assert up.code == 0, up.out + up.err
    child = place.start("run", "--progress", "plain")
    until(child, "| begin")
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "goes on: ledgermill watch" in err

    watch = place.start("watch", "latest", "--progress", "plain")
    until(watch, "| begin")
    gate.touch()
    out, _ = watch.communicate(timeout=30)
    assert watch.returncode == 0
    assert "| end" in out
    assert [runner["state"] for runner in place("runner", "list", "--json").json()] == ["idle"]
    assert place("down").code == 0


def test_a_cancel_from_elsewhere_ends_a_followed_run(place, until, tmp_path):
    """`ledgermill cancel latest` in another terminal: the followed run ends with exit code 2."""
    place.workflow(waiting_for(tmp_path / "never"))
    assert place("up", "--detach", "--port", "0").code == 0
    child = place.start("run", "--progress", "plain")
    until(child, "| begin")
    assert place("cancel", "latest").code == 0
    child.communicate(timeout=60)
    assert child.returncode == 2
