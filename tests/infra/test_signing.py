"""Keys that sign: made once, kept from others, and understood by openssl, which has never heard of us."""

import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from domain.transparency.note import public_pem
from infra.signatures import is_signed
from infra.signing import SigningKeyError, read_public_pem, signing_key

CONTENT = b"what is signed\n"


def test_a_key_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    """Eight that want it at the same moment get one key, and nothing else is left behind."""
    path = tmp_path / "keys" / "key.pem"
    with ThreadPoolExecutor(8) as threads:
        found = {key.public for key in threads.map(lambda _: signing_key(path), range(8))}
    assert found == {signing_key(path).public}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_what_one_key_signs_no_other_has_signed(tmp_path):
    """Nor is it a signature of anything else."""
    key, other = signing_key(tmp_path / "a"), signing_key(tmp_path / "b")
    signature = key.sign(CONTENT)
    assert is_signed(key.public.hex(), signature, CONTENT)
    assert not is_signed(key.public.hex(), signature, CONTENT + b" ")
    assert not is_signed(other.public.hex(), signature, CONTENT)
    assert not is_signed(key.public.hex(), signature[:-1] + bytes([signature[-1] ^ 1]), CONTENT)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl on this machine")
def test_openssl_reads_both_files_and_agrees(tmp_path):
    """It verifies what we signed, and we verify what it signed with our file."""
    path = tmp_path / "key.pem"
    key = signing_key(path)
    (tmp_path / "public.pem").write_text(public_pem(key.public))
    (tmp_path / "content").write_bytes(CONTENT)
    (tmp_path / "signature").write_bytes(key.sign(CONTENT))

    def openssl(*arguments: str) -> int:
        command = ["openssl", "pkeyutl", *arguments, "-rawin", "-in", tmp_path / "content"]
        return subprocess.run(command, capture_output=True, check=False).returncode

    verify = ("-verify", "-pubin", "-inkey", str(tmp_path / "public.pem"), "-sigfile", str(tmp_path / "signature"))
    assert openssl(*verify) == 0
    (tmp_path / "content").write_bytes(CONTENT + b"!")
    assert openssl(*verify) != 0
    made = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(tmp_path / "made")], check=False, capture_output=True)
    assert made.returncode == 0
    assert len(signing_key(tmp_path / "made").public) == 32
    subprocess.run(["openssl", "genpkey", "-algorithm", "x25519", "-out", str(tmp_path / "other")], check=True, capture_output=True)
    with pytest.raises(SigningKeyError, match="another kind"):
        signing_key(tmp_path / "other")
    assert openssl("-sign", "-inkey", str(path), "-out", str(tmp_path / "theirs")) == 0
    assert is_signed(key.public.hex(), (tmp_path / "theirs").read_bytes(), CONTENT + b"!")


def test_a_public_key_is_read_as_it_was_written(tmp_path):
    """And what is none is refused."""
    public = signing_key(tmp_path / "key").public
    assert read_public_pem(public_pem(public)) == public
    with pytest.raises(SigningKeyError, match="SIG001"):
        read_public_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


def test_a_file_that_is_no_key_or_open_to_others_is_refused(tmp_path):
    """It is never replaced: somebody may still need what it was."""
    path = tmp_path / "key"
    path.write_text("no key")
    path.chmod(0o600)
    with pytest.raises(SigningKeyError, match="SIG001"):
        signing_key(path)
    assert path.read_text() == "no key"
    path.unlink()
    signing_key(path)
    path.chmod(0o644)
    with pytest.raises(SigningKeyError, match="SIG002"):
        signing_key(path)
