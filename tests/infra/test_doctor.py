"""The doctor names what is missing, with its value and a fix, and never a secret."""

import os
import socket
import threading

import pytest

from infra import doctor
from infra.doctor import checks
from infra.embedded.supervisor import start
from infra.settings import Settings


def named(settings: Settings) -> dict[str, doctor.Check]:
    return {check.name: check for check in checks(settings)}


def test_a_sound_machine_needs_no_fix(tmp_path):
    """Everything is ok, nothing needs a fix, and nothing was left in the directory."""
    found = named(Settings(data=tmp_path / "data"))
    assert list(found) == ["python", "git", "data", "disk", "clock", "postgres", "nats"]
    assert {name for name, check in found.items() if not check.ok or check.fix} == set()
    assert list(tmp_path.iterdir()) == []


def test_every_failed_check_has_a_fix(tmp_path, monkeypatch):
    """No git, a full disk, a clock behind, programs missing: each line says what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "FREE_BYTES_MIN", 1 << 80)
    (tmp_path / "doctor.py").touch()
    os.utime(tmp_path / "doctor.py", (2**32, 2**32))
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "doctor.py"))
    found = named(Settings(data=tmp_path / "data", pg_bin=tmp_path))
    assert {name for name, check in found.items() if not check.ok} == {"git", "disk", "clock", "postgres"}
    assert all(check.fix and check.detail for check in found.values() if not check.ok)
    assert str(tmp_path) in found["postgres"].detail


def test_a_directory_in_use_is_named_with_its_owner(tmp_path):
    """While a server runs the doctor says whose the directory is, and does not disturb it."""
    embedded = start(tmp_path / "data")
    try:
        found = named(Settings(data=tmp_path / "data"))
        assert f"in use by pid {os.getpid()}" in found["data"].detail
        assert all(check.ok for check in found.values())
    finally:
        embedded.stop()


def test_servers_of_ones_own_are_asked(tmp_path):
    """With URLs the servers themselves are asked: versions, JetStream, the clock's distance; the token is not shown."""
    embedded = start(tmp_path / "data")
    try:
        found = named(Settings(data=tmp_path / "other", database_url=embedded.database_url, nats_url=embedded.nats_url))
        token = embedded.nats_url.split("//")[1].split("@")[0]
        assert all(check.ok for check in found.values())
        assert "s from this machine's" in found["clock of the store"].detail
        assert "127.0.0.1" in found["nats"].detail
        assert token not in str(found)
    finally:
        embedded.stop()


def test_servers_that_do_not_answer_are_named_without_their_password(tmp_path):
    """A closed port: both lines fail with host and port, and the password stays out."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        found = named(
            Settings(data=tmp_path, database_url=f"postgresql://u:hidden@127.0.0.1:{port}/x", nats_url=f"nats://hidden@127.0.0.1:{port}")
        )
    assert not found["postgres"].ok
    assert not found["nats"].ok
    assert f"127.0.0.1:{port}" in found["nats"].detail
    assert "hidden" not in str(found)


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (b'INFO {"version":"2.9.10","jetstream":true}\r\n', "2.9.10"),
        (b'INFO {"version":"2.11.0"}\r\n', "has no JetStream"),
        (b"SSH-2.0\r\n", "no NATS server"),
    ],
)
def test_an_unfit_nats_server_is_told_from_a_fit_one(tmp_path, line, detail):
    """Too old, without JetStream, or no NATS at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(line)

        thread = threading.Thread(target=greet)
        thread.start()
        nats = named(Settings(data=tmp_path, nats_url=f"nats://127.0.0.1:{server.getsockname()[1]}"))["nats"]
        thread.join()
    assert not nats.ok
    assert detail in nats.detail
    assert nats.fix
