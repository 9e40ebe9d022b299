"""Scripts into which a stranger's text is pasted are named; what only compares it, or takes it by env, is not."""

import pytest

from domain.workflow.reader import read, read_action
from domain.workflow.taint import flowing
from tests.domain.workflow.reading import FILE, accepted, step


def warned(text: str) -> list[tuple[int, int]]:
    """The places of WF501 in an accepted text."""
    accepted(text)
    return [each.place for each in read(FILE, text)[1] if each.code == "WF501" and each.severity == "warning"]


@pytest.mark.parametrize(
    "expression",
    [
        "github.event.issue.title",
        "github.head_ref",
        "GITHUB.Event['pull_request'].body",
        "github.event.commits[0].message",
        "github.event.commits.*.author.name",
        "join(github.event.commits.*.message, ' ')",
        "toJSON(github.event)",
        "toJSON(github)",
        "format('{0}', github.event.comment.body)",
        "github.event.review.body || 'none'",
        "github.ref == 'x' && github.head_ref",
        "case(true, github.head_ref, 'x')",
        "github.event.client_payload.anything.below",
        "github.event[matrix.key].title",
    ],
)
def test_a_strangers_text_in_a_script_is_warned_of(expression):
    """At the expression, wherever its value comes from."""
    assert warned(step(f"run: echo ${{{{ {expression} }}}}")) == [(6, 23)]


@pytest.mark.parametrize(
    "expression",
    [
        "github.ref",
        "github.sha",
        "github.event.number",
        "github.event.pull_request.number",
        "github.event.pull_request.base.ref",
        "github.event.repository.full_name",
        "contains(github.event.issue.title, 'x')",
        "github.event.issue.title == 'x'",
        "!github.head_ref",
        "github.head_ref && 'branch'",
        "case(github.head_ref == 'x', 'a', 'b')",
        "env.TITLE",
    ],
)
def test_what_no_stranger_decides_is_not_warned_of(expression):
    """Tests of an untrusted value give true or false, which are harmless."""
    assert warned(step(f"run: echo ${{{{ {expression} }}}}")) == []


def test_env_is_the_way_to_pass_such_a_value():
    """The shell's own variable is data."""
    assert warned(step('run: echo "$TITLE"\nenv: {TITLE: "${{ github.event.issue.title }}"}')) == []


def test_a_value_that_passed_through_env_is_still_followed():
    """`${{ env.TITLE }}` pastes it all the same, until a nearer env gives the name another value."""
    env = 'env: {TITLE: "${{ github.event.issue.title }}"}\n'
    assert warned(env + step("run: echo ${{ env.title }}")) == [(7, 23)]
    assert warned(env + step("run: echo ${{ env.title }}\nenv: {TITLE: fixed}")) == []


WRITES = [
    'echo "t=$TITLE" >> "$GITHUB_OUTPUT"',
    'echo "t=${TITLE}" >> $GITHUB_OUTPUT',
    "echo 't=${{ github.head_ref }}' >> $GITHUB_OUTPUT",
    "printf 't=%s' \"$TITLE\" >> $GITHUB_OUTPUT",
    'echo "::set-output name=t::$TITLE"',
    'echo "t<<EOF" >> $GITHUB_OUTPUT\necho "$TITLE" >> $GITHUB_OUTPUT\necho EOF >> $GITHUB_OUTPUT',
    '{ echo "a=1"\n  echo "t=$TITLE"\n} >> "$GITHUB_OUTPUT"',
]


def through(script: str, pastes: str) -> str:
    """A workflow whose job `a` writes an output from a title and pastes; job `b` needs it and pastes its output."""
    indented = script.replace("\n", "\n          ")
    return f"""on: push
jobs:
  b:
    needs: a
    runs-on: x
    steps:
      - run: echo ${{{{ needs.a.outputs.T }}}}
  a:
    runs-on: x
    outputs: {{T: "${{{{ steps.say.outputs.t }}}}"}}
    steps:
      - id: say
        run: |
          {indented}
        env: {{TITLE: "${{{{ github.event.issue.title }}}}"}}
      - run: echo {pastes}
"""


@pytest.mark.parametrize("script", WRITES)
def test_outputs_of_steps_and_jobs_are_followed(script):
    """From a script that plainly writes the text to an output, to whoever pastes it, whichever job stands first."""
    text = through(script, "${{ steps.Say.outputs.t }}")
    last = len(text.split("\n")) - 1
    assert [line for line, _ in warned(text) if line in (7, last)] == [7, last]


@pytest.mark.parametrize(
    "script",
    [
        'echo "t=fixed" >> "$GITHUB_OUTPUT"',
        'echo "$TITLE"',
        'echo "other=$TITLE" >> "$GITHUB_OUTPUT"',
        'echo "t=$(wc -c < x)" >> $GITHUB_OUTPUT',
    ],
)
def test_other_outputs_are_not_warned_of(script):
    """Only what the text goes into."""
    assert warned(through(script, "${{ steps.say.outputs.t }}")) == []


def test_a_variable_that_a_script_exports_is_followed():
    """GITHUB_ENV makes it a variable of later steps, whose expression pastes it; the shell's own variable is data."""
    text = through('echo "LATER=$TITLE" >> "$GITHUB_ENV"', '${{ env.LATER }} "$LATER"')
    assert [line for line, _ in warned(text)] == [len(text.split("\n")) - 1]


def test_scripts_of_github_script_are_looked_at():
    """Its input is JavaScript; inputs of other actions are data."""
    text = "uses: {}@v7\nwith: {{script: \"log('${{{{ github.head_ref }}}}')\"}}"
    assert len(warned(step(text.format("actions/github-script")))) == 1
    assert warned(step(text.format("actions/other"))) == []


def test_an_option_makes_it_an_error():
    """With `deny` the file is refused, and the help says what to write instead."""
    workflow, found = read(
        FILE, step("run: echo ${{ github.head_ref }}"), options={"untrusted-values": "deny", "experimental-features": {}}
    )
    assert workflow is None
    assert [(each.code, each.severity, each.place) for each in found] == [("WF501", "error", (6, 23))]
    assert 'env: {HEAD_REF: "${{ github.head_ref }}"}, then "$HEAD_REF"' in (found[0].help or "")


def test_composite_actions_are_looked_at_too():
    """An action that pastes is as dangerous as a workflow that does."""
    text = "runs: {using: composite, steps: [{run: 'echo ${{ github.head_ref }}', shell: sh}]}\n"
    assert [each.code for each in read_action("action.yml", text)[1]] == ["WF501"]


def test_the_paths_that_flow_into_a_value_are_found():
    """Names are folded, and a computed key stands for any."""
    assert flowing("A.b['C'][d] || e.*") == (("a", "b", "c", "*"), ("e", "*"))
