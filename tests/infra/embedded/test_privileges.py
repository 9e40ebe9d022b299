"""Who the servers run as, and that nothing outside the data directory changes for it."""

import json
import os
import pwd
import signal
import sys
from pathlib import Path

import pytest

from infra.embedded.binaries import postgres_programs
from infra.embedded.keeper import TRAMPOLINE
from infra.embedded.supervisor import start

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it is about giving root up")
ACCOUNTS = [Path("/etc/passwd"), Path("/etc/group")]


def without_capabilities(*dropped: int) -> list[str]:
    """An argv prefix that takes capabilities away for good, as a container does."""
    drops = "; ".join(f"c.prctl(24, {capability}, 0, 0, 0)" for capability in dropped)
    return [sys.executable, "-c", f"import ctypes, os, sys; c = ctypes.CDLL(None); {drops}; os.execv(sys.argv[1], sys.argv[1:])"]


def users_of(pid: int) -> set[int]:
    """Real, effective, saved and file-system user ids of a process."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {int(number) for line in status if line.startswith("Uid:") for number in line.split()[1:]}


def capabilities_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))


def state_of_the_outside(data: Path) -> dict[str, object]:
    """Accounts, and mode and owner of every directory above the data directory and above the programs."""
    programs = postgres_programs().bin
    above = {*data.parents, *programs.parents, programs}
    return {str(path): path.read_bytes() for path in ACCOUNTS} | {
        str(path): (path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above if path.exists()
    }


@as_root
def test_root_gives_itself_up_and_changes_nothing_outside(data, clients):
    """Below a closed directory both servers run as nobody without a capability; accounts, modes and owners stay; other mounts too."""
    data.parent.mkdir(mode=0o700)
    before, mounts = state_of_the_outside(data), Path("/proc/self/mounts").read_bytes()
    embedded = start(data)
    try:
        assert clients.add_row(embedded.database_url) == 1
        assert clients.add_message(embedded.nats_url) == 1
        for pid in embedded.pids.values():
            assert users_of(pid) == {pwd.getpwnam("nobody").pw_uid}
            assert capabilities_of(pid) == 0
        assert Path("/proc/self/mounts").read_bytes() == mounts
    finally:
        embedded.stop()
    assert state_of_the_outside(data) == before
    assert data.stat().st_uid == 0
    assert data.stat().st_mode & 0o777 == 0o700


@as_root
def test_the_server_sees_only_its_own_part_of_a_closed_directory(data):
    """A secret in the data directory, open to all by its mode, is not even visible to the server."""
    embedded = start(data, nats=False)
    try:
        (data / "token").write_text("secret")
        (data / "token").chmod(0o644)
        root = Path(f"/proc/{embedded.pids['postgres']}/root")
        assert (root / data.relative_to("/") / "postgres" / "cluster" / "PG_VERSION").exists()
        assert not (root / data.relative_to("/") / "token").exists()
    finally:
        embedded.stop()


@as_root
@pytest.mark.parametrize(("missing", "kept"), [((21,), 1 << 2), ((21, 2), 1 << 1)])
def test_root_that_may_not_mount_keeps_one_capability(data, owners, clients, missing, kept):
    """In a container (no CAP_SYS_ADMIN) the servers run as nobody with the one capability that walks through closed directories."""
    with owners.OwnerProcess(data, without_capabilities(*missing)) as owner:
        assert clients.add_row(owner.answer["database_url"]) == 1
        for pid in owner.answer["pids"].values():
            assert users_of(pid) == {pwd.getpwnam("nobody").pw_uid}
            assert capabilities_of(pid) == kept
        owner.kill(signal.SIGKILL)
        assert owner.servers_end()


@as_root
def test_root_that_cannot_be_given_up_is_told_so(data, owners):
    """Without the right to change users (CAP_SETUID) nothing is started and EMB006 says what to do."""
    with owners.OwnerProcess(data, without_capabilities(7)) as owner:
        assert owner.answer["code"] == "EMB006"
        assert "cannot give up root" in owner.answer["because"]


@as_root
def test_a_closed_installation_is_copied_with_its_layout(tmp_path):
    """The copy keeps the relative places of all roots, is open to the server's user, and the original keeps its modes."""
    from infra.embedded.home import Home

    package, libraries = tmp_path / "site" / "package" / "pginstall", tmp_path / "site" / "libs"
    for directory in (package / "bin", libraries):
        directory.mkdir(parents=True, mode=0o700)
        (directory / "file").write_text("x")
        (directory / "file").chmod(0o700)
    home = Home(tmp_path, "postgres")
    copies = home.programs_for_all((package, libraries), "18.6")
    assert os.path.relpath(copies[1], copies[0]) == os.path.relpath(libraries, package)
    assert (copies[0] / "bin" / "file").stat().st_mode & 0o777 == 0o705
    assert copies[1].stat().st_mode & 0o005 == 0o005
    assert libraries.stat().st_mode & 0o777 == 0o700
    assert home.programs_for_all((package, libraries), "18.6") == copies


def test_a_plain_user_needs_no_privilege(tmp_path, owners, clients):
    """Started by a user without any right the servers run as that user, are kept at a second start, and die with their owner."""
    if os.geteuid() != 0:
        prefix, data = [], tmp_path / "data"
    else:
        user = pwd.getpwnam("nobody")
        (tmp_path / "own").mkdir(mode=0o700)
        os.chown(tmp_path / "own", user.pw_uid, user.pw_gid)
        data = tmp_path / "own" / "data"
        reach = [str(tmp_path / "own"), sys.base_prefix, sys.prefix, str(owners.ROOT)]
        spec = {"parent": os.getpid(), "signal": 9, "uid": user.pw_uid, "gid": user.pw_gid, "reach": reach}
        program = (
            "import json, os, sys; trampoline, spec = sys.argv[1:3]; spec = json.dumps(json.loads(spec) | {'run': sys.argv[3:]}); "
            "os.execv(sys.executable, [sys.executable, '-I', '-S', trampoline, spec])"
        )
        prefix = [sys.executable, "-c", program, str(TRAMPOLINE), json.dumps(spec)]
    for expected in (1, 2):
        with owners.OwnerProcess(data, prefix) as owner:
            assert owner.answer["uid"] != 0
            assert clients.add_row(owner.answer["database_url"]) == expected
            assert clients.add_message(owner.answer["nats_url"]) == expected
            assert {user for pid in owner.answer["pids"].values() for user in users_of(pid)} == {owner.answer["uid"]}
            owner.kill(signal.SIGKILL)
            assert owner.servers_end()
