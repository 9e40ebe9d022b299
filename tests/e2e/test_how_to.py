"""The how-to pages, followed as they stand on real servers."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.embedded.binaries import postgres_programs
from tests.authority import Authority
from tests.e2e.pages import ROOT, commands, follow
from tests.infra.test_mirrors import Forge
from tests.rigs.ports import free_port

PAGES = ROOT / "docs" / "how-to"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The bundled example as a repository."""
    root = tmp_path / "hello"
    shutil.copytree(ROOT / "examples" / "hello-ledger", root)
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, check=True)
    return root


def test_own_servers_and_a_backup_of_them(short_path: Path, repository: Path, make_database: Callable[[str], str], nats_url: str) -> None:
    """The run that one page makes on servers of one's own is there after the other page's restore, with its log and proofs."""
    database = make_database("template0")
    settings = {
        "LEDGERMILL_DATA": str(short_path / "data"),
        "DATABASE_URL": database,
        "NATS_URL": nats_url,
        "REPOSITORY": str(repository),
    }
    done = follow(PAGES / "own-servers.md", short_path, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "success in" in done.stdout
    settings["RESTORED_URL"] = make_database("template0")
    done = follow(PAGES / "backup.md", short_path, postgres_programs().bin, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every invariant holds" in done.stdout + done.stderr
    assert len(commands(PAGES / "backup.md")) > 10


def test_a_runner_on_another_machine(short_path: Path, repository: Path) -> None:
    """It joins over TLS with a key of its own, and the run of the page is its work."""
    certificate, key = (authority := Authority(short_path / "ca", "authority")).certificate("127.0.0.2")
    settings = {"CERTIFICATE": str(certificate), "KEY": str(key), "AUTHORITY": str(authority.file)}
    settings |= {"LEDGERMILL_DATA": str(short_path / "data"), "URL": f"https://127.0.0.2:{free_port()}", "REPOSITORY": str(repository)}
    done = follow(PAGES / "add-a-runner.md", short_path, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "success in" in done.stdout
    assert "Runner far" in done.stdout
    assert "paused (new disk" in done.stdout


def test_access_for_others(short_path: Path) -> None:
    """A token is made, used, listed and revoked; another tenant begins with its own."""
    done = follow(PAGES / "give-access.md", short_path, LEDGERMILL_DATA=str(short_path / "data"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ci-bot  developer  until" in done.stdout
    assert len(commands(PAGES / "give-access.md")) > 7


HOOK = """\
#!{python}
import hashlib, hmac, json, subprocess, sys, time, urllib.request

def ask(*verb):
    return json.loads(subprocess.run(["ledgermill", *verb, "--json"], check=True, capture_output=True).stdout)

before, after, ref = sys.stdin.read().split()
repository = {{"full_name": "acme/pay", "default_branch": "main"}}
body = json.dumps({{"ref": ref, "before": before, "after": after, "repository": repository, "commits": []}}).encode()
secret = open({secret!r}).read().strip().encode()
headers = {{"X-Gitea-Event": "push", "X-Gitea-Delivery": after, "X-Gitea-Signature": hmac.new(secret, body, hashlib.sha256).hexdigest()}}
url = ask("status")["url"] + "/api/v1/webhooks/gitea"
with urllib.request.urlopen(urllib.request.Request(url, body, headers | {{"Content-Type": "application/json"}})) as answer:
    assert answer.status == 202, answer.status
while ask("repository", "deliveries", "acme/pay")[0]["status"] == "received":
    time.sleep(0.1)  # another process answers; the page's next command shows what
"""
"""What the forge of the test does after a push: what Gitea does."""


def test_a_forge(short_path: Path, repository: Path) -> None:
    """A push to a forge starts a run of the commit's files; so does a dispatch; the secret of before counts after a rotation."""
    forge = Forge(short_path / "forge")
    shutil.copytree(repository, forge.tree, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
    forge.commit()
    forge.git("config", "receive.denyCurrentBranch", "ignore")
    hook = forge.tree / ".git" / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK.format(python=sys.executable, secret=str(short_path / "secret")))
    hook.chmod(0o755)
    clone = short_path / "pay"
    subprocess.run(["git", "clone", "--quiet", str(forge.tree), str(clone)], check=True)
    for name, value in (("user.name", "A"), ("user.email", "a@example.invalid")):
        subprocess.run(["git", "config", name, value], cwd=clone, check=True)
    forge.up()
    try:
        done = follow(
            PAGES / "connect-a-forge.md",
            short_path,
            LEDGERMILL_DATA=str(short_path / "data"),
            LEDGERMILL_ALLOWED_NETWORKS="127.0.0.0/8",
            CLONE_URL=forge.url,
        )
    finally:
        forge.down()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("success in") == 2
    assert done.stdout.count("1 of 1 workflows started") == 3
    assert "started run" in done.stderr
