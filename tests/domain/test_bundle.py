"""Bundles: what is written is read again, and every change is refused with the check and the line."""

import random

import msgspec
import pytest
from msgspec.structs import replace

from domain.bundle.contents import RedactionError, redacted
from domain.bundle.manifest import PAYLOAD_TYPE, digest, encode
from domain.bundle.read import BundleError, read
from domain.bundle.write import manifest, written
from domain.ports import NewEvent
from domain.provenance.asking import SignedManifest
from domain.provenance.dsse import enveloped, key_id, pae
from infra import codec
from tests.domain.provenance.scene import ONE, Scene
from tests.domain.provenance.test_dsse import KEY, KNOWN, PUBLIC, signed


def bundle() -> bytes:
    """Of a run that is under way."""
    scene = Scene()
    run = scene.start(ONE)
    log = [each for each in scene.world.log if each.meta.correlation == run]
    source = {"source": digest(b"s")}  # the mill writes no digest there
    events = [replace(each, data=replace(each.data, **source)) if each.type == "RunTriggered" else each for each in log]
    rows = [(each.position, each.stream, each.version, *codec.to_row(NewEvent(each.data, each.meta))) for each in events]
    told = manifest(run, 10**6, rows, events, (), logs=False, payload=None)
    blobs = {digest(b"{}"): b"{}", digest(b"s"): b"s"}
    blobs |= {part.sha256: scene.world.blobs.content[part.sha256] for part in told.parts if part.kind == "plan"}
    envelope = enveloped(PAYLOAD_TYPE, encode(told), PUBLIC, KEY.sign(pae(PAYLOAD_TYPE, encode(told))))
    return written(SignedManifest(envelope, PUBLIC, ()), told, rows, blobs)


def refused(content: bytes, keys: dict[str, bytes] | None = None) -> tuple[str, int]:
    """Check and line."""
    with pytest.raises(BundleError) as caught:
        read(content, signed, keys)
    return caught.value.check, caught.value.line


def test_what_is_written_is_read_again() -> None:
    """Rows as they are stored, blobs by their digests; with the right key too."""
    found = read(bundle(), signed, KNOWN)
    types = [codec.recorded(*row).type for row in found.rows]
    assert (types.count("RunTriggered"), types[-1]) == (1, "JobQueued")
    assert all(digest(content) == name for name, content in found.blobs.items())


def test_a_cut_an_edit_and_another_key_are_named_with_their_line() -> None:
    """Truncated at every line and in the middle of one; a byte changed in every line; lines swapped and added; a foreign key."""
    content = bundle()
    lines = content.splitlines(keepends=True)
    for keep in range(1, len(lines)):
        assert refused(b"".join(lines[:keep])) == ("truncated", keep + 1)
        assert refused(b"".join(lines[: keep + 1])[:-7])[0] == "truncated"
    draw = random.Random(0)
    for number in range(1, len(lines)):
        at = draw.randrange(len(lines[number]) - 1)
        other = bytes([lines[number][at] ^ 1])
        edited = lines[number][:at] + other + lines[number][at + 1 :]
        assert refused(b"".join([*lines[:number], edited, *lines[number + 1 :]])) == ("edited", number + 1)
    assert refused(b"".join([lines[0], lines[2], lines[1], *lines[3:]])) == ("edited", 2)
    assert refused(content + lines[-1]) == ("edited", len(lines) + 1)
    assert refused(content, {key_id(b"\0" * 32): b"\0" * 32}) == ("key", 1)
    assert refused(b"hello\n") == ("form", 1)
    header = msgspec.json.decode(lines[0])
    header["key"] = "00" * 32
    assert refused(msgspec.json.encode(header) + b"\n" + b"".join(lines[1:])) == ("key", 1)


def test_fields_are_taken_out_of_the_payload_by_the_end_of_their_path() -> None:
    """At any depth, in lists too; what is left is the same; another payload is refused."""
    payload = msgspec.json.encode({"pusher": {"name": "ada", "email": "a@b"}, "commits": [{"author": {"name": "ada"}, "id": "1"}]})
    part, content = redacted(payload, digest(payload), ("email", "author.name"))
    assert msgspec.json.decode(content) == {
        "pusher": {"name": "ada", "email": "[redacted]"},
        "commits": [{"author": {"name": "[redacted]"}, "id": "1"}],
    }
    assert (part.of, part.redacted) == (digest(payload), ("email", "author.name"))
    with pytest.raises(RedactionError, match="not the one"):
        redacted(b"{}", digest(payload), ("email",))
