"""action.yml of all kinds: what is read, what is refused and where."""

import pytest

from domain.workflow.reader import read_action
from tests.domain.workflow.test_reader_shared import shared

COMPOSITE = """name: Greet
inputs:
  who: {description: Whom, required: true, default: "${{ github.actor }}"}
outputs:
  said: {description: What, value: "${{ steps.say.outputs.said }}"}
runs:
  using: composite
  steps:
    - {id: say, run: "echo ${{ inputs.who }}", shell: bash}
    - uses: actions/checkout@v4
      if: always()
"""


def refused(text: str) -> list[tuple[str, int, int]]:
    action, found = read_action("action.yml", text)
    assert action is None
    return [(each.code, each.line, each.column) for each in found]


def test_a_composite_action_has_steps_inputs_and_outputs():
    """Steps get ids as those of workflows do."""
    action, found = read_action("action.yml", COMPOSITE)
    assert found == []
    assert action is not None
    assert (action.runs.kind, [step.id for step in action.runs.steps]) == ("composite", ["say", "__actions_checkout"])
    assert (action.inputs["who"].required, action.inputs["who"].default) == (True, "${{ github.actor }}")
    assert action.outputs["said"].value == "${{ steps.say.outputs.said }}"


def test_a_node_action_has_scripts_before_and_after():
    """Without conditions both always run."""
    action, _ = read_action("action.yml", "name: a\nruns: {using: node24, main: m.js, pre: p.js, post: q.js, post-if: failure()}\n")
    assert action is not None
    runs = action.runs
    assert (runs.kind, runs.before, runs.before_if, runs.main, runs.after, runs.after_if) == (
        *("node", "p.js", "always()", "m.js", "q.js", "failure()"),
    )


def test_a_docker_action_has_an_image_and_arguments():
    """Arguments and environment can name inputs."""
    text = "runs: {using: docker, image: Dockerfile, args: ['${{ inputs.a }}'], env: {A: 1}, entrypoint: e.sh}\n"
    action, found = read_action("action.yml", text)
    assert action is not None, found
    assert (action.runs.image, action.runs.args, action.runs.env, action.runs.main) == (
        "Dockerfile",
        ("${{ inputs.a }}",),
        {"A": "1"},
        "e.sh",
    )


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", [("WF008", 1, 1)]),
        ("name: a\n", [("WF012", 1, 1)]),
        ("runs: {}\n", [("WF012", 1, 7)]),
        ("runs: {using: node99, main: a}\n", [("WF052", 1, 15)]),
        ("runs: {using: node24}\n", [("WF012", 1, 7)]),
        ("runs: {using: node24, main: a, image: b}\n", [("WF014", 1, 32)]),
        ("runs: {using: composite, steps: [{run: a}]}\n", [("WF012", 1, 34)]),
        ("runs: {using: docker, image: a, env: {A: '${{ github.ref }}'}}\n", [("EX003", 1, 42)]),
        ("runs: {using: composite, steps: [{run: '${{ secrets.A }}', shell: sh}]}\n", [("EX003", 1, 40)]),
        ("inputs: {a: 1}\nruns: {using: node24, main: a}\n", [("WF015", 1, 13)]),
        ("runs: [\n", [("WF001", 2, 1)]),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text, places):
    """One finding each, at the value that is meant."""
    assert refused(text) == places


BROKEN = {
    "composite_action_without_using_token.yml": "WF012",
    "dockerfileaction_env_invalid_context.yml": "EX003",
}
SCHEMA_EXCEPTIONS = {"composite-run-steps.json": "it gives one id to two steps, and the second would hide the first's outputs"}


def action_verdicts() -> dict[str, list[str]]:
    """Of each shared action file the codes of its errors."""
    files = sorted(shared("runner-vectors/actions").iterdir())
    return {file.name: [each.code for each in read_action(file.name, file.read_text(encoding="utf-8"))[1]] for file in files}


def test_the_runners_own_action_files_get_its_verdict():
    """All 22, of which two are broken."""
    verdicts = action_verdicts()
    assert len(verdicts) == 22
    assert {name: codes for name, codes in verdicts.items() if codes} == {name: [code] for name, code in BROKEN.items()}


def schema_verdicts(folder: str, *, valid: bool) -> tuple[int, set[str]]:
    """How many action files a folder of the schema has, and which get another verdict."""
    files = sorted(shared(f"schemastore/src/{folder}/github-action").iterdir())
    return len(files), {
        file.name for file in files if (read_action(file.name, file.read_text(encoding="utf-8"))[0] is not None) is not valid
    }


@pytest.mark.parametrize(("folder", "valid"), [("test", True), ("negative_test", False)])
def test_the_action_examples_of_the_public_schema_get_their_verdict(folder, valid):
    """Valid and invalid files of the schema that editors use."""
    _, wrong = schema_verdicts(folder, valid=valid)
    assert wrong == (set(SCHEMA_EXCEPTIONS) if valid else set())
