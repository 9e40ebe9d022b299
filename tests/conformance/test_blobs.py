"""What every Blobs does; run against the fake and the file system."""

import hashlib
from pathlib import Path

import pytest

from domain.ports import Blobs
from infra.blobs import FileBlobs
from tests.fakes import MemoryBlobs


@pytest.fixture(params=["memory", "files"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """An empty blob store."""
    return MemoryBlobs() if request.param == "memory" else FileBlobs(tmp_path / "blobs")


async def test_gives_back_what_it_was_given(blobs: Blobs) -> None:
    """Bytes come back by the SHA-256 of their content, empty and large ones too."""
    for content in (b"", b"payload", b"x" * 3_000_000):
        digest = await blobs.put(content)
        assert digest == hashlib.sha256(content).hexdigest()
        assert await blobs.get(digest) == content


async def test_the_same_bytes_have_the_same_name(blobs: Blobs) -> None:
    """Storing again changes nothing."""
    assert await blobs.put(b"payload") == await blobs.put(b"payload")
    assert await blobs.get(await blobs.put(b"payload")) == b"payload"


async def test_a_blob_that_is_not_there_is_a_key_error(blobs: Blobs) -> None:
    """Neither an unknown digest nor something that is no digest finds anything."""
    for digest in ("0" * 64, "nonsense", "../../etc/passwd", "A" * 64):
        with pytest.raises(KeyError):
            await blobs.get(digest)
