"""What somebody wants of a statement, check by check."""

import pytest
from msgspec.structs import replace

from domain.provenance import PAYLOAD_TYPE, canonical
from domain.provenance.dsse import enveloped, pae
from domain.provenance.policy import Policy, PolicyError, verify
from domain.provenance.statement import StatementError
from tests.domain.provenance.scene import WHEEL, Scene, made
from tests.domain.provenance.test_dsse import KEY, KNOWN, PUBLIC, signed


def judged(policy: Policy, sha256: str = WHEEL.sha256) -> str:
    """The check that fails, "" for none."""
    scene = Scene()
    scene.runner()
    payload = canonical(made(scene, WHEEL))
    envelope = enveloped(PAYLOAD_TYPE, payload, PUBLIC, KEY.sign(pae(PAYLOAD_TYPE, payload)))
    try:
        verify(envelope, sha256, policy, KNOWN, signed)
    except PolicyError as error:
        return error.check
    return ""


@pytest.mark.parametrize(
    ("good", "bad", "check"),
    [
        ({"source_uri": "git+file:///nowhere"}, {"source_uri": "https://git.example/nowhere"}, "source-uri"),
        ({"source_ref": "refs/heads/main"}, {"source_ref": "main"}, "source-ref"),
        ({"source_digest": "0" * 40}, {"source_digest": "1" * 40}, "source-digest"),
        ({"builder_id": "urn:ledgermill:builder:local"}, {"builder_id": "urn:ledgermill:builder:joined"}, "builder-id"),
        ({"workflow": "ci.yml"}, {"workflow": "other.yml"}, "workflow"),
        ({"level": 1}, {"level": 2}, "level"),
    ],
)
def test_each_wish_is_held_against_the_statement(good: dict, bad: dict, check: str) -> None:
    """What is so passes; what is not is refused by the name of the check."""
    assert judged(Policy(**good)) == ""
    assert judged(Policy(**good | bad)) == check


def test_a_statement_about_another_file_is_refused() -> None:
    """The digest decides, not the name."""
    assert judged(Policy(), "0" * 64) == "subject"


@pytest.mark.parametrize("change", [{"type": "https://in-toto.io/Statement/v0.1"}, {"predicate_type": "https://slsa.dev/provenance/v0.2"}])
def test_another_kind_of_statement_is_refused_though_it_is_signed(change: dict) -> None:
    """Its fields would mean something else."""
    scene = Scene()
    scene.runner()
    payload = canonical(replace(made(scene, WHEEL), **change))
    envelope = enveloped(PAYLOAD_TYPE, payload, PUBLIC, KEY.sign(pae(PAYLOAD_TYPE, payload)))
    with pytest.raises(StatementError):
        verify(envelope, WHEEL.sha256, Policy(), KNOWN, signed)
