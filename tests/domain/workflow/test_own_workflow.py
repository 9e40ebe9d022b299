"""This repository's own workflow, which GitHub and Ledgermill both run (`make ci`)."""

from pathlib import Path

from domain.workflow.reader import read
from domain.workflow.support import unsupported

ROOT = Path(__file__).resolve().parents[3]
FILE = ".github/workflows/ci.yml"


def test_it_is_valid_without_a_warning_and_ledgermill_can_run_all_of_it():
    """What GitHub accepts and Ledgermill does not run yet would show here."""
    workflow, found = read(FILE, (ROOT / FILE).read_text())
    assert workflow is not None
    assert found == []
    assert unsupported(workflow) == []


def test_its_steps_are_targets_of_the_makefile():
    """It checks what a person checks."""
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines()}
    workflow, _ = read(FILE, (ROOT / FILE).read_text())
    assert workflow is not None
    commands = [step.run for step in workflow.jobs["checks"].steps if step.run]
    assert [command.removeprefix("make ") for command in commands] == [".venv/dev.stamp", "lint", "type", "test-short"]
    assert {command.removeprefix("make ") for command in commands} <= targets
