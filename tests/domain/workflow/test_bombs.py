"""Bombs and broken files are refused fast and in little memory, with a message that names a place.

Bound: 50 ms, or three times a bare compose of the same text for files over 200 KB; 64 MB on top of the interpreter.
Measured in processor time of the reference machine (tests/yardstick.py); one of several rounds has to keep the bound,
as a busy machine slows single ones.
"""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from domain.workflow.diagnostics import Diagnostic
from domain.workflow.reader import read
from tests.yardstick import in_time, kept, milliseconds

MILLISECONDS_MAX = 50
ROUNDS_MAX = 10
MEGABYTES_MAX = 64
BIG_MILLISECONDS_MAX = 500
BIG_BYTES = 200_000
HEAD = "on: push\njobs:\n a:\n  runs-on: x\n"


def aliases() -> str:
    text = "a: &a [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        text += f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    return text


def matrix(values: int, axes: int, extra: str = "") -> str:
    lines = "".join(f"    a{axis}: {list(range(values))}\n" for axis in range(axes))
    return f"{HEAD}  strategy:\n   matrix:\n{lines}{extra}"


def circle(jobs: int, needs: int) -> str:
    lines = (f" j{n}: {{runs-on: x, needs: [{', '.join(f'j{(n + k) % jobs}' for k in range(1, needs + 1))}]}}\n" for n in range(jobs))
    return HEAD + "".join(lines)


def jobs(body: str, count: int) -> str:
    return HEAD + "".join(f" j{n}: {body}\n" for n in range(count))


def keys(value: str, count: int) -> str:
    return "".join(f"a{n}: {value}, " for n in range(count))


BOMBS = {
    "aliases": (aliases, "WF004"),
    "deep lists in one line": (lambda: "[" * 100_000, "WF003"),
    "deep lists by dashes": (lambda: "- " * 100_000 + "x", "WF003"),
    "deep mappings": (lambda: "{a: " * 100_000, "WF003"),
    "25 MB of comments": (lambda: "#" * 25_000_000, "WF002"),
    "25 MB of lists": (lambda: "- a\n" * 6_250_000, "WF002"),
    "1 MB of values": (lambda: "- a\n" * 262_000, "WF004"),
    "1 MB of values in one line": (lambda: "[" + "a," * 500_000 + "]", "WF004"),
    "a million combinations": (lambda: matrix(10, 6), "WF100"),
    "a million combinations with exclude": (lambda: matrix(10, 6, "    exclude: [{a1: 1}]\n"), "WF100"),
    "many combinations, many excluded": (lambda: matrix(15, 3, f"    exclude: [{', '.join(['{a0: 99}'] * 1500)}]\n"), "WF100"),
    "jobs in a circle": (lambda: circle(1_000, 1), "WF033"),
    "jobs in many circles": (lambda: circle(600, 3), "WF033"),
    "unknown keys": (lambda: "".join(f"key{n}: 1\n" for n in range(5_000)), "WF014"),
    "unclosed expressions": (lambda: HEAD + "  name: '" + "${{ " * 20_000 + "'\n", "WF021"),
    "quotes in an unclosed expression": (lambda: HEAD + '  name: "${{ ' + "'}}'" * 15_000 + '"\n', "WF021"),
    "many expressions": (lambda: HEAD + "  name: '" + "${{ github.ref }} " * 20_000 + "'\n", "WF049"),
    "a deep expression": (lambda: HEAD + "  if: " + "(" * 10_000 + "\n", "EX002"),
    "documents": (lambda: "---\na\n" * 10_000, "WF007"),
    "a null character": (lambda: "on: push\n\0", "WF001"),
    "half a surrogate pair": (lambda: 'on: "\ud800"', "WF001"),
    "a dense circle of 3,000 jobs": (lambda: circle(3_000, 2), "WF048"),
    "wrong values in every job": (lambda: jobs("{runs-on: [], if: [], x: {}}", 4_500), "WF013"),
    "needs of nobody": (lambda: jobs("{runs-on: x, needs: [nobody, none]}", 1_000), "WF032"),
    "ids that are none": (lambda: "on: push\njobs:\n" + "".join(f" j{n}!: {{runs-on: x}}\n" for n in range(1_000)), "WF030"),
    "thousands of jobs": (lambda: jobs("{runs-on: x, steps: [{run: a}]}", 4_800), "WF048"),
    "an axis of 49,000 values": (lambda: HEAD + "  strategy: {matrix: {a: [" + "1," * 49_000 + "]}}\n", "WF100"),
    "an axis of infinities": (lambda: HEAD + "  strategy: {matrix: {a: [" + "1e400," * 30_000 + "]}}\n", "WF100"),
    "a long list of exclusions": (lambda: matrix(10, 3, f"    exclude: [{', '.join(['{a0: 99}'] * 8_000)}]\n"), "WF100"),
    "one key 20,000 times": (lambda: HEAD + "  env:\n" + "   A: 1\n" * 20_000, "WF011"),
    "100,000 keys": (lambda: "".join(f"k{n}: 1\n" for n in range(100_000)), "WF014"),
    "merge keys": (lambda: HEAD + "  env:\n" + "   <<: {a: 1}\n" * 10_000, "WF013"),
    "one id for all steps": (lambda: HEAD + "  steps:\n" + "   - {id: a, run: b}\n" * 9_000, "WF031"),
    "unknown contexts": (lambda: HEAD + "  steps:\n" + "   - run: ${{ nope }}\n" * 7_500, "EX003"),
    "misspelled events": (lambda: "on: [" + "pusj," * 30_000 + "]\n", "WF015"),
    "inputs of no type": (lambda: "on: {workflow_dispatch: {inputs: {" + keys("{type: nope}", 9_000) + "}}}\n", "WF015"),
    "services without images": (lambda: HEAD + "  services: {" + keys("{ports: [1]}", 9_000) + "}\n", "WF041"),
    "anchors without end": (lambda: HEAD + "".join(f"  k{n}: &a{n} [1]\n" for n in range(12_000)), "WF014"),
    "${{ 60,000 times": (lambda: HEAD + "  name: '" + "${{" * 60_000 + "'\n", "WF049"),
    "a chain of && without end": (lambda: HEAD + "  if: " + " && ".join(["true"] * 23_000) + "\n", "EX001"),
    "! without end": (lambda: HEAD + '  if: "' + "!" * 150_000 + '1"\n', "EX001"),
    "indexes without end": (lambda: HEAD + "  if: github" + ".a" * 90_000 + "\n", "EX001"),
    "an unclosed quote after 900 KB": (lambda: HEAD + "  steps:\n" + f"   - run: echo {'a' * 40}\n" * 15_000 + "   - run: 'a\n", "WF001"),
    "an unclosed quote": (lambda: HEAD + '  name: "' + "a" * 190_000, "WF001"),
    "tabs": (lambda: HEAD + "\truns-on: x\n" * 10_000, "WF001"),
    "byte order marks": (lambda: "\ufeff" * 60_000, "WF015"),
    "carriage returns alone": (lambda: "a\r" * 90_000, "WF015"),
    "carriage returns in a broken file": (lambda: jobs("{runs-on: [], x: {}}", 4_500).replace("\n", "\r\n"), "WF014"),
    "a key of 190 KB": (lambda: "a" * 190_000 + ": 1\n", "WF001"),
    "question marks": (lambda: "? " * 90_000, "WF003"),
    "a tag of 190 KB": (lambda: "!!" + "a" * 190_000 + " x", "WF005"),
    "an alias of 190 KB": (lambda: "a: *" + "x" * 190_000, "WF006"),
    "directives": (lambda: "%YAML 1.2\n" * 15_000, "WF001"),
    "comments alone": (lambda: "# aaaaaa\n" * 100_000, "WF008"),
    "closing brackets": (lambda: "}}" * 90_000, "WF001"),
    "numbers without end": (lambda: HEAD + f"  continue-on-error: {'9' * 100_000}\n", "WF015"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_time(name):
    """Nothing is accepted, each finding has a place, and the time is bounded."""
    make, code = BOMBS[name]
    text = make()
    found: list[Diagnostic] = []

    def refuse() -> None:
        workflow, found[:] = read("bomb.yml", text)
        assert workflow is None

    def refused_in_time() -> bool:
        spent = milliseconds(refuse)
        # A bare compose is measured only where it counts: it crashes the interpreter on deep files.
        return in_time(spent, MILLISECONDS_MAX) or (len(text) > BIG_BYTES and spent <= 3 * milliseconds(lambda: compose(text)))

    assert any(refused_in_time() for _ in range(ROUNDS_MAX))
    assert code in {each.code for each in found}
    assert all(each.line >= 1 and each.column >= 1 for each in found)


def compose(text: str) -> None:
    with contextlib.suppress(yaml.YAMLError):
        yaml.compose(text, Loader=yaml.CSafeLoader)


PROGRAM = """
import resource, sys
from domain.workflow.reader import read
from tests.domain.workflow.test_bombs import BOMBS
text = BOMBS[sys.argv[1]][0]()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read("bomb.yml", text)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.parametrize(
    "name", ["aliases", "deep lists in one line", "25 MB of lists", "1 MB of values", "a million combinations", "jobs in a circle"]
)
def test_a_bomb_is_refused_in_little_memory(name):
    """Measured in a process of its own, on top of interpreter and text."""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", PROGRAM, name], cwd=root, capture_output=True, text=True, check=True, timeout=60)
    assert float(done.stdout) <= MEGABYTES_MAX


def forward_needs(count: int) -> str:
    """Jobs of every shape, each but the last needing one further down: nothing is settled before the end."""
    body = "{{runs-on: x, needs: j{}, container: {{image: i}}, steps: [{{uses: a/b@v1}}, {{run: a, env: {{A: 1}}}}]}}"
    lines = "".join(f" j{n}: {body.format(n + 1)}\n" for n in range(count))
    return "jobs:\n" + lines + f" j{count}: {{runs-on: x, steps: [{{run: a}}]}}\non: push\n"


ACCEPTED = {
    "a thousand jobs that need later ones": lambda: forward_needs(1_000),
    "two hundred jobs that need later ones": lambda: forward_needs(200),
    "thousands of steps": lambda: HEAD + "  steps:\n" + "   - run: a\n" * 9_000,
    "thousands of steps with one action": lambda: HEAD + "  steps:\n" + "   - uses: a/b@v1\n" * 9_000,
    "a thousand filters that warn": lambda: "on: {push: {branches: [" + "'a[', " * 1_000 + "]}}\n" + HEAD.partition("\n")[2],
    "a thousand hasty schedules": lambda: "on: {schedule: [" + "{cron: '* * * * *'}, " * 1_000 + "]}\n" + HEAD.partition("\n")[2],
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_big_file_that_github_accepts_is_read_in_linear_time(name):
    """Many parts of a kind, or many warnings, neither refuse a file nor make its reading quadratic."""
    text = ACCEPTED[name]()

    def accept() -> None:
        workflow, _ = read("big.yml", text)
        assert workflow is not None

    assert kept(accept, BIG_MILLISECONDS_MAX, ROUNDS_MAX)
