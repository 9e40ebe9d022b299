"""The table of roles: each may do what the ones below it may, and runners stand beside."""

from typing import get_args

import pytest

from domain.access import FIRST_TENANT, ORDER, Least, Role, may


@pytest.mark.parametrize("role", ORDER)
def test_a_role_may_what_those_below_it_may(role: Role) -> None:
    """And nothing of those above."""
    place = ORDER.index(role)
    assert [may(role, "acme", least) for least in ORDER] == [number <= place for number in range(len(ORDER))]


def test_a_runner_may_only_use_its_protocol() -> None:
    """And nobody else may."""
    assert [least for least in get_args(Least) if may("runner", FIRST_TENANT, least)] == ["runner"]
    assert [role for role in get_args(Role) if may(role, FIRST_TENANT, "runner")] == ["runner"]


def test_operators_are_the_admins_of_the_first_tenant() -> None:
    """An admin elsewhere has no say in what all tenants share."""
    assert [(role, tenant) for role in get_args(Role) for tenant in (FIRST_TENANT, "acme") if may(role, tenant, "operator")] == [
        ("admin", FIRST_TENANT)
    ]


def test_observers_are_the_people_of_the_first_tenant() -> None:
    """A token that only reads is enough for monitoring; elsewhere none is."""
    observers = [(role, tenant) for role in get_args(Role) for tenant in (FIRST_TENANT, "acme") if may(role, tenant, "observer")]
    assert observers == [(role, FIRST_TENANT) for role in ORDER]
