"""Envelopes: the public vector of DSSE, and that nothing in one can be changed unseen."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.provenance.dsse import Envelope, EnvelopeError, Signature, encode, enveloped, key_id, opened, pae, read_envelope
from infra.signatures import is_signed

TYPE = "application/vnd.in-toto+json"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
KNOWN = {key_id(PUBLIC): PUBLIC}


def signed(public: bytes, signature: bytes, content: bytes) -> bool:
    return is_signed(public.hex(), signature, content)


def envelope(payload: bytes = b'{"a": 1}') -> Envelope:
    """A good one."""
    return enveloped(TYPE, payload, PUBLIC, KEY.sign(pae(TYPE, payload)))


def test_the_bytes_that_are_signed_are_those_of_the_specification() -> None:
    """Its example, and lengths count bytes, not characters."""
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_a_good_envelope_opens() -> None:
    """Also after a way over JSON."""
    assert opened(read_envelope(encode(envelope())), TYPE, KNOWN, signed) == b'{"a": 1}'


@given(st.data())
def test_no_byte_of_an_envelope_can_be_changed_unseen(data: st.DataObject) -> None:
    """Payload, type, signature and key id: another character anywhere, and it is refused."""
    good = envelope(data.draw(st.binary(min_size=1, max_size=40)))
    part = data.draw(st.sampled_from(["payload", "type", "sig", "keyid"]))
    texts = {"payload": good.payload, "type": good.payload_type, "sig": good.signatures[0].sig, "keyid": good.signatures[0].keyid}
    at = data.draw(st.integers(0, len(texts[part]) - 1))
    other = data.draw(st.sampled_from("ABCDwxyz0189+/=-.f").filter(lambda character: character != texts[part][at]))
    texts[part] = texts[part][:at] + other + texts[part][at + 1 :]
    bad = Envelope(texts["payload"], texts["type"], (Signature(texts["keyid"], texts["sig"]),))
    with pytest.raises(EnvelopeError) as caught:
        opened(bad, TYPE, KNOWN, signed)
    wanted = {"payload": {"envelope", "signature"}, "type": {"type"}, "sig": {"envelope", "signature"}, "keyid": {"key"}}
    assert caught.value.check in wanted[part]


def test_an_envelope_without_a_trusted_signature_says_which_check_failed() -> None:
    """None at all, of an unknown key, one good beside one unknown, and no envelope at all."""
    good = envelope()
    stranger = replace(good.signatures[0], keyid="0" * 64)
    for bad, check in ((replace(good, signatures=()), "signature"), (replace(good, signatures=(*good.signatures, stranger)), "key")):
        with pytest.raises(EnvelopeError) as caught:
            opened(bad, TYPE, KNOWN, signed)
        assert caught.value.check == check
    with pytest.raises(EnvelopeError, match="no DSSE envelope"):
        read_envelope(b'{"payload": 3}')


def test_a_payload_has_one_spelling() -> None:
    """Unused bits of Base64 would let two texts stand for the same bytes."""
    good = envelope(b"a")
    assert good.payload == "YQ=="
    assert base64.b64decode("YR==") == b"a"
    with pytest.raises(EnvelopeError, match="spelling"):
        opened(replace(good, payload="YR=="), TYPE, KNOWN, signed)
