"""What `uses` of a calling job names. Light: whoever only lints files reads no more than this of calls."""

import re
from typing import Final, NamedTuple

LOCAL: Final = ("./", "$/")
"""How a reference of the own repository at the own commit begins."""
_REMOTE: Final = re.compile(r"(?P<repository>[^/@]+/[^/@]+)/(?P<path>[^@]+\.ya?ml)@(?P<ref>.+)")


class Remote(NamedTuple):
    """A workflow file of a repository by name. repository: `owner/name`; ref: a tag, a branch or a commit's full SHA."""

    repository: str
    path: str
    ref: str

    def __str__(self) -> str:
        """As `uses` writes it."""
        return f"{self.repository}/{self.path}@{self.ref}"

    @property
    def owner(self) -> str:
        """Whom the repository belongs to; case says nothing."""
        return self.repository.partition("/")[0].lower()


def file_of(reference: str) -> str:
    """The path of a called file of the own repository."""
    return reference[len(LOCAL[0]) :]


def remote(reference: str) -> Remote | None:
    """What a reference by a repository's name says; None for one of the own repository."""
    found = None if reference.startswith(LOCAL) else _REMOTE.fullmatch(reference)
    return None if found is None else Remote(*found.groups())


def same_owner(caller: str, reference: str, repository: str) -> bool:
    """Whether a called workflow belongs to whom the file belongs that calls it: nobody else inherits secrets, as on GitHub.

    repository: full name of the own one, where the caller is of it; "": nobody knows, and the answer is yes.
    """
    called, home = remote(reference), remote(caller)
    owner = home.owner if home is not None else repository.partition("/")[0].lower()
    return called is None or owner in ("", called.owner)


def within(caller: str, reference: str) -> str:
    """What a reference means in the file that this reference calls: `./` there is that file's repository, at its ref.

    caller: "" for a file that was not called.
    """
    home = remote(caller)
    return reference if home is None or not reference.startswith(LOCAL) else str(home._replace(path=file_of(reference)))
