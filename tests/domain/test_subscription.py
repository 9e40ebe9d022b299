"""Subscriptions: made once, changed, ended; and what follows from an attempt to send that failed."""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from domain import ids, outgoing
from domain import subscription as s
from domain.outgoing import Disable, Failing, GiveUp, Retry
from domain.refusals import REPEAT, Decision, Refusal
from tests.domain.scenario import NOW

STREAM = ids.subscription_id("default", ids.derive("command"))
EVENT = ids.event_id(STREAM, 1)
MADE = s.SubscriptionCreated("https://hooks.example/in", ("RunCompleted",))


def decided(given: tuple[Any, ...], command: Any) -> Decision | Refusal:
    """What a subscription with this history answers."""
    state = None
    for event in given:
        state = s.evolve(state, event)
    return s.decide(state, command)


def code(answer: Decision | Refusal) -> str:
    """Of a refusal."""
    assert isinstance(answer, Refusal), answer
    return answer.code


def test_it_is_made_once() -> None:
    """Again and the same: nothing; again and another one: refused."""
    make = s.CreateSubscription(STREAM, MADE.url, MADE.types)
    assert decided((), make) == Decision((MADE,))
    assert decided((MADE,), make) is REPEAT
    assert code(decided((MADE,), s.CreateSubscription(STREAM, MADE.url, ("*",)))) == "idempotency_key_reused"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:word@hooks.example/",
        "https://user@hooks.example/",
        "https://hooks.example/#part",
        "https://hooks.example:99999/",
        "https://[::1/",
        "https://hooks.example/a b",
        "https://hooks.example/a\r\nx: y",
        "https://b\u00fccher.example/",
        "https://hooks.example/" + "a" * 2000,
    ],
)
def test_nothing_is_sent_to_what_is_no_url(url: str) -> None:
    """With the reason."""
    assert code(decided((), s.CreateSubscription(STREAM, url, ("*",)))) == "bad_subscription"


def test_it_needs_types() -> None:
    """Not none, and not without end."""
    for types in ((), ("RunCompleted",) * (s.TYPES_MAX + 1)):
        assert code(decided((), s.CreateSubscription(STREAM, MADE.url, types))) == "bad_subscription"


def test_it_is_disabled_and_enabled() -> None:
    """Once each; the secret is counted; nothing is changed once it is deleted."""
    off = s.SubscriptionDisabled("by request")
    assert decided((MADE,), s.ChangeSubscription(STREAM, enabled=False, reason="by request")) == Decision((off,))
    assert decided((MADE, off), s.ChangeSubscription(STREAM, enabled=False, reason="x")) == REPEAT
    assert decided((MADE, off), s.ChangeSubscription(STREAM, enabled=True)) == Decision((s.SubscriptionEnabled(),))
    both = decided((MADE, off), s.ChangeSubscription(STREAM, enabled=True, new_secret=True))
    assert both == Decision((s.SubscriptionSecretSet(2), s.SubscriptionEnabled()))
    assert decided((MADE, off), s.DeleteSubscription(STREAM, versions=(2,))) == Decision((s.SubscriptionDeleted(),))
    assert code(decided((MADE, off), s.DeleteSubscription(STREAM, versions=(1,)))) == "version_mismatch"
    for command in (s.ChangeSubscription(STREAM, enabled=True), s.DeleteSubscription(STREAM)):
        assert code(decided((), command)) == code(decided((MADE, s.SubscriptionDeleted()), command)) == "subscription_not_found"


def test_it_wants_the_types_that_it_names() -> None:
    """Or all."""
    assert s.wants(("RunCompleted",), "RunCompleted")
    assert not s.wants(("RunCompleted",), "RunTriggered")
    assert s.wants(("*",), "RunTriggered")


def after(attempts: int, since: datetime, now: datetime, answer: int | None = 500, **known: Any) -> Retry | GiveUp | Disable:
    """What follows from a failure."""
    facts: dict[str, Any] = {"enabled_at": NOW, "taken_at": None} | known
    return outgoing.after_failure(EVENT, Failing(attempts, since, answer), now, **facts)


def test_a_subscriber_that_takes_nothing_is_asked_ever_less_often_and_disabled_after_a_day() -> None:
    """However often it was asked; from when it was enabled last."""
    pauses = []
    for attempts in range(1, 40):
        answer = after(attempts, NOW, NOW)
        assert isinstance(answer, Retry)
        pauses.append((answer.at - NOW).total_seconds())
    assert 2 <= pauses[0] <= 2.4
    assert all(1.5 <= later / before <= 2.5 for before, later in pairwise(pauses[:10]))
    assert all(1800 <= pause <= 1800 * 1.2 for pause in pauses[11:])
    day = timedelta(days=1)
    assert isinstance(after(60, NOW, NOW + day - timedelta(seconds=1)), Retry)
    ended = after(60, NOW, NOW + day)
    assert isinstance(ended, Disable)
    assert NOW.isoformat(timespec="seconds") in ended.reason
    assert isinstance(after(61, NOW, NOW + day, enabled_at=NOW + day / 2), Retry)
    assert isinstance(after(60, NOW, NOW + day, taken_at=NOW - day), Disable)


def test_an_event_that_is_refused_while_others_are_taken_is_given_up() -> None:
    """After many attempts; the subscriber goes on."""
    taken = {"taken_at": NOW + timedelta(minutes=1)}
    assert isinstance(after(outgoing.ATTEMPTS_MAX - 1, NOW, NOW + timedelta(hours=1), **taken), Retry)
    assert after(outgoing.ATTEMPTS_MAX, NOW, NOW + timedelta(hours=1), **taken) == GiveUp()
    assert after(outgoing.ATTEMPTS_MAX, NOW, NOW + timedelta(days=2), **taken) == GiveUp()


def test_who_says_that_it_is_gone_is_believed() -> None:
    """At once."""
    assert isinstance(after(1, NOW, NOW, answer=410), Disable)


def test_a_signature_is_what_the_specification_says() -> None:
    """Over id, time and body, one a key; recomputed here by hand."""
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    key = outgoing.key(secret)
    assert key == bytes(range(32))
    headers = outgoing.signed([key, b"old"], EVENT, NOW, b'{"a":1}')
    seconds = str(int(NOW.timestamp()))
    made = [
        base64.b64encode(hmac.new(each, f'{EVENT}.{seconds}.{{"a":1}}'.encode(), hashlib.sha256).digest()).decode()
        for each in (key, b"old")
    ]
    assert headers == {"webhook-id": str(EVENT), "webhook-timestamp": seconds, "webhook-signature": f"v1,{made[0]} v1,{made[1]}"}


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_AAAA", "AAAA" * 8, "whsec_" + "A" * 31, "whsec_" + "AAAA" * 22, "whsec_" + "\u00e9" * 32]
)
def test_what_is_no_secret_signs_nothing(secret: str) -> None:
    """Too short, too long, without its mark, no base64."""
    assert outgoing.key(secret) is None
