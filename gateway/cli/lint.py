"""`lint [FILES]`: check workflow files as the server would read them. Needs neither a server nor a git repository."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from domain.workflow import reader, support
from domain.workflow.codes import EXPLANATIONS
from domain.workflow.diagnostics import Diagnostic, annotation, as_json, errors, human, sarif
from domain.workflow.gather import gather
from gateway.cli import render
from gateway.cli.errors import CliError, Exit
from gateway.cli.wiring import settings

FOLDER = Path(".github/workflows")
SUFFIXES = (".yml", ".yaml")
FORMATS = ("text", "json", "sarif", "github")


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--untrusted", type=click.Choice(("warn", "deny")), help="What a value is that a stranger may paste into a script (WF501).")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="How findings are written.")
def lint(*, files: tuple[Path, ...], untrusted: str | None, form: str) -> int:
    """Check FILES (all of .github/workflows): file:line:col: message [CODE]. Exit 1 when there is an error."""
    chosen = files or tuple(sorted(path for path in FOLDER.glob("*") if path.suffix in SUFFIXES))
    if not chosen:
        raise CliError("RUN003", "there are no workflow files in .github/workflows", help="name files: ledgermill lint FILE")
    texts = {str(path): _text(path) for path in chosen}
    options = reader.released(untrusted or settings().untrusted_values)
    found = list(dict.fromkeys(each for name, text in texts.items() for each in findings(name, text, options)))
    _print(found, texts, form)
    return Exit.FAILED if errors(found) else Exit.OK


def findings(name: str, text: str, options: dict[str, Any]) -> list[Diagnostic]:
    """What is wrong with one file and with its calls, and what of it this version does not run yet. options: see the reader."""
    workflow, found = reader.read(name, text, None, options)
    if workflow is None:
        return found
    folder = Path(name).parent
    if folder.parts[-2:] != FOLDER.parts:
        return [*found, *support.unsupported(workflow)]  # whatever it calls, nobody knows where that is
    root = folder.parent.parent
    beside = {str(FOLDER / path.name): _text(path) for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES}
    own = str(FOLDER / Path(name).name)
    more = gather(msgspec.structs.replace(workflow, path=own), {**beside, own: text}, options).found
    return [*found, *(msgspec.structs.replace(each, file=str(root / each.file.removeprefix("./"))) for each in more)]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", errors="replace") if str(path) != "-" else sys.stdin.read()
    except OSError as error:
        raise CliError("CLI011", f"{path} cannot be read", because=error.strerror, exit_code=Exit.NOT_FOUND) from error


def _print(found: list[Diagnostic], texts: dict[str, str], form: str) -> None:
    match form:
        case "json":
            render.print_json([as_json(each) for each in found])
        case "sarif":
            from importlib.metadata import version

            render.print_json(sarif(found, EXPLANATIONS, version("ledgermill")))
        case "github":
            for each in found:
                print(annotation(each))
        case _:
            for each in found:
                print(each.one_line())
            if sys.stderr.isatty():
                for each in found:
                    print(f"\n{human(each, texts.get(each.file))}", file=sys.stderr)
