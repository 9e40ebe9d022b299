"""Who may do what: the roles in their order, and the least of them that a request needs.

    viewer      reads everything of its tenant
    developer   starts, cancels and re-runs
    maintainer  workflows, repositories, runners
    admin       tokens of its tenant
    operator    what all tenants share: views, the whole log, tenants. An admin of the first tenant; no role of its own
    observer    figures over all tenants, with nobody's name in them: metrics. Any of these roles of the first tenant; no role of its own
    runner      the runner protocol and nothing else; it stands beside the others
    registration  joining as a runner, once; no role of a token
    job         the repository of its own run, to read, while its lease lives; no role of a token
    signed      no token: the request carries a signature of its own, which the route checks

Every route names one of these. It must never ask who an identity is: only what its role and tenant allow.
"""

from typing import Literal

Role = Literal["viewer", "developer", "maintainer", "admin", "runner"]
Standing = Literal[Role, "registration", "job"]
Least = Literal[Standing, "operator", "observer", "signed"]

FIRST_TENANT = "default"
"""The tenant that a store begins with; its admins are the operators."""

BESIDE = ("runner", "registration", "job")
ORDER: tuple[Role, ...] = ("viewer", "developer", "maintainer", "admin")


def may(role: Standing, tenant: str, least: Least) -> bool:
    """Whether an identity with this role and tenant may use what needs `least`."""
    if least in BESIDE or role in BESIDE:
        return role == least
    if least == "operator":
        return role == "admin" and tenant == FIRST_TENANT
    if least == "observer":
        return tenant == FIRST_TENANT
    return ORDER.index(role) >= ORDER.index(least)
