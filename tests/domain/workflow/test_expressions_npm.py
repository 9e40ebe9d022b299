"""Our expressions against GitHub's published library, on expressions that neither has seen before.

The library is installed from the lock into a cache of the repository that git ignores. Without node the test is skipped,
but never where CI=true.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from domain.workflow.expressions import ExpressionError, evaluate
from domain.workflow.values import kind
from tests.domain.workflow.random_expressions import Grammar
from tests.domain.workflow.test_expressions_shared import same

HERE = Path(__file__).parent / "npm"
CACHE = Path(__file__).parents[3] / ".ledgermill" / "npm"
COUNT = 10_000
SAME_MIN = 0.995
CONTEXTS: dict[str, Any] = {
    "github": {
        "ref": "refs/heads/main",
        "run_id": "42",
        "Event": {"n": 7, "draft": False, "labels": [{"name": "bug"}, {"id": 1}], "nil": None},
    },
    "matrix": {"os": "ubuntu", "node": 20.5, "list": [1, "2", None, True, ["x"], {"k": "v"}]},
    "env": {"A": "1", "EMPTY": "", "HEX": "0x1F", "T": "TRUE", "JSON": '{"a": [1, {"b": null}]}', "TEXT": "{0} {1} {{é}}"},
    "steps": {"a": {"outcome": "success", "outputs": {"k": "v"}}, "b": {"outcome": "failure", "outputs": {}}},
}
FUNCTIONS = {"success": (255, True), "failure": (255, False), "always": (0, True), "cancelled": (0, False)}
"""How many arguments each takes at most, as in the `if` of a job, and its answer."""
GRAMMAR = Grammar(
    leaves=(
        *("github", "github.ref", "github.event", "github.Event.labels", "github['event'].n", "matrix.list", "matrix.node", "matrix.*"),
        *("env", "env.A", "env.EMPTY", "env.HEX", "env.T", "env.JSON", "env.TEXT", "steps.*.outcome", "steps.a.outputs", "steps['B']"),
        *("nobody", "0", "-0", "1", "-1.5", "1e3", "0x1F", "0o17", "NaN", "Infinity", "-Infinity", "''", "'a'", "'A'", "'1'", "' 1 '"),
        *("'true'", "'{0}-{1}'", "'[1,\"a\",null]'", "'it''s'", "true", "false", "TRUE", "null"),
        *("success()", "failure()", "always()", "cancelled()"),
    ),
    calls=("contains", "startsWith", "ENDSWITH", "format", "join", "toJSON", "fromJSON", "case"),
    suffixes=(".a", ".name", ".*", "[0]", "[*]", "['k']", "[-1]", "[1.9]", "[null]", "[true]", ".*.name"),
    noise="()[].,*!<>=&|'\"1a -+$",
)


def fresh(dice: random.Random) -> str:
    """A random expression; one in ten has a fault put into it."""
    text = GRAMMAR.expression(dice, dice.randrange(1, 4))
    if dice.random() < 0.1:
        text = GRAMMAR.fault(dice, text)
    return text if text.strip() else "''"  # on an empty expression, which is null, the library falls over


def library() -> Path:
    """The folder with the installed library and the program that asks it; installs it once for each lock."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        message = "node and npm are needed to compare with GitHub's published library"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = CACHE / lock
    if not (folder / "node_modules" / "@actions" / "expressions").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(HERE / name, folder / name)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)
        if done.returncode and os.environ.get("CI") != "true":
            pytest.skip(f"the library could not be installed: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stderr
    shutil.copyfile(HERE / "answer.mjs", folder / "answer.mjs")
    return folder


def ours(text: str) -> dict[str, Any]:
    """Our answer in the form of theirs."""
    try:
        value = evaluate(text, CONTEXTS, {name: (lambda *_, answer=answer: answer) for name, (_, answer) in FUNCTIONS.items()})
    except ExpressionError as error:
        return {"ok": False, "err": error.message}
    return {"ok": True, "kind": kind(value), "value": value}


def test_fresh_expressions_mean_what_they_mean_in_githubs_library():
    """Every verdict is the same, and of the values at least 99.5 % in kind and content."""
    seed = random.SystemRandom().randrange(2**32)
    dice = random.Random(seed)
    expressions = [fresh(dice) for _ in range(COUNT)]
    question = json.dumps({"contexts": CONTEXTS, "functions": FUNCTIONS, "expressions": expressions})
    done = subprocess.run(["node", "answer.mjs"], cwd=library(), input=question, capture_output=True, text=True, timeout=60, check=True)
    verdicts, values, good = [], [], 0
    for text, line in zip(expressions, done.stdout.split("\n"), strict=True):
        theirs, own = json.loads(line), ours(text)
        if own["ok"] != theirs["ok"]:
            verdicts.append((text, own, theirs))
        elif own["ok"]:
            good += 1
            if own["kind"] != theirs["kind"] or not same(own["value"], theirs["value"]):
                values.append((text, own, theirs))
    print(f"fresh expressions, seed {seed}: {COUNT - len(verdicts)} of {COUNT} verdicts, {good - len(values)} of {good} values")  # noqa: T201 - the figures are for whoever reads the output
    assert COUNT / 4 < good < COUNT
    assert verdicts == [], f"seed {seed}: {verdicts[:10]}"
    assert len(values) <= good * (1 - SAME_MIN), f"seed {seed}: {values[:10]}"
