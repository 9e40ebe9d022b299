"""The expression language as its users meet it: values, names, functions, errors and limits."""

from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.workflow.expressions import ExpressionError, check, evaluate

CONTEXTS = {
    "github": {"ref": "refs/heads/main", "event": {"labels": [{"name": "bug"}, {"other": 1}, {"name": "ci"}], "number": 7}},
    "matrix": {"os": "linux", "list": [1, "2", None, ["x"]]},
    "env": {"EMPTY": "", "PATH": "upper", "path": "lower"},
    "needs": {"build": {"result": "success", "outputs": {}}},
}


def value(text, **functions):
    return evaluate(text, CONTEXTS, functions)


def refusal(text, **functions):
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, CONTEXTS, functions)
    return caught.value


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", None),
        ("'it''s ''quoted'''", "it's 'quoted'"),
        ("github.event.number", 7.0),
        ("GITHUB.Event['LABELS'][0].NAME", "bug"),
        ("github.event.labels[1.9].other", 1.0),
        ("github.event.labels[9]", None),
        ("github.event.labels.*.name", ["bug", "ci"]),
        ("github.event.labels.*.name[0]", []),
        ("matrix.list[3].*", ["x"]),
        ("matrix.os.nothing.here", None),
        ("needs.build.result == 'SUCCESS' && github.ref", "refs/heads/main"),
        ("env.empty || matrix.os", "linux"),
        ("1 < 2 == true", True),
        ("!matrix.os", False),
        ("contains(github.event.labels.*.name, 'BUG')", True),
        ("format('{1}{{0}}{0}', 1, true)", "true{0}1"),
        ("join(matrix.list, '-')", "1-2--Array"),
        ('toJSON(fromJSON(\'{"a":[],"b":{"c":1e21}}\'))', '{\n  "a": [],\n  "b": {\n    "c": 1e+21\n  }\n}'),
        ("toJSON(NaN)", "null"),
        ('fromJSON(\'{"k":1,"K":2}\').K', 1.0),
        ("case(false, 1, matrix.os == 'linux', 2, 3)", 2.0),
    ],
)
def test_expressions_have_github_values(text, wanted):
    """Each feature of the language gives the value that GitHub gives."""
    assert value(text) == wanted


def test_an_exact_spelling_wins_over_another_case():
    """On Linux `env` may hold names that differ only in case: what is written is what is found."""
    assert value("env.PATH") == "upper"
    assert value("env.path") == "lower"


def test_objects_that_come_and_go_keep_their_own_spellings():
    """Each object is searched without case by its own keys, also when it lies where a dropped one lay."""
    text = " && ".join(f"make({number}).kEY{number} == {number}" for number in range(100))
    assert value(text, make=lambda number: {f"Key{int(number)}": number}) is True


def test_contexts_may_be_any_mapping():
    """A mapping that is not a dict serves as a context and inside one."""
    contexts = MappingProxyType({"GitHub": MappingProxyType({"Ref": "main"})})
    assert evaluate("github.REF == 'main' && toJSON(github)", contexts) == '{\n  "Ref": "main"\n}'


def test_a_name_outside_the_contexts_is_a_parsing_error_even_where_it_is_never_reached():
    """The first unknown name is reported with its place, before a syntax error that stands right of it."""
    error = refusal("false && secrets.token")
    assert (error.phase, error.position) == ("parsing", 10)
    assert error.message == "Unrecognized named-value: 'secrets'. Located at position 10 within expression: false && secrets.token"
    assert refusal("secrets.token ]").position == 1


@pytest.mark.parametrize(
    ("text", "phase", "position", "message"),
    [
        ("1 == @x", "lexing", 6, "Unexpected symbol: '@x'"),
        ("'open", "lexing", 1, "Unexpected symbol: ''open'"),
        ("'\U0001f600' == @", "lexing", 9, "Unexpected symbol: '@'"),
        ("1 +", "lexing", 3, "Unexpected symbol: '+'"),
        ("github.", "parsing", 7, "Unexpected end of expression: '.'"),
        ("(github", "parsing", 2, "Unexpected end of expression: 'github'"),
        ("github[0", "parsing", 8, "Unexpected end of expression: '0'"),
        ("github.ref github", "parsing", 12, "Unexpected symbol: 'github'"),
        ("'a'[0]", "parsing", 4, "Unexpected symbol: '['"),
        ("nothing()", "parsing", 1, "Unrecognized function: 'nothing'"),
        ("contains('a')", "parsing", 1, "Too few parameters supplied: 'contains'"),
        ("join('a', 'b', 'c')", "parsing", 1, "Too many parameters supplied: 'join'"),
        ("case(true, 1)", "parsing", 1, "Too few parameters supplied: 'case'"),
        ("fromJSON('')", "evaluation", None, "empty input"),
        ("fromJSON('[1,]')", "evaluation", None, "Error parsing JSON when evaluating fromJson"),
        ("fromJSON('NaN')", "evaluation", None, "Error parsing JSON when evaluating fromJson"),
        ("format('{1}', 0)", "evaluation", None, "The following format string references more arguments than were supplied: {1}"),
        ("case('x', 1, 2)", "evaluation", None, "case predicate must evaluate to a boolean value"),
    ],
)
def test_errors_name_phase_and_place(text, phase, position, message):
    """An error says in GitHub's words what is wrong, and where as GitHub counts."""
    error = refusal(text)
    assert (error.phase, error.position) == (phase, position)
    assert error.message.startswith(message)


def test_functions_are_handed_in_and_may_stand_in_for_built_in_ones():
    """A function of the caller is found without case, gets Python values, and wins over a built-in one."""
    given_to = []
    assert value("HASHFILES('a', matrix.list)", hashFiles=lambda *patterns: given_to.extend(patterns) or "digest") == "digest"
    assert given_to == ["a", CONTEXTS["matrix"]["list"]]
    assert value("toJSON(1)", tojson=lambda _: "mine") == "mine"
    assert refusal("success()").message.startswith("Unrecognized function: 'success'")


def test_a_function_that_is_handed_in_says_how_many_arguments_it_takes():
    """A step's success() takes none, a job's takes job ids: each refuses the other's call before it runs."""
    assert refusal("success('build')", success=lambda: True).message.startswith("Too many parameters supplied: 'success'")
    assert value("success('build')", success=lambda *jobs: jobs == ("build",)) is True
    assert refusal("hashFiles()", hashFiles=lambda *_: "").message.startswith("Too few parameters supplied: 'hashFiles'")


def test_checking_needs_only_names():
    """Before a run the names of contexts and functions suffice to find what `evaluate` would refuse, and what is used."""
    parsed = check("success() && github.ref == needs.a.b", ["github", "needs"], ["success"])
    assert [name.text for name in parsed.names] == ["success", "github", "needs"]
    with pytest.raises(ExpressionError, match="Unrecognized named-value: 'needs'"):
        check("github.ref == needs.a", ["github"])


def test_depth_counts_nesting_and_not_length():
    """Fifty levels are allowed; a chain of operators is one level however long it is."""
    assert value("!" * 48 + "true") is True
    assert refusal("!" * 50 + "true").message.startswith("Exceeded max expression depth 50")
    assert value("==".join(["1"] * 5_001)) is True
    assert value("||".join(["0"] * 5_000 + ["'end'"])) == "end"
    assert value("(" * 49 + "1" + ")" * 49) == 1


def test_length_is_limited():
    """21,000 UTF-16 units are read, one more is not."""
    assert value(f"'{'x' * 20_998}'") == "x" * 20_998
    assert refusal(f"'{'x' * 20_999}'").message.startswith("Exceeded max expression length 21000")
    assert refusal(f"'{chr(0x1F600) * 10_500}'").phase == "lexing"


@pytest.mark.parametrize(
    "text",
    [
        "format('{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}'," * 7 + "'0123456789'" + ")" * 7,
        "toJSON(" * 40 + "'\"'" + ")" * 40,
        "toJSON(github.big)",
        "join(github.items, github.big)",
        "!(" + " && ".join(["github.items.*"] * 900) + ")",
    ],
)
def test_values_that_grow_without_measure_are_refused(text):
    """What an expression builds is bounded, however it builds it."""
    with pytest.raises(ExpressionError, match="The maximum allowed memory size was exceeded"):
        evaluate(text, {"github": {"big": "x" * 600_000, "items": list(range(1_000))}})


def test_memory_is_given_back_when_a_text_is_no_longer_needed():
    """Only what is alive at one moment counts: many large texts in a row are fine where two at once are not."""
    contexts = {"github": {"big": "x" * 300_000}}
    alone = "startsWith(format('{0}', github.big), 'x')"
    assert evaluate(" && ".join([alone] * 10), contexts) is True
    with pytest.raises(ExpressionError, match="memory"):
        evaluate("startsWith(format('{0}', github.big), format('{0}', github.big))", contexts)


@pytest.mark.parametrize("text", ["contains(github.items, 'x')", "contains(github.big, 'y')", "github.big == 'y'", "github.big < 5"])
def test_work_is_bounded(text):
    """An expression that looks at a large value over and over is ended with an error."""
    contexts = {"github": {"big": "9" * 500_000, "items": list(range(50_000))}}
    with pytest.raises(ExpressionError, match="takes too long"):
        evaluate(" || ".join([f"{text} == 'no'"] * 400), contexts)


def test_nesting_of_values_is_bounded():
    """A value deeper than a hundred levels is an error, not a crash, whether it is read or written."""
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested more than 100 levels"):
        evaluate("toJSON(github)", {"github": deep})
    with pytest.raises(ExpressionError, match="nested more than 100 levels"):
        evaluate(f"fromJSON('{'[' * 9_000}{']' * 9_000}')")
    assert evaluate(f"toJSON(fromJSON('{'[' * 90}{']' * 90}')) != ''") is True


def test_half_a_surrogate_pair_never_gets_in():
    """JSON can name a character that no store could take; it is replaced, a whole pair is kept."""
    assert evaluate(r"""fromJSON('{"k":["\ud800x","\ud83d\ude00"]}').k""") == ["\ufffdx", "\U0001f600"]


OPERANDS = ["github", "github.ref", "matrix.list", "env", "needs.*.result", "1", "-0", "0x1F", "NaN", "null", "''", "'a'", "'{0}'", "'[1]'"]
SIGNS = ["==", "!=", "<", ">=", "&&", "||", "!", "(", ")", "[", "]", ".", ",", "*", ".name", "[0]", "[*]", " ", "\n", "'", "@", "\u00e9"]
CALLS = ["contains(", "startsWith(", "endsWith(", "format(", "join(", "toJSON(", "fromJSON(", "case(", "success()", "nothing("]
WORDS = st.sampled_from(OPERANDS + SIGNS + CALLS)


@settings(max_examples=1_500)
@given(st.lists(WORDS, max_size=25).map("".join) | st.text(max_size=40))
def test_no_text_whatever_does_more_than_fail(text):
    """Any text has a value or gives an ExpressionError whose position lies within it, and the same one again."""
    first, again = outcome(text), outcome(text)
    assert repr(first) == repr(again)
    if isinstance(first, tuple) and first[1] is not None:
        assert 1 <= first[1] <= 2 * len(text) + 1


def outcome(text):
    """The value of a text in a list, or the message and the position of its error."""
    try:
        return [value(text, success=lambda: True)]
    except ExpressionError as error:
        return error.message, error.position


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_json_goes_out_and_comes_back(whole):
    """What toJSON writes fromJSON reads: nothing is lost but keys that differ only in case."""
    text = evaluate("toJSON(env.x)", {"env": {"x": whole}})
    again = evaluate("toJSON(fromJSON(env.x))", {"env": {"x": text}})
    assert evaluate("toJSON(fromJSON(env.x))", {"env": {"x": again}}) == again
    if "{" not in text:
        assert again == text
