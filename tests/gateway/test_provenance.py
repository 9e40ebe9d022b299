"""Provenance of a real run: a gateway, a signer process, a log in Postgres; verified by programs that are not ours."""

import base64
import copy
import hashlib
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.job.events import Subject
from gateway.cli.main import main
from infra.embedded.keeper import TRAMPOLINE
from runner import wire
from tests.gateway.conftest import Gateway, HandRunner, serving
from tests.gateway.signers import signer

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: without it all processes are of one user, and the level says so")
HUNT = Path(__file__).with_name("hunt.py")
ROOT = Path(__file__).parents[2]


async def built(gateway: Gateway, runner: HandRunner, *subjects: Subject, **told: Any) -> str:
    """A run whose only step attests these; its id. told: what else the runner says of the step."""
    run = await gateway.run()
    job = await runner.acquire()
    assert (await runner.start(job)).status == 200
    at = job_time()
    facts = {"outcome": "success", "conclusion": "success", "started_at": at, "ended_at": at} | told
    steps = (wire.StepStart(index=0, started_at=at), wire.StepEnd(index=0, subjects=subjects, **facts))
    answer = await runner.post(f"jobs/{job.job}/events", wire.Steps(seq=1, transitions=steps, **runner.fence(job)))
    assert answer.status == 200, answer.json
    assert (await runner.complete(job)).status == 200
    return str(run)


def job_time() -> Any:
    """Now, for a runner's claim."""
    from datetime import UTC, datetime

    return datetime.now(UTC)


async def provenance(gateway: Gateway, run: str) -> list[dict[str, Any]]:
    """What the API gives."""
    answer = await gateway.request("GET", f"/api/v1/runs/{run}/provenance")
    assert answer.status == 200, answer.json
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def pae(envelope: dict[str, Any]) -> bytes:
    """The signed bytes, written here once more."""
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    return b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])


def openssl_says(folder: Path, envelope: dict[str, Any]) -> bool:
    """Whether plain openssl verifies the signature over the PAE bytes with the key in key.pem."""
    (folder / "pae").write_bytes(pae(envelope))
    (folder / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    arguments = ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "pae", "-sigfile", "sig"]
    return subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=False).returncode == 0


def securesystemslib_says(public: str, envelope: dict[str, Any]) -> bool:
    """Whether securesystemslib does."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    keyid = envelope["signatures"][0]["keyid"]
    key = SSlibKey(keyid, "ed25519", "ed25519", {"public": public})
    try:
        return set(Envelope.from_dict(copy.deepcopy(envelope)).verify([key], 1)) == {keyid}
    except VerificationError:
        return False


def is_valid(statement: dict[str, Any]) -> bool:
    """Whether in-toto's own types take it, provenance and all."""
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    message = ParseDict(statement, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    ParseDict(statement["predicate"], provenance_pb2.Provenance())  # which takes no field that it does not know
    return True


@pytest.mark.timeout(180)
async def test_provenance_of_a_run_verifies_with_programs_that_are_not_ours(
    gateway: Gateway, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """openssl, securesystemslib and in-toto's types; each changed byte fails; lies change nothing; a new key leaves the old good."""
    data = tmp_path / "data"
    made = tmp_path / "pay.whl"
    made.write_bytes(b"wheel")
    wheel = Subject("dist/pay.whl", hashlib.sha256(b"wheel").hexdigest())
    runner = await gateway.runner()
    run = await built(gateway, runner, wheel)
    assert (await gateway.request("GET", f"/api/v1/runs/{run}/provenance")).json["code"] == "signer_absent"
    with signer(data, postgres_url):
        (first,) = await provenance(gateway, run)
        envelope = first["envelope"]
        assert (await provenance(gateway, run))[0] == first
        found = (await gateway.request("GET", f"/api/v1/artifacts/sha256:{wheel.sha256}/attestations")).json["items"]
        assert found == [first]
        (key,) = (await gateway.request("GET", "/api/v1/signing-keys")).json["items"]
        monkeypatch.setenv("LEDGERMILL_DATA", str(data))
        server = ["--server", gateway.url, "--token-file", str(data / "token")]
        lies = {"message": "level 3", "exit_code": 9, "effect": "f" * 64, "outputs": {"level": "3"}}
        (forged,) = await provenance(gateway, await built(gateway, runner, wheel, **lies))
        assert without_times(forged) == without_times(first)
        assert await in_thread(["attest", "download", str(made), "-o", str(tmp_path), *server]) == 0
        assert await in_thread(["attest", "keys", *server]) == 0
        (tmp_path / "key.pem").write_text(capsys.readouterr().out.partition("\n")[2])
        assert main(["attest", "rotate", "--data", str(data)]) == 0
        keys = (await gateway.request("GET", "/api/v1/signing-keys")).json["items"]
        assert [each["keyid"] for each in keys[1:]] == [key["keyid"]]
        (renewed,) = await provenance(gateway, run)
        assert renewed["envelope"]["payload"] == envelope["payload"]
        assert renewed["envelope"]["signatures"][0]["keyid"] == keys[0]["keyid"]
        assert await in_thread(["attest", "verify", str(made), "--against-log", *server]) == 0
    assert openssl_says(tmp_path, envelope)
    assert securesystemslib_says(key["public_key"], envelope)
    assert is_valid(json.loads(base64.b64decode(envelope["payload"])))
    for bad in tampered(envelope):
        assert not securesystemslib_says(key["public_key"], bad) or bad["signatures"][0]["keyid"] != key["keyid"]
        if bad["signatures"][0]["keyid"] == key["keyid"]:
            assert not openssl_says(tmp_path, bad)
        (tmp_path / "pay.whl.intoto.jsonl").write_text(json.dumps(bad) + "\n")
        assert main(["attest", "verify", str(made), "--key", str(tmp_path / "key.pem")]) == 1
    (tmp_path / "pay.whl.intoto.jsonl").write_text(json.dumps(envelope) + "\n")
    capsys.readouterr()
    assert main(["attest", "verify", str(made), "--key", str(tmp_path / "key.pem"), "--level", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("PASSED: pay.whl")
    assert main(["attest", "verify", str(made), "--key", str(tmp_path / "key.pem"), "--level", "2"]) == 1
    made.write_bytes(b"another")
    assert main(["attest", "verify", str(made), "--key", str(tmp_path / "key.pem")]) == 1
    assert "subject" in capsys.readouterr().err


@pytest.mark.timeout(180)
async def test_a_bundle_answers_without_server_and_database(
    gateway: Gateway, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`replay`, `check` and `why` from the file alone in an empty directory; a changed file is refused; fields are taken out."""
    data, alone = tmp_path / "data", tmp_path / "alone"
    alone.mkdir()
    run = await built(gateway, await gateway.runner(), Subject("a.tar", "a" * 64))
    server = ["--server", gateway.url, "--token-file", str(data / "token")]
    file = alone / "run.ledgermill"
    with signer(data, postgres_url):
        assert await in_thread(["export", run, "-o", str(file), "--redact", "email", *server]) == 0
        capsys.readouterr()
        assert await in_thread(["attest", "keys", *server]) == 0
        (alone / "key.pem").write_text(capsys.readouterr().out)
    monkeypatch.chdir(alone)
    monkeypatch.setenv("LEDGERMILL_DATA", str(alone / "nothing"))
    end = max(event.position for event in await gateway.history(UUID(run)))
    for arguments, says in (
        (["replay"], "RunCompleted"),
        (["replay", "--at", str(end)], "success"),
        (["check", "--json"], '"breaches": []'),
        (["why"], "success"),
    ):
        assert main([*arguments, "--bundle", str(file), "--key", "key.pem"]) == 0
        assert says in capsys.readouterr().out
    content = file.read_bytes()
    file.write_bytes(content.replace(b"JobSucceeded", b"JobSucceedee", 1))
    assert main(["check", "--bundle", str(file)]) == 1
    assert "edited" in capsys.readouterr().err
    file.write_bytes(content[:-20])
    assert main(["why", "--bundle", str(file)]) == 1
    assert "truncated" in capsys.readouterr().err


async def in_thread(arguments: list[str]) -> int:
    """A verb that asks this loop's own gateway."""
    import asyncio

    return await asyncio.to_thread(main, arguments)


def without_times(item: dict[str, Any]) -> dict[str, Any]:
    """A statement but for what differs between two runs: ids, numbers of positions, times."""
    statement = json.loads(base64.b64decode(item["envelope"]["payload"]))
    own = statement["predicate"]["buildDefinition"]["internalParameters"]["ledgermill"]
    del own["run"], statement["predicate"]["runDetails"]["metadata"], statement["predicate"]["runDetails"]["byproducts"]
    found: dict[str, Any] = statement
    return found


def tampered(envelope: dict[str, Any]) -> list[dict[str, Any]]:
    """One byte changed in each class: payload, type, signature, key id."""
    found = []
    for part in ("payload", "payloadType", "sig", "keyid"):
        bad = copy.deepcopy(envelope)
        place = bad if part in bad else bad["signatures"][0]
        text = place[part]
        place[part] = text[:10] + ("1" if text[10] != "1" else "2") + text[11:]
        found.append(bad)
    return found


@as_root
@pytest.mark.timeout(180)
async def test_no_way_leads_from_a_job_to_the_key(postgres_url: str, short_path: Path) -> None:
    """Files, environment, /proc and sockets, from a job of another user; root, which may do all, finds the key by the same hunt."""
    user = pwd.getpwnam("nobody")
    short_path.chmod(0o755)
    data, work = short_path / "data", short_path / "work"
    work.mkdir()
    async with serving(postgres_url, data) as gateway:
        (work / "hunt.py").write_bytes(HUNT.read_bytes())
        (work / "token").write_text(gateway.tokens["runner"])
        for path in (work, *work.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
        with signer(data, postgres_url) as process:
            status = Path(f"/proc/{process.pid}/status").read_text()
            owner = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Uid:"))
            assert owner not in (0, user.pw_uid)
            assert (data / "signer" / "keys").stat().st_uid == owner
            assert (data / "signer" / "keys").stat().st_mode & 0o077 == 0
            assert (data / "signer" / "socket").stat().st_mode & 0o777 == 0o600
            hunt = f"{sys.executable} {work}/hunt.py {data} {process.pid}"
            run = [sys.executable, "-P", "-m", "runner", "--url", gateway.url, "--token-file", str(work / "token"), "--name", "nobody"]
            run += ["--labels", "linux", "--work", str(work / "jobs")]
            reach = [sys.base_prefix, sys.prefix, str(ROOT)]
            spec = {"parent": os.getpid(), "signal": 9, "uid": user.pw_uid, "gid": user.pw_gid, "reach": reach, "run": run}
            environment = os.environ | {"HOME": str(work), "PYTHONPATH": str(ROOT)}
            child = subprocess.Popen([sys.executable, "-I", "-S", str(TRAMPOLINE), json.dumps(spec)], env=environment)
            try:
                identity = await gateway.run(f"on: push\njobs: {{build: {{runs-on: linux, steps: [{{run: {hunt}}}]}}}}")
                said = await log_of(gateway, str(identity))
            finally:
                child.kill()
                child.wait()
            assert [line for line in said if line.startswith(("way", "hunted"))] == [f"hunted as {user.pw_uid}"], said
            own = {"HOME": str(work)}
            control = subprocess.run(hunt.split(), cwd=work, env=own, capture_output=True, text=True, check=True).stdout
        assert f"way file {data}/signer/keys/1.pem" in control
        assert "way socket" in control


async def log_of(gateway: Gateway, run: str) -> list[str]:
    """The lines of a run's only job, once it has ended."""
    import asyncio

    for _ in range(600):
        jobs = (await gateway.request("GET", f"/api/v1/runs/{run}/jobs")).json.get("items", ())  # a busy machine may answer 503
        if jobs and jobs[0]["status"] == "completed":
            async with gateway.session.get(f"{gateway.url}/api/v1/jobs/{jobs[0]['id']}/logs", headers=gateway.headers()) as answer:
                return (await answer.text()).splitlines()
        await asyncio.sleep(0.1)  # polls another process: there is nothing to wait on
    raise AssertionError("the job did not end")
