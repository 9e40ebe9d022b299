"""Secrets of repositories lie in files that only their owner reads, and an old one counts for a day."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain import ids
from infra.secret_files import ROTATION, SecretFiles

REPOSITORY = ids.repository_id("default", "github", "acme/pay")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_two_secrets_count_during_a_rotation_and_one_after_it(tmp_path: Path) -> None:
    """The newest first; the one before for a day; a third one ends the first at once; the same again changes nothing."""
    files = SecretFiles(tmp_path / "secrets")
    assert files.valid(REPOSITORY, NOW) == ()
    assert files.replace(REPOSITORY, "first secret", NOW)
    assert files.replace(REPOSITORY, "second secret", NOW)
    assert not files.replace(REPOSITORY, "second secret", NOW + timedelta(hours=1))
    assert files.valid(REPOSITORY, NOW + ROTATION - timedelta(seconds=1)) == ("second secret", "first secret")
    assert files.valid(REPOSITORY, NOW + ROTATION) == ("second secret",)
    assert files.replace(REPOSITORY, "third secret", NOW)
    assert files.valid(REPOSITORY, NOW) == ("third secret", "second secret")
    files.remove(REPOSITORY)
    assert files.valid(REPOSITORY, NOW) == ()
    files.remove(REPOSITORY)


def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    """Mode 0600 in a directory of mode 0700, and no draft is left."""
    files = SecretFiles(tmp_path / "secrets")
    files.replace(REPOSITORY, "first secret", NOW)
    (file,) = (tmp_path / "secrets").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
