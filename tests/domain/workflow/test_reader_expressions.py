"""Expressions in a workflow file are checked when it is read: syntax, contexts and functions of the place."""

import pytest

from domain.workflow.reader import read
from tests.domain.workflow.reading import accepted, job, places, refused, step


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (step("run: echo ${{ github.sha"), "WF021"),
        (step("run: echo ${{ }}"), "WF022"),
        (step('run: echo ${{ "a" }}'), "EX001"),
        (step("run: echo ${{ contains(a }}"), "EX003"),
        (step("run: echo ${{ contains('a' }}"), "EX002"),
        (step("run: echo ${{ nope.x }}"), "EX003"),
        (step("run: echo ${{ nope() }}"), "EX004"),
        (step("run: echo ${{ contains('a') }}"), "EX004"),
        (step("run: echo ${{ always() }}"), "EX004"),
        (step("run: x\nif: secrets.TOKEN != ''"), "EX003"),
        (step("run: x\nif: success('other')"), "EX004"),
        (job("if: env.A == '1'\nruns-on: x"), "EX003"),
        (job("if: steps.a.outputs.b\nruns-on: x"), "EX003"),
        (job("runs-on: ${{ secrets.LABEL }}"), "EX003"),
        (job("runs-on: x\nconcurrency: ${{ secrets.G }}"), "EX003"),
        (job("runs-on: x\nstrategy: {matrix: {a: '${{ matrix.b }}'}}"), "EX003"),
        ("name: ${{ github.sha }}\n" + job("runs-on: x"), "WF020"),
        ("on: push\njobs: ${{ github.sha }}\n", "WF020"),
        (job("runs-on: x\nneeds: ${{ github.sha }}"), "WF020"),
        (step("run: x\nid: ${{ github.sha }}"), "WF020"),
        (step("run: echo ${{ insert }}"), "WF023"),
    ],
)
def test_an_expression_that_cannot_stand_there_is_refused(text, code):
    """What GitHub would only say when a run starts, or never."""
    assert code in [each.code for each in refused(text)]


@pytest.mark.parametrize(
    "text",
    [
        step("run: echo ${{ secrets.A }} ${{ hashFiles('**/x') }} ${{ env.A }}"),
        step("run: x\nif: failure() && hashFiles('x') != ''"),
        step("run: x\nif: ${{ always() }}"),
        job("if: always() && success('a') && needs.a.result == 'success'\nruns-on: x"),
        job("runs-on: ${{ fromJSON(needs.a.outputs.x).label }}"),
        job("runs-on: x\nstrategy: ${{ fromJSON(inputs.s) }}"),
        job("runs-on: x\nenv: ${{ fromJSON(vars.E) }}"),
        job("runs-on: x\nenv:\n  ${{ insert }}: ${{ fromJSON(vars.E) }}"),
        job("runs-on: x\noutputs: {a: '${{ steps.x.outputs.y }}'}"),
        step("run: echo ${{ '}}' }}"),
        step("run: echo }} $ {{ }"),
    ],
)
def test_an_expression_that_can_stand_there_is_accepted(text):
    """Contexts and functions that GitHub documents for the key."""
    accepted(text)


def test_the_error_names_the_token_as_github_does_and_the_exact_part():
    """Line and column are those of the whole text; focus is the name itself, on its own line of a script."""
    found = refused(step("run: |\n  echo one\n  echo ${{ nope.x }} two"))
    assert [(each.line, each.column, each.focus) for each in found] == [(6, 14, (8, 20, 24))]


def test_the_exact_part_is_found_in_quotes_and_in_bare_conditions():
    """Quotes shift the column; a condition has no brackets."""
    assert refused(step('run: "a ${{ nope.x }}"'))[0].focus == (6, 21, 25)
    assert refused(step("run: x\nif: github.ref && nope.x"))[0].focus == (7, 27, 31)


def test_a_context_that_exists_elsewhere_is_told_apart_from_a_typing_error():
    """One message lists what is available, the other guesses."""
    elsewhere, typo = refused(job("if: env.A || gihub.ref\nruns-on: ${{ gihub.ref }}"))
    assert (elsewhere.message, typo.help) == ('the context "env" is not available here', 'did you mean "github"?')
    assert "github, inputs, vars, needs" in str(elsewhere.help)


def test_a_text_that_is_one_quoted_string_is_that_string():
    """`${{ 'x' }}` is allowed even where expressions are not, as on GitHub."""
    assert accepted("name: ${{ 'it''s' }}\non: push\njobs: {a: {runs-on: x}}\n").name == "it's"


def test_text_beside_the_expression_of_a_condition_is_warned_about():
    """Such a condition is a text, and so always true."""
    workflow, found = read("ci.yml", step("run: x\nif: ${{ false }} && true"))
    assert workflow is not None
    assert [(each.code, each.severity) for each in found] == [("WF403", "warning")]


def test_a_text_with_expressions_has_a_length_limit():
    """21,000 characters, counted as GitHub counts them; a script without expressions may be longer."""
    accepted(step("run: " + "x" * 60_000))
    assert places(step("run: ${{ github.sha }} " + "x" * 21_000)) == [("WF049", 6, 14)]
