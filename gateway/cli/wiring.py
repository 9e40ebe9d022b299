"""The composition root of the verbs: the only module of the command line that touches `infra`.

Each function imports what it needs when it is called, so that no verb pays for another one's imports.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from commands.elsewhere import Library
    from domain.envelope import Recorded
    from infra.checkpoint_directory import CheckpointDirectory
    from infra.doctor import Check
    from infra.embedded.lock import Owner
    from infra.library import Place
    from infra.settings import Settings
    from infra.snapshot import Snapshot, SourceFile

from gateway.cli.errors import CliError


def settings(data: Path | None = None, environ: Mapping[str, str] | None = None) -> "Settings":
    """The settings in force; `data` from the command line outranks the environment."""
    import msgspec

    from infra.settings import load

    try:
        found = load(environ)
    except (msgspec.ValidationError, ValueError) as error:
        raise CliError("CLI002", f"a setting cannot be read: {error}", help="ledgermill config lists all settings") from error
    return msgspec.structs.replace(found, data=data) if data is not None else found


def default_branch(taken: "Snapshot") -> "tuple[str, str, tuple[SourceFile, ...]] | None":
    """The default branch's ref, commit and workflow files; None where the snapshot is of that branch."""
    from infra.snapshot import default_branch

    return default_branch(taken)


def snapshot(directory: Path, data: Path) -> "Snapshot":
    """The work tree around `directory` as a commit in a mirror below `data`."""
    from infra.git import GitError, NotARepository
    from infra.snapshot import take

    try:
        return take(directory, data)
    except NotARepository as error:
        raise CliError("RUN001", str(error), help="git init, or name a repository with -C DIR") from error
    except GitError as error:
        raise CliError("RUN002", f"no snapshot of {directory} can be taken", because=str(error)) from error


def library(data: Path, place: "Place") -> "Library":
    """Where workflows of other repositories are read; see infra.library."""
    from infra.library import GitLibrary
    from infra.mirrors import mirrors_of

    found = settings(data)
    return GitLibrary(mirrors_of(found), place, found.actions_from)


def server_of(data: Path) -> "Owner | None":
    """The process that serves from the data directory now: the kernel's lock says so, no file that could be stale."""
    from infra.embedded.lock import owner

    return owner(data)


def machine_checks(data: Path) -> "list[Check]":
    """What this machine has and lacks; see infra.doctor."""
    from infra.doctor import checks

    return checks(settings(data))


def checkpoint_directory(data: Path) -> "CheckpointDirectory":
    """What the server of a data directory keeps outside its database; see infra.checkpoint_directory."""
    from infra.checkpoint_directory import CheckpointDirectory

    return CheckpointDirectory(settings(data).checkpoint_directory or data / "audit")


def is_signed(public: str, signature: bytes, content: bytes) -> bool:
    """See infra.signatures."""
    from infra import signatures

    return signatures.is_signed(public, signature, content)


def signed_by(public: bytes, signature: bytes, content: bytes) -> bool:
    """Whether the owner of an Ed25519 key (32 bytes) has signed this."""
    from infra import signatures

    return signatures.is_signed(public.hex(), signature, content)


def public_keys(file: Path) -> list[bytes]:
    """The Ed25519 keys of a file that holds one PEM after the other."""
    from infra.signing import SigningKeyError, read_public_pem

    end = "-----END PUBLIC KEY-----"
    parts = file.read_text(errors="replace").split(end)
    try:
        found = [read_public_pem(part.strip() + f"\n{end}\n") for part in parts[:-1]]
    except SigningKeyError as error:
        raise CliError("CLI011", f"{file} cannot be used as a key", because=str(error), help="ledgermill attest keys prints one") from error
    if not found:
        raise CliError("CLI011", f"{file} holds no public key in PEM", help="ledgermill attest keys prints one")
    return found


def rotate_signing_key(data: Path) -> str:
    """A new key of provenance in a data directory; its id."""
    from gateway.wiring.signer import rotate
    from infra.signing import SigningKeyError

    try:
        return rotate(data)
    except (OSError, SigningKeyError) as error:
        raise CliError("ATT008", f"no key can be made in {data}", because=str(error)) from error


def stored_events(rows: "Iterable[tuple[int, UUID, int, str, bytes]]") -> "list[Recorded]":
    """Events from their rows, in their newest shape; see infra.codec."""
    from infra.codec import recorded

    return [recorded(*row) for row in rows]
