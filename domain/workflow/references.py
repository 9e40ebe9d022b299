"""What `uses` of a calling job names. Light: whoever only lints files reads no more than this of calls."""

from typing import Final

LOCAL: Final = ("./", "$/")
"""How a reference of the own repository at the own commit begins."""


def file_of(reference: str) -> str:
    """The path of a called file of the own repository."""
    return reference[len(LOCAL[0]) :]
