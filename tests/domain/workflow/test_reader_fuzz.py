"""Whatever the text, the reader answers with a workflow or with findings that have a place; it never raises."""

import random

import msgspec

from domain.workflow import plan, support, triggers
from domain.workflow.diagnostics import human
from domain.workflow.model import Workflow
from domain.workflow.reader import read

TEXTS = 2_000
SEED = 20_261_121
BASE = """name: CI
on:
  push: {branches: [main, 'v*'], paths-ignore: ['**.md']}
  schedule: [{cron: '0 3 * * 1'}]
  workflow_dispatch:
    inputs: {level: {type: choice, options: [low, high]}}
env: &shared {A: 1, B: two}
jobs:
  build:
    strategy: {matrix: {os: [a, b], include: [{os: a, x: 1}]}}
    runs-on: ${{ matrix.os }}
    outputs: {sum: "${{ steps.one.outputs.sum }}"}
    steps:
      - {id: one, run: echo}
      - name: Two ${{ matrix.os }}
        if: github.ref == 'refs/heads/main' && always()
        env: *shared
        run: |
          echo ${{ env.A }}
  test:
    needs: [build]
    if: ${{ needs.build.result == 'success' }}
    runs-on: [self-hosted, linux]
    timeout-minutes: 5
    steps: [{uses: actions/checkout@v4}]
"""
PIECES = (
    *("${{", "}}", "&a ", "*a", "!!", "- ", "? ", "[", "{", "}", "\t", "\n", "'", '"', "|", ">", "#", ": ", "~", "<<: *shared", "null"),
    *("\u2028", "\x85", "\ufeff", "\U0001f600", "${{ insert }}: x", "on", "true", "1e999", "0x", "\x7f"),
)


def mutated(chance: random.Random) -> str:
    """The base text with one or two random insertions, deletions or copies."""
    text = BASE
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(len(text) + 1)
        match chance.randrange(3):
            case 0:
                text = text[:at] + chance.choice(PIECES) + text[at:]
            case 1:
                text = text[:at] + text[at + chance.randint(1, 40) :]
            case _:
                start = chance.randrange(len(text) + 1)
                text = text[:at] + text[start : start + 60] + text[at:]
    return text


def test_no_text_makes_the_reader_raise():
    """Accepted ones also survive storing, matching and planning."""
    chance = random.Random(SEED)
    accepted = 0
    for _ in range(TEXTS):
        text = mutated(chance)
        workflow, found = read("fuzz.yml", text)
        assert all(each.line >= 1 and each.column >= 1 and human(each, text) for each in found), text
        if workflow is None:
            assert any(each.severity == "error" for each in found), text
            continue
        accepted += 1
        assert msgspec.json.decode(msgspec.json.encode(workflow), type=Workflow) == workflow, text
        support.unsupported(workflow)
        for event in workflow.on:
            triggers.match(workflow, event, ref="refs/heads/main", payload={}, changed_paths=["a.py"])
        for node in plan.nodes(workflow):
            plan.expand(workflow, node.key, {"github": {}, "inputs": {}, "vars": {}, "needs": {}}, {})
    assert TEXTS / 20 < accepted < TEXTS  # both answers were seen often
