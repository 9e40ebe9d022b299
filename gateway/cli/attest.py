"""`attest`: name files as outcomes in a job; look at, fetch and verify the provenance of files afterwards.

`attest FILE...` works inside a job only. `attest verify` needs no server: the file, its statement and the keys are enough.
"""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import render
from gateway.cli.connect import connected
from gateway.cli.errors import CliError, Exit
from gateway.cli.options import Target, data_option, default_data, json_option, target_options
from gateway.cli.resolve import find_run

if TYPE_CHECKING:
    from domain.provenance import Statement
    from domain.provenance.dsse import Envelope
    from domain.provenance.policy import Policy

Json = dict[str, Any]
ENDING = ".intoto.jsonl"
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class FilesOrVerb(click.Group):
    """A group whose first word may also be a file; a file that is called like a verb is written ./verify."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb, or `files` for anything else."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["files", *args])


@click.group(cls=FilesOrVerb)
def attest() -> None:
    """Name FILES as outcomes of this job (`attest FILE...`), or show, download and verify provenance."""


@attest.command(hidden=True)
@click.argument("files", nargs=-1, required=True, type=FILE)
def files(files: tuple[Path, ...]) -> None:
    """Name FILES as outcomes of this job: the runner takes their digests when the step has ended."""
    named = os.environ.get("GITHUB_ARTIFACTS")
    if not named:
        raise CliError(
            "ATT001",
            "this is no step of a job: nobody would hear which files it made",
            because="GITHUB_ARTIFACTS is not set",
            help="write `ledgermill attest FILE...` in a step of a workflow; about files that exist: ledgermill attest show FILE",
        )
    lines = [str(file.absolute()) for file in files]
    if broken := [line for line in lines if not line.isprintable()]:
        raise CliError("ATT002", f"the name {broken[0]!r} cannot be written on one line")
    with Path(named).open("a") as told:
        told.writelines(f"{line}\n" for line in lines)


@attest.command()
@click.argument("thing", metavar="FILE|RUN")
@json_option
@target_options
def show(*, target: Target, thing: str, as_json: bool) -> int:
    """Show the provenance of FILE, or of all that RUN made."""
    found = _attestations(target, thing)
    if as_json:
        render.print_json([_statement_json(each["envelope"]) for each in found])
        return Exit.OK
    for each in found:
        click.echo(described(each))
    return Exit.OK


@attest.command()
@click.argument("thing", metavar="FILE|RUN")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where to put them (default: here).")
@target_options
def download(*, target: Target, thing: str, output: Path) -> int:
    """Write one NAME.intoto.jsonl for each file that has provenance: of FILE, or of all that RUN made."""
    import msgspec

    path = Path(thing)
    only = sha256_of(path) if path.is_file() else None
    lines: dict[tuple[str, str], list[bytes]] = {}
    for each in _attestations(target, thing):
        for subject in each["subjects"]:
            if only in (None, subject["sha256"]):
                name = path.name if only else subject["name"]
                lines.setdefault((name, subject["sha256"]), []).append(msgspec.json.encode(each["envelope"], order="sorted"))
    output.mkdir(parents=True, exist_ok=True)
    for place, (_, content) in zip(places([name for name, _ in lines]), lines.items(), strict=True):
        (output / place).write_bytes(b"".join(line + b"\n" for line in content))
        click.echo(str(output / place))
    return Exit.OK


@attest.command()
@json_option
@target_options
def keys(*, target: Target, as_json: bool) -> int:
    """Print the public keys of provenance as PEM, the one that signs now first: what --key of `attest verify` takes."""
    with connected(target) as client:
        found = list(client.items("/signing-keys"))
    render.print_json(found) if as_json else click.echo(pems(found), nl=False)
    return Exit.OK


@attest.command()
@data_option()
def rotate(*, data: Path | None) -> int:
    """Make a new key on the server's machine: it signs from now on; what older ones signed still verifies."""
    from gateway.cli.wiring import rotate_signing_key

    click.echo(rotate_signing_key((data or default_data()).absolute()))
    return Exit.OK


@attest.command()
@click.argument("file", type=FILE)
@click.option("--bundle", type=FILE, default=None, help="The statements (default: FILE.intoto.jsonl).")
@click.option("--key", "key", type=FILE, default=None, help="Public keys, PEM (default: those of the server of --data or --server).")
@click.option("--source-uri", default="", help="The repository that it must be built from.")
@click.option("--source-ref", default="", help="The ref, e.g. refs/heads/main.")
@click.option("--source-digest", default="", help="The commit.")
@click.option("--builder-id", default="", help="Who must have built it, e.g. urn:ledgermill:builder:joined.")
@click.option("--workflow", default="", help="The path of the workflow file.")
@click.option("--level", default=0, type=click.IntRange(0, 3), help="The least SLSA build level.")
@click.option("--against-log", is_flag=True, help="Ask the server too, whether its log gives this very statement.")
@json_option
@target_options
def verify(*, target: Target, file: Path, bundle: Path | None, key: Path | None, against_log: bool, as_json: bool, **wanted: Any) -> int:
    """Verify that FILE is what a trusted statement is about, and that it was built as wanted. Exit 1 when not."""
    from domain.provenance.policy import Policy

    statements = bundle or file.with_name(file.name + ENDING)
    if not statements.is_file():
        raise CliError("ATT003", f"there is no {statements}", help=f"ledgermill attest download {file}, or name the file with --bundle")
    known = trusted_keys(key, target)
    digest = sha256_of(file)
    envelope, statement = accepted(file, digest, statements, known, Policy(**wanted))
    if against_log:
        _against_log(target, digest, envelope, file)
    if as_json:
        render.print_json(_statement_json({"payload": envelope.payload}))
    else:
        click.echo(passed(file, digest, statement, against_log=against_log))
    return Exit.OK


def sha256_of(file: Path) -> str:
    """The digest of a file's bytes."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def accepted(file: Path, digest: str, statements: Path, known: dict[str, bytes], policy: "Policy") -> "tuple[Envelope, Statement]":
    """The first statement that is about the file and holds. Raises CliError ATT004 with what the nearest one lacks."""
    from domain.provenance.dsse import EnvelopeError, read_envelope
    from domain.provenance.policy import PolicyError, verify
    from domain.provenance.statement import StatementError
    from gateway.cli.wiring import signed_by

    failures: list[tuple[bool, int, Exception]] = []
    for number, line in enumerate(statements.read_bytes().splitlines(), 1):
        try:
            envelope = read_envelope(line)
            return envelope, verify(envelope, digest, policy, known, signed_by)
        except (EnvelopeError, StatementError, PolicyError) as error:
            failures.append((getattr(error, "check", "statement") == "subject", number, error))
    if not failures:
        raise CliError("ATT004", f"FAILED {file}: {statements} holds no statement", place=str(statements))
    _, number, nearest = min(failures, key=lambda each: each[:2])
    check = getattr(nearest, "check", "statement")
    raise CliError(
        "ATT004",
        f"FAILED {file}: {check}",
        place=f"{statements}:{number}",
        because=render.safe(str(nearest)),
        help="the file was changed after the build, or the statement is of another one" if check == "subject" else None,
    )


def trusted_keys(key: Path | None, target: Target) -> dict[str, bytes]:
    """Public keys by id: those in a file, else those of a server that can be asked. Raises CliError."""
    from domain.provenance.dsse import key_id
    from gateway.cli.wiring import public_keys

    if key is not None:
        return {key_id(each): each for each in public_keys(key)}
    try:
        with connected(target) as client:
            return {each["keyid"]: bytes.fromhex(each["public_key"]) for each in client.items("/signing-keys")}
    except CliError as error:
        if error.code not in ("CLI003", "API001"):
            raise
        raise CliError(
            "ATT005",
            "no key is given to verify with, and no server is there to ask",
            help="--key FILE, with what `ledgermill attest keys` printed where the file was built",
            exit_code=Exit.USAGE,
        ) from error


def _against_log(target: Target, digest: str, envelope: "Envelope", file: Path) -> None:
    with connected(target) as client:
        made = [each["envelope"]["payload"] for each in client.items(f"/artifacts/sha256:{digest}/attestations")]
    if envelope.payload not in made:
        because = "its log tells of no such file" if not made else "the statement that its log gives is another one"
        raise CliError("ATT006", f"FAILED {file}: the server's log does not give this statement", because=because)


def _attestations(target: Target, thing: str) -> list[Json]:
    """What a server knows of a file or a run. Raises CliError where that is nothing."""
    path = Path(thing)
    with connected(target) as client:
        if path.is_file():
            digest = sha256_of(path)
            found = list(client.items(f"/artifacts/sha256:{digest}/attestations"))
            what = f"no provenance names sha256:{digest} ({thing})"
        else:
            run = find_run(client, thing)
            found = list(client.items(f"/runs/{run['id']}/provenance"))
            what = f"{run['workflow']}#{run['number']} attests nothing"
    if not found:
        help_ = "name the files that it makes in a step: ledgermill attest FILE... (only jobs that succeed have provenance)"
        raise CliError("ATT007", what, help=help_, exit_code=Exit.NOT_FOUND)
    return found


def places(names: list[str]) -> list[str]:
    """File names below one directory for subjects: the last part of the name, or all of it where two end alike."""
    last = [name.rpartition("/")[2] for name in names]
    whole = [name.replace("/", "-").lstrip(".") for name in names]
    chosen = [short if last.count(short) == 1 and short else long for short, long in zip(last, whole, strict=True)]
    found: list[str] = []
    for name in chosen:
        number = found.count(f"{name}{ENDING}")
        found.append(f"{name}{ENDING}" if not number else f"{name}.{len(found)}{ENDING}")
    return found


def pems(found: list[Json]) -> str:
    """The keys as PEM, one after the other."""
    from domain.transparency.note import public_pem

    return "".join(public_pem(bytes.fromhex(each["public_key"])) for each in found)


def described(each: Json) -> str:
    """An attestation for people."""
    build = _statement_json(each["envelope"])["predicate"]["buildDefinition"]
    workflow, source = build["externalParameters"]["workflow"], build["resolvedDependencies"][0]
    lines = [f"{subject['name']}  sha256:{subject['sha256']}" for subject in each["subjects"]]
    lines.append(f"  built by  {each['builder']}, SLSA build level {each['level']}: {each['level_reason']}")
    lines.append(f"  source    {workflow['repository']}@{workflow['ref']} {source['digest']['gitCommit']}")
    lines.append(f"  workflow  {workflow['path']}   run {each['run_id']}")
    return "\n".join(map(render.safe, lines))


def passed(file: Path, digest: str, statement: "Statement", *, against_log: bool) -> str:
    """What `verify` says in the end."""
    build, parameters = statement.predicate.build_definition, statement.parameters
    workflow = build.external_parameters["workflow"]
    log = ", and the server's log gives the same" if against_log else ""
    lines = [
        f"{file.name}  sha256:{digest}",
        f"  built by  {statement.predicate.run_details.builder.id}, SLSA build level {parameters.get('level')}",
        f"  source    {workflow['repository']}@{workflow['ref']} {build.resolved_dependencies[0].digest.get('gitCommit', '')}",
        f"  workflow  {workflow['path']}   run {parameters.get('run')}",
        f"PASSED: {file.name} is what the signed statement is about{log}",
    ]
    return "\n".join(map(render.safe, lines))


def _statement_json(envelope: Json) -> Json:
    import base64
    import json

    found: Json = json.loads(base64.b64decode(envelope["payload"]))
    return found
