"""Who may do what: the roles in their order, and the least of them that a request needs.

    viewer      reads everything of its tenant
    developer   starts, cancels and re-runs
    maintainer  workflows, repositories, runners
    admin       tokens of its tenant
    operator    what all tenants share: views, the whole log, tenants. An admin of the first tenant; no role of its own
    runner      the runner protocol and nothing else; it stands beside the others

Every route names one of these. It must never ask who an identity is: only what its role and tenant allow.
"""

from typing import Literal

Role = Literal["viewer", "developer", "maintainer", "admin", "runner"]
Least = Literal["viewer", "developer", "maintainer", "admin", "operator", "runner"]

FIRST_TENANT = "default"
"""The tenant that a store begins with; its admins are the operators."""

ORDER: tuple[Role, ...] = ("viewer", "developer", "maintainer", "admin")


def may(role: Role, tenant: str, least: Least) -> bool:
    """Whether an identity with this role and tenant may use what needs `least`."""
    if least == "runner" or role == "runner":
        return role == least
    if least == "operator":
        return role == "admin" and tenant == FIRST_TENANT
    return ORDER.index(role) >= ORDER.index(least)
