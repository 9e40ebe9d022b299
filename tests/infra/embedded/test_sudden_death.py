"""However the owner ends, its servers end with it, and the next start has everything."""

import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_server_outlives_its_killed_owner(data, owners, clients, number):
    """Both servers end by themselves, and a new owner that comes at once is served with rows and messages kept."""
    with owners.OwnerProcess(data) as first:
        assert clients.add_row(first.answer["database_url"]) == 1
        assert clients.add_message(first.answer["nats_url"]) == 1
        first.kill(number)
        with owners.OwnerProcess(data) as second:
            assert first.servers_end()
            assert clients.add_row(second.answer["database_url"]) == 2
            assert clients.add_message(second.answer["nats_url"]) == 2


def test_everything_killed_at_once_recovers(data, owners, clients):
    """Owner, Postgres and NATS get SIGKILL: the next start recovers what was committed."""
    with owners.OwnerProcess(data) as first:
        assert clients.add_row(first.answer["database_url"]) == 1
        first.process.send_signal(signal.SIGSTOP)
        first.kill_servers()
        first.kill(signal.SIGKILL)
        with owners.OwnerProcess(data) as second:
            assert clients.add_row(second.answer["database_url"]) == 2
            assert clients.add_message(second.answer["nats_url"]) == 1
    assert "redo done" in (data / "logs" / "postgres.log").read_text()


def test_an_owner_killed_while_it_makes_the_cluster_leaves_no_helper(data, owners, clients):
    """The helper and what it started end too (they hold the server's lock while they live), and the next start begins again."""
    process = subprocess.Popen([sys.executable, "-B", owners.__file__, data], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    tick, unfinished = threading.Event(), data / "postgres" / "cluster.new" / "base"
    for _ in range(6000):
        if unfinished.exists():
            break
        tick.wait(0.002)
    process.kill()
    process.wait()
    process.stdin.close()
    assert unfinished.exists()
    lock = os.open(data / "postgres" / "running", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)  # pytest's own time limit bounds this wait
    os.close(lock)
    with owners.OwnerProcess(data) as second:
        assert clients.add_row(second.answer["database_url"]) == 1
