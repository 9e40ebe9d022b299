"""Blobs on the file system: what the conformance suite cannot see."""

import hashlib
import os
from pathlib import Path

import pytest

from infra.blobs import FileBlobs


async def test_a_damaged_blob_is_not_given_out(tmp_path: Path) -> None:
    """Bytes that do not fit their digest are a ValueError, and putting the right ones again repairs them."""
    blobs = FileBlobs(tmp_path)
    digest = await blobs.put(b"payload")
    blobs.path(digest).write_bytes(b"PAYLOAD")
    with pytest.raises(ValueError, match="STO011"):
        await blobs.get(digest)
    await FileBlobs(tmp_path).put(b"payload")
    assert await blobs.get(digest) == b"payload"


async def test_a_repeat_writes_nothing(tmp_path: Path) -> None:
    """The second put of the same bytes does not touch the disk."""
    blobs = FileBlobs(tmp_path)
    digest = await blobs.put(b"payload")
    before = blobs.path(digest).stat()
    assert await blobs.put(b"payload") == digest
    assert await FileBlobs(tmp_path).put(b"payload") == digest
    assert blobs.path(digest).stat().st_ino == before.st_ino


async def test_a_full_disk_leaves_no_half_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the bytes do not reach the disk, nothing stands under the digest and no temporary file stays."""
    blobs = FileBlobs(tmp_path)
    blobs.path(hashlib.sha256(b"payload").hexdigest()).parent.mkdir()
    real = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        await blobs.put(b"payload")
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
    monkeypatch.setattr(os, "fsync", real)
    assert await blobs.get(await blobs.put(b"payload")) == b"payload"


async def test_processes_share_a_directory(tmp_path: Path) -> None:
    """What one process put, another gets."""
    assert await FileBlobs(tmp_path).get(await FileBlobs(tmp_path).put(b"payload")) == b"payload"
