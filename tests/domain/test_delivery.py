"""A delivery is taken in once and answered once; what cannot be answered waits longer each time, for a day at most."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain import delivery as d
from domain import ids
from domain.envelope import Meta
from domain.refusals import REPEAT, Decision, Refusal
from domain.webhooks import signature
from domain.webhooks.payload import PayloadError, payload_of
from tests.domain.scenario import NOW, after

REPOSITORY = ids.repository_id("default", "github", "acme/pay")
DELIVERY = ids.delivery_id("default", "github", "acme/pay", "k")
RECEIVED = d.WebhookReceived("github", "push", "k", REPOSITORY, "acme/pay", "0" * 64, 2)
REJECTED = (d.Unstarted("ci.yml", "push", "branches", "the branch main matches none"),)


def decided(given: tuple[Any, ...], command: Any, at: datetime = NOW) -> Decision | Refusal:
    """What a delivery with this history answers at this time; all of it happened at NOW."""
    state = None
    for event in given:
        state = d.evolve(state, event, Meta(NOW, "default", "webhook:github"))
    return d.decide(state, command, Meta(at, "default", "webhook:github"))


def test_a_delivery_is_taken_in_once() -> None:
    """Again with the same bytes: nothing; with others: refused; what can start nothing is ignored in the same commit."""
    take = d.ReceiveWebhook(DELIVERY, RECEIVED)
    assert decided((), take) == Decision((RECEIVED,))
    assert decided((RECEIVED,), take) is REPEAT
    assert decided((), d.ReceiveWebhook(DELIVERY, RECEIVED, "ping")) == Decision((RECEIVED, d.WebhookIgnored("ping")))
    other = decided((RECEIVED,), d.ReceiveWebhook(DELIVERY, d.WebhookReceived("github", "push", "k", REPOSITORY, "acme/pay", "1" * 64, 2)))
    assert isinstance(other, Refusal)
    assert other.code == "delivery_reused"


@pytest.mark.parametrize("end", [d.WebhookIgnored("x"), d.WebhookAnswered((), REJECTED), d.WebhookFailed(9, "x")])
@pytest.mark.parametrize(
    "command", [d.AnswerDelivery(DELIVERY, (), REJECTED), d.IgnoreDelivery(DELIVERY, "y"), d.DeferDelivery(DELIVERY, "y")]
)
def test_an_answer_is_final(end: Any, command: Any) -> None:
    """Whoever comes second changes nothing."""
    assert decided((RECEIVED, end), command) is REPEAT


def test_what_did_not_start_is_kept_with_the_filter() -> None:
    """The answer names each workflow."""
    assert decided((RECEIVED,), d.AnswerDelivery(DELIVERY, (), REJECTED)) == Decision((d.WebhookAnswered((), REJECTED),))
    unknown = decided((), d.AnswerDelivery(DELIVERY, (), REJECTED))
    assert isinstance(unknown, Refusal)
    assert unknown.code == "delivery_not_found"


def test_a_forge_that_is_away_is_asked_ever_less_often_and_given_up_after_a_day() -> None:
    """2 s, doubled up to 10 minutes, with a spread of a fifth; the same instants in every replay."""
    pauses, given = [], [RECEIVED]
    for _ in range(12):
        answer = decided(tuple(given), d.DeferDelivery(DELIVERY, "away"))
        assert isinstance(answer, Decision)
        (event,) = answer.events
        pauses.append((event.retry_at - NOW) / timedelta(seconds=1))
        given.append(event)
    for number, pause in enumerate(pauses):
        base = min(2 * 2**number, 600)
        assert base <= pause <= base * 1.2
    last = decided(tuple(given), d.DeferDelivery(DELIVERY, "away"), after(86_400))
    assert last == Decision((d.WebhookFailed(13, "away"),))


BODY = b'{"a": 1}'


@pytest.mark.parametrize("provider", ["github", "gitea", "gitlab"])
def test_a_proof_fits_one_of_two_secrets_and_only_its_own_bytes(provider: Any) -> None:
    """Old and new secret both count; another secret, other bytes, no proof and odd characters do not."""
    made = "the old secret" if provider == "gitlab" else hmac.new(b"the old secret", BODY, hashlib.sha256).hexdigest()
    given = f"sha256={made}" if provider == "github" else made
    headers = {signature.HEADERS[provider][0]: given}
    assert signature.proof(provider, headers) == given
    assert signature.proof(provider, {}) is None
    assert signature.fits(provider, given, BODY, ("the new secret", "the old secret"))
    assert not signature.fits(provider, given, BODY, ("the new secret",))
    assert not signature.fits(provider, given, BODY, ())
    assert not signature.fits(provider, "\xff\udcff", BODY, ("the old secret",))
    assert provider == "gitlab" or not signature.fits(provider, given, BODY + b" ", ("the old secret",))


def test_a_form_holds_the_same_object() -> None:
    """GitHub sends either kind; anything else is told."""
    assert payload_of(BODY) == payload_of(b"payload=%7B%22a%22%3A+1%7D") == {"a": 1}
    for broken in (b"", b"[]", b"{", b"payload=%7B", b"payload=\xff", b"[" * 100_000):
        with pytest.raises(PayloadError):
            payload_of(broken)
