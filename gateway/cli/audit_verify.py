"""`audit verify`: hold the log, its tree and the checkpoints together, here, and name what was changed behind the log's back.

Everything is computed on this side from the rows as they are stored. What is kept outside the database (of a local server:
its directory of checkpoints, and FILE) says what they were; the database's own word counts only where it is signed.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gateway.cli import render
from gateway.cli.client import Client
from gateway.cli.connect import connected
from gateway.cli.errors import CliError, Exit
from gateway.cli.options import FILE, Target, json_option, target_options
from gateway.cli.wiring import checkpoint_directory, is_signed

if TYPE_CHECKING:
    from domain.transparency.checkpoints import Signed
    from domain.transparency.entry import Row
    from domain.transparency.verify import Finding, Report

SHOWN = 20
STORED_READ = 100
"""So many of the database's own checkpoints are looked at where there are others: they say nothing that those do not."""


class Evidence(msgspec.Struct, frozen=True):
    """Checkpoints whose signatures hold. outside: how many of them were not the database's own; odd: what those are that do not hold."""

    checkpoints: "tuple[Signed, ...]"
    outside: int
    odd: "tuple[Finding, ...]"


class StoredJson(msgspec.Struct):
    """An event as it is stored, as the API gives it."""

    position: int
    stream: str
    version: int
    topic: str
    state: bytes


class EntriesJson(msgspec.Struct):
    """A piece of the stored tree, as the API gives it."""

    entries: bytes


@click.command()
@click.option("--checkpoint", "files", multiple=True, type=FILE, help="A checkpoint that you have kept (a C2SP note, or several).")
@click.option("--key", "key_files", multiple=True, type=FILE, help="Public keys of the log, one a line (name+id+key), that you trust.")
@json_option
@target_options
def verify(*, target: Target, files: tuple[Path, ...], key_files: tuple[Path, ...], as_json: bool) -> int:
    """Find rows of the log that were changed, dropped, added, moved or cut off. Exit 1 when there are any."""
    from domain.transparency import entry, verify

    kept = checkpoint_directory(target.data) if target.server is None else None
    with connected(target) as client:
        keys = _keys(client, key_files, kept)
        evidence = _evidence(client, keys, files, kept)
        size = client.get("/audit/tree")["size"]

        def tree(first: int) -> Iterator[bytes]:
            pieces = (msgspec.convert(line, EntriesJson).entries for line in client.lines("/audit/entries", first=first))
            return islice(entry.each(pieces), max(0, size - first))

        def outside(first: int) -> Iterator[bytes]:
            return entry.each(kept.entries(first)) if kept is not None else iter(())

        report = verify.verify(_rows(client), tree, outside, evidence.checkpoints)
    findings = (*evidence.odd, *report.findings)
    if as_json:
        shown = msgspec.to_builtins(report) | {"checkpoints": len(evidence.checkpoints), "outside": evidence.outside}
        render.print_json(shown | {"findings": msgspec.to_builtins(findings), "keys": list(keys)})
    else:
        _show(report, findings, evidence)
    return Exit.FAILED if findings else Exit.OK


def _keys(client: Client, files: Sequence[Path], kept: Any) -> tuple[str, ...]:
    """The keys that count: those that were given, else those that are kept outside, else those that the server names."""
    if files:
        return tuple(key for file in files for key in file.read_text().split())
    if kept is not None and (found := kept.keys()):
        return tuple(found)
    return tuple(each["key"] for each in client.items("/audit/keys"))


def _evidence(client: Client, keys: Sequence[str], files: Sequence[Path], kept: Any) -> Evidence:
    """All checkpoints at hand. One in a FILE that is none of this log ends the verb; another one is a finding."""
    from domain.transparency.checkpoints import Refused, Signed, opened, parted
    from domain.transparency.note import NoteError
    from domain.transparency.verify import Finding

    origin = client.get("/audit/tree")["origin"]
    found: dict[str, Signed] = {}
    odd: list[Finding] = []
    for file in files:
        content = file.read_text(errors="replace")
        for number, text in enumerate(parted(content) or [content], 1):
            try:
                found[text] = opened(text, origin, keys, is_signed)
            except (Refused, NoteError) as error:
                check = error.check if isinstance(error, Refused) else "key"
                raise CliError(
                    "AUD001",
                    f"checkpoint {number} of {file} is refused by the check {check}",
                    place=str(file),
                    because=str(error),
                    help="ledgermill audit verify without it says what the server has",
                ) from error
    notes = kept.notes() if kept is not None else []
    stored = client.items("/audit/checkpoints", per_page=100)
    own = [each["note"] for each in islice(stored, STORED_READ if notes else None)]
    for source, texts in (("directory outside", notes), ("database", own)):
        for text in texts:
            if text in found:
                continue
            try:
                found[text] = opened(text, origin, keys, is_signed)
            except (Refused, NoteError) as error:
                odd.append(Finding("checkpoint", f"a checkpoint in the {source} is refused: {error}"))
    return Evidence(tuple(found.values()), len(files) + len(notes), tuple(odd))


def _rows(client: Client) -> "Iterator[Row]":
    from uuid import UUID

    for line in client.lines("/audit/log"):
        row = msgspec.convert(line, StoredJson)
        yield row.position, UUID(row.stream), row.version, row.topic, row.state


def _show(report: "Report", findings: "Sequence[Finding]", evidence: Evidence) -> None:
    for each in findings[:SHOWN]:
        click.echo(render.safe(described(each)))
    if len(findings) > SHOWN or report.more:
        click.echo(f"... and {len(findings) - SHOWN + report.more} more; --json lists the first thousand", err=True)
    count = len(evidence.checkpoints)
    if not evidence.outside:
        click.echo("no checkpoint from outside the database was at hand: --checkpoint FILE takes one that you have kept", err=True)
    noun = "checkpoint" if count == 1 else "checkpoints"
    proved = f"{count} {noun}, up to position {report.covered}" if report.covered else "no checkpoint covers them yet"
    if findings:
        click.echo(f"{len(findings) + report.more} findings in {report.events} events ({proved})", err=True)
    else:
        click.echo(f"verified {report.events} events: the rows, the tree and the checkpoints agree ({proved})")


def described(found: "Finding") -> str:
    """A finding in one line."""
    places = []
    if found.position is not None:
        through = f" to {found.through}" if found.through is not None and found.through != found.position else ""
        places.append(f"position {found.position}{through}")
    if found.stream is not None:
        places.append(f"stream {found.stream} version {found.version}")
    return f"{found.check}: {', '.join(places)}{': ' if places else ''}{found.message}"
