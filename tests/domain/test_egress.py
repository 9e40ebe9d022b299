"""Which addresses are connected to on a user's behalf, in every form in which one can be written."""

import pytest

from domain import egress

PRIVATE = (
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "168.63.129.16",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:a00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
)
PUBLIC = ("1.1.1.1", "8.8.8.8", "140.82.112.3", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1")


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_refused(address: str) -> None:
    """Itself, neighbours, metadata, and the old addresses that lie in new ones."""
    why = egress.refusal(address, ())
    assert why is not None
    assert address in why


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_not(address: str) -> None:
    """Whatever its form."""
    assert egress.refusal(address, ()) is None


def test_an_operator_allows_networks() -> None:
    """They and no others, also where an old address is written as a new one."""
    allowed = egress.networks("10.0.0.0/8, fd00::/8,127.0.0.1")
    assert [egress.refusal(each, allowed) for each in ("10.1.2.3", "fd00::1", "127.0.0.1", "::ffff:10.1.2.3")] == [None] * 4
    assert all(egress.refusal(each, allowed) for each in ("127.0.0.2", "192.168.1.1", "fe80::1", "::ffff:127.0.0.2"))
    assert egress.networks("") == ()
    for wrong in ("10.0.0.0/33", "10.0.0.1/8", "lan", "10.0.0.0/8;fd00::/8"):
        with pytest.raises(ValueError, match=r"\d|lan"):
            egress.networks(wrong)


def test_an_address_is_told_from_a_name() -> None:
    """What is neither is a name: it is looked up."""
    assert [egress.literal(each) for each in ("127.0.0.1", "[::1]", "::1", "fe80::1%eth0")] == ["127.0.0.1", "::1", "::1", "fe80::1"]
    assert [egress.literal(each) for each in ("localhost", "2130706433", "127.1", "")] == [None] * 4
