"""Texts with `${{ }}`, conditions, and what a condition leaves behind for `why`."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.job.events import Trace
from domain.workflow.expressions import ExpressionError, condition, condition_expression, interpolate, trace, trace_condition
from domain.workflow.templates import parts
from domain.workflow.trace import TRACES_MAX

CONTEXTS = {"github": {"ref": "main", "token": "t0ken", "event": {"n": 7}}, "secrets": {"key": "s3cret"}, "env": {"flag": False}}


def given_success(success):
    return {"success": lambda: success, "failure": lambda: not success, "always": lambda: True, "cancelled": lambda: False}


def test_a_text_without_brackets_is_returned_as_it_is():
    """Nothing is read, copied or trimmed where there is nothing to evaluate."""
    text = "  $ {{ }} { ref } "
    assert interpolate(text) is text


def test_one_expression_keeps_its_type():
    """The value of a text that is one expression is not printed."""
    assert interpolate("${{ github.event }}", CONTEXTS) == {"n": 7}
    assert interpolate("${{github.event.n}}", CONTEXTS) == 7.0
    assert interpolate("${{ env.flag }}", CONTEXTS) is False


def test_expressions_among_other_characters_are_printed():
    """A single blank beside the brackets makes the whole a string; objects print as their kind."""
    assert interpolate("${{ github.event.n }} ", CONTEXTS) == "7 "
    assert interpolate("a${{ github.ref }}${{ null }}${{ true }}{${{ github }}}", CONTEXTS) == "amaintrue{Object}"


def test_brackets_inside_quotes_do_not_close():
    """`}}` ends an expression only outside of a string."""
    assert interpolate("${{ '}}' }}${{ 'it''s }}' }}") == "}}it's }}"


@pytest.mark.parametrize(("text", "position"), [("a ${{ github.ref", 3), ("${{ ok }} ${{ 'x }}", 11), ("${{ }}", 1)])
def test_brackets_that_hold_nothing_or_do_not_close_are_refused(text, position):
    """The place is that of the opening bracket within the text."""
    with pytest.raises(ExpressionError) as caught:
        parts(text)
    assert (caught.value.phase, caught.value.position) == ("parsing", position)


def test_parts_know_where_they_stand():
    """Each expression comes with the offset of its first character, so that an error finds its column in the file."""
    text = "run ${{  github.ref }}!"
    assert [(part.text, part.is_expression) for part in parts(text)] == [("run ", False), ("github.ref", True), ("!", False)]
    assert text[parts(text)[1].start :].startswith("github.ref")


@given(st.lists(st.text(alphabet="ab {}'$", max_size=5) | st.just("${{ 'x' }}"), max_size=5).map("".join))
def test_parts_cover_the_whole_text(text):
    """Whatever the text, it either has parts whose literals add up to it, or an error."""
    try:
        found = parts(text)
    except ExpressionError:
        return
    assert sum(len(part.text) for part in found if not part.is_expression) <= len(text)
    assert all(text.startswith(part.text, part.start) for part in found)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", "success()"),
        ("  ", "success()"),
        ("github.ref == 'x'", "success() && (github.ref == 'x')"),
        ("${{ github.ref || 1 }}", "success() && (github.ref || 1)"),
        ("${{ always() }}", "always()"),
        ("!CANCELLED() && github.ref", "!CANCELLED() && github.ref"),
        ("github.ref == 'always()'", "success() && (github.ref == 'always()')"),
        ("${{ github.ref }} == 'it'", "success() && (format('{0} == ''it''', github.ref))"),
        ("1 ==", "1 =="),
    ],
)
def test_conditions_ask_for_success_unless_they_ask_for_a_status(written, meant):
    """What stands in a string or is misspelt is no status function."""
    assert condition_expression(written) == meant


def test_a_condition_holds_or_not():
    """A condition is the truth of its expression, under success() by default."""
    assert condition("", CONTEXTS, given_success(True)) is True
    assert condition("github.ref", CONTEXTS, given_success(False)) is False
    assert condition("failure() && github.ref == 'MAIN'", CONTEXTS, given_success(False)) is True
    assert condition("${{ false }} && x", CONTEXTS, given_success(True)) is True, "a string is true, on GitHub too"


def test_a_trace_says_what_each_part_came_to():
    """Parts are listed in the order of evaluation; what short-circuiting left out does not appear."""
    value, traces = trace_condition("github.ref == 'x' && contains(github.event, 1)", CONTEXTS, given_success(True))
    assert value is False
    assert traces == (
        Trace(text="success()", value="true"),
        Trace(text="github.ref", value='"main"'),
        Trace(text="github.ref == 'x'", value="false"),
        Trace(text="(github.ref == 'x' && contains(github.event, 1))", value="false"),
        Trace(text="success() && (github.ref == 'x' && contains(github.event, 1))", value="false"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "secrets.key",
        "toJSON(secrets)",
        "secrets.*",
        "github.token",
        "GITHUB['Token']",
        "toJSON(github)",
        "github.*",
        "github[format('to{0}', 'ken')]",
        "github.ref && secrets.key",
    ],
)
def test_a_trace_never_holds_a_secret(text):
    """Events are for ever: a value that could carry a secret is shown as stars, although the evaluation used it."""
    _, traces = trace(text, CONTEXTS)
    assert "s3cret" not in repr(traces)
    assert "t0ken" not in repr(traces)
    assert traces[-1].value == '"***"'


def test_a_trace_shows_whether_a_secret_is_set():
    """A comparison with a secret gives true or false, which tells nothing of it."""
    assert trace("secrets.key != ''", CONTEXTS)[1][-1] == Trace(text="secrets.key != ''", value="true")


def test_a_trace_is_bounded():
    """Neither many parts nor long values make a long event, and what remains is JSON."""
    contexts = {"github": {f"k{index}": "x" * 10_000 for index in range(100)}, "env": {"o": {"a": ["y" * 1_000]}, "t": '"' * 300}}
    text = " && ".join(f"github.k{index}" for index in range(100))
    _, traces = trace(text, contexts)
    assert len(traces) == TRACES_MAX
    assert all(len(one.text) <= 200 and len(one.value) <= 500 for one in traces)
    _, (shown, quotes, _) = trace("env.o && env.t", contexts)
    assert shown.value == '"(too long to show)"'
    assert len(msgspec.json.decode(quotes.value)) == 200
