"""Every code that a program can print is explained."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CODE = re.compile(r"\b(?:WF|EX|RUN|CLI|API|ATT|BND|AUD|EMB|SIG|STO|RNR|SRV)\d{3}\b")


def test_every_code_in_the_sources_is_explained() -> None:
    """`ledgermill explain` has a text for each."""
    explained = runpy.run_path(str(ROOT / "docs" / "generators" / "codes.py"))["render"]()
    used = {
        code
        for package in ("domain", "commands", "projections", "gateway", "runner", "infra")
        for file in (ROOT / package).rglob("*.py")
        for code in CODE.findall(file.read_text())
    }
    assert {code for code in used if f"**{code}**" not in explained} == set()


@pytest.mark.parametrize("page", ["cli", "codes", "events", "settings"])
def test_the_generated_page_is_fresh(page: str) -> None:
    """`make docs` was run after the last change."""
    generator = runpy.run_path(str(ROOT / "docs" / "generators" / f"{page}.py"))
    assert generator["TARGET"].read_text() == generator["render"](), "stale: run `make docs`"


def test_every_installed_dependency_is_listed_with_its_version_and_licence() -> None:
    """`make docs` was run after the last change of the locked files; what this platform leaves out may be listed too."""
    generator = runpy.run_path(str(ROOT / "docs" / "generators" / "dependencies.py"))
    assert set(generator["render"]().splitlines()) <= set(generator["TARGET"].read_text().splitlines()), "stale: run `make docs`"
