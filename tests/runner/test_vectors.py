"""The public vectors for file commands, workflow commands and masking, read in place."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runner import file_commands
from runner.commands import parse, place
from runner.masking import Masker
from runner.step_output import StepOutput

SHARED = Path(os.environ.get("LEDGERMILL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
VECTORS = SHARED / "data" / "runner-vectors"


def vectors(name: str) -> Any:
    """The content of a vector file; without the folder there is nothing to run, which only a CI run must not accept."""
    path = VECTORS / f"{name}.json"
    if not path.is_file():
        assert os.environ.get("CI") != "true", f"{path} is missing"
        return None
    return json.loads(path.read_text())


def cases(name: str, key: str) -> list[Any]:
    """Parameters of a test, or one that says why there are none."""
    content = vectors(name)
    if content is None:
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"{VECTORS} is not there: set LEDGERMILL_SHARED"))]
    return [pytest.param(case, id=case.get("id") if isinstance(case, dict) else None) for case in content[key]]


@pytest.mark.parametrize("case", cases("file_commands", "cases"))
def test_file_commands_give_the_values_and_issues_of_the_vectors(case: Any, tmp_path: Path) -> None:
    """GITHUB_ENV, GITHUB_OUTPUT and GITHUB_STATE files read as GitHub's runner reads them."""
    path = tmp_path / "file"
    if case["content"] is not None:
        path.write_bytes((b"\xef\xbb\xbf" if case.get("bom") else b"") + case["content"].encode())
    text = file_commands.decode(path.read_bytes()) if path.exists() else ""
    if "error_contains" in case:
        with pytest.raises(file_commands.FileCommandError, match=case["error_contains"]):
            file_commands.parse(text)
        return
    issues: list[str] = []
    if case["file"] == "GITHUB_ENV":
        values, issues = file_commands.parse_environment(text)
    else:
        values = file_commands.parse(text)
    assert values == case["expect"]
    assert len(issues) == case["issues"]


@pytest.mark.parametrize("case", cases("command_parse", "v2") + cases("command_parse", "v1"))
def test_command_lines_parse_as_in_the_vectors(case: Any) -> None:
    """Both command syntaxes, their properties and their escapes."""
    command = parse(case["line"], frozenset({"do-something"}))
    if case["command"] is None:
        assert command is None
        return
    assert command is not None
    assert (command.name, command.properties, command.data) == (case["command"], case["properties"], case["data"])


@pytest.mark.parametrize("case", cases("command_semantics", "issue_positions"))
def test_places_of_annotations_follow_the_vectors(case: Any) -> None:
    """A place that contradicts itself is dropped, one that is half given is completed."""
    command = parse(case["line"])
    assert command is not None
    found = place(command.properties)
    for name in case.get("dropped", ()):
        assert name not in found
    for name, value in case.get("becomes", {}).items():
        assert found[name] == value


def output(masker: Masker | None = None, environment: dict[str, str] | None = None) -> tuple[StepOutput, list[str]]:
    """A step's output and the lines that leave it."""
    lines: list[str] = []
    return StepOutput(masker or Masker(), lambda _stream, text: lines.append(text), environment or {}, show_debug=False), lines


@pytest.mark.parametrize("case", cases("command_semantics", "echo"))
def test_echo_takes_on_and_off_and_nothing_else(case: Any) -> None:
    """`::echo::` switches the showing of commands; any other word is an error of the step."""
    step, _ = output()
    step.echo = not case.get("echo", False)
    step.line("stdout", case["line"])
    if case.get("error"):
        assert step.errors
    else:
        assert step.echo is case["echo"]
        assert not step.errors


def test_stop_commands_refuses_tokens_that_others_could_guess() -> None:
    """Empty tokens and names of commands are refused unless the workflow insists."""
    content = vectors("command_semantics")
    if content is None:
        pytest.skip(f"{VECTORS} is not there: set LEDGERMILL_SHARED")
    rule = content["stop_commands"]
    for token in rule["invalid_tokens"]:
        step, _ = output()
        step.line("stdout", f"::stop-commands::{token}")
        assert step.errors
        insisting, _ = output(environment={rule["allowed_when_env"]: "true"})
        insisting.line("stdout", f"::stop-commands::{token}")
        assert not insisting.errors


def test_add_mask_of_several_lines_masks_each_and_the_whole() -> None:
    """Escaped line ends in a mask give one mask per line; blanks are never masked."""
    content = vectors("command_semantics")
    if content is None:
        pytest.skip(f"{VECTORS} is not there: set LEDGERMILL_SHARED")
    step, _ = output()
    for line in content["add_mask_multiline"]["lines"]:
        step.line("stdout", line)
    for text in content["add_mask_multiline"]["masked_whole"]:
        assert step.masker.mask(text) == "***"
    for text in content["add_mask_multiline"]["unchanged"]:
        assert step.masker.mask(text) == text


def test_masking_gives_the_lines_of_the_vectors() -> None:
    """Secrets in plain, JSON, URL, XML, quoted and base64 form."""
    content = vectors("secret_masking")
    if content is None:
        pytest.skip(f"{VECTORS} is not there: set LEDGERMILL_SHARED")
    masker = Masker(content["secrets"])
    assert [masker.mask(line) for line, _ in content["cases"]] == [masked for _, masked in content["cases"]]
