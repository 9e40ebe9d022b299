"""The pattern language under branches, tags and paths."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.workflow.filters import PatternError, compile_pattern, deciding, ignored, included


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("main", ["main"], ["Main", "main/x", "xmain"]),
        ("*", ["main", "a.b", ""], ["a/b"]),
        ("**", ["main", "a/b", ""], []),
        ("feature/*", ["feature/x", "feature/"], ["feature/x/y", "feature"]),
        ("feature/**", ["feature/x", "feature/x/y"], ["feature"]),
        ("**/README.md", ["README.md", "js/README.md", "a/b/README.md"], ["xREADME.md", "README.mdx"]),
        ("docs/**/*.md", ["docs/a.md", "docs/b/c/d.md"], ["docs.md", "x/docs/a.md", "docs/a.txt"]),
        ("**/docs/**", ["docs/a", "x/docs/a/b"], ["docs", "mydocs/a"]),
        ("**.js", ["a.js", "b/c.js"], ["a.jsx"]),
        ("*.jsx?", ["page.js", "page.jsx"], ["a/page.js", "page.jsxx"]),
        ("v[12].[0-9]+.[0-9]+", ["v1.10.1", "v2.0.0"], ["v3.0.0", "v1..1", "v1.1."]),
        ("[CB]at", ["Cat", "Bat"], ["cat", "at"]),
        ("[a-cX-Z]+", ["abcX", "Y"], ["", "abd"]),
        ("ab?c", ["abc", "ac"], ["abbc"]),
        ("ab+c", ["abc", "abbc"], ["ac"]),
        ("a+?", ["", "a", "aaa"], ["b"]),
        ("+1", ["+1"], ["1", "11"]),
        ("a\\*b\\\\", ["a*b\\"], ["axb\\"]),
        ("\\!x", ["!x"], ["x"]),
        ("a**/b", ["a/b", "ax/y/b"], ["ab"]),
        (".yml", [".yml"], ["fyml"]),
    ],
)
def test_patterns_match_as_github_documents(pattern, names, others):
    """Each rule of the documentation, with names that fit and names that nearly do."""
    compiled = compile_pattern(pattern)
    assert [name for name in names if not compiled.matches(name)] == []
    assert [name for name in others if compiled.matches(name)] == []


def test_the_last_pattern_that_matches_decides():
    """A negation takes back what stands before it, and a later pattern may bring it back."""
    patterns = ["releases/**", "!releases/**-alpha", "releases/keep-alpha"]
    assert included(patterns, ["releases/10"])
    assert not included(patterns, ["releases/10-alpha"])
    assert included(patterns, ["releases/keep-alpha"])
    assert deciding(patterns, "releases/10-alpha") == "!releases/**-alpha"
    assert deciding(patterns, "main") is None


def test_one_included_path_runs_the_workflow_and_only_ignored_paths_skip_it():
    """`paths` wants one match, `paths-ignore` wants all of them."""
    assert included(["src/**"], ["docs/a", "src/a"])
    assert not included(["src/**"], ["docs/a"])
    assert ignored(["docs/**"], ["docs/a", "docs/b"])
    assert not ignored(["docs/**"], ["docs/a", "src/a"])
    assert not ignored(["docs/**", "!docs/keep"], ["docs/keep"])


def test_without_patterns_nothing_is_filtered_and_without_names_everything_is():
    """No filter lets everything through; an event without a changed file passes none."""
    assert included([], ["x"])
    assert not ignored([], ["x"])
    assert not included(["**"], [])
    assert ignored(["x"], [])


def test_negations_alone_include_nothing():
    """GitHub wants a positive pattern beside a negative one: without it nothing is chosen."""
    assert not included(["!docs/**"], ["src/a"])


@pytest.mark.parametrize(
    ("pattern", "position", "message"),
    [
        ("a[bc", 2, "Missing closing bracket"),
        ("a[]", 2, "hold no character"),
        ("[a_]", 3, "only hold a-z, A-Z and 0-9"),
        ("x[a-]", 4, "only hold a-z, A-Z and 0-9"),
        ("![z-a]", 3, "'z-a' runs backwards"),
        ("a\\", 2, "Missing symbol after"),
    ],
)
def test_a_pattern_that_says_nothing_is_refused_with_its_place(pattern, position, message):
    """The error names the pattern and the character at fault, counted from 1 with the `!`."""
    with pytest.raises(PatternError, match=re.escape(f"position {position} within pattern: {pattern}")) as caught:
        compile_pattern(pattern)
    assert message in caught.value.message
    assert caught.value.position == position


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b", "a?" * 300 + "a" * 300, "**a*" * 20 + "c", "a+" * 200 + "b"])
def test_no_name_makes_a_pattern_slow(pattern):
    """Patterns that take a backtracking matcher years are decided in one pass over the name."""
    assert not compile_pattern(pattern).matches("a" * 250 + "x" + "a" * 50)


def as_expression(pattern: str) -> str:
    """The pattern as a regular expression: exact, and slow where matching must not be."""
    return "".join(
        r"(?:[\s\S]*/)?" if token == "**/" else r"[\s\S]*" if token == "**" else "[^/]*" if token == "*" else re.escape(token)
        for token in re.findall(r"(?:(?<=/)|^)\*\*/|\*\*|\*|[^*]", pattern)
    )


@settings(max_examples=500)
@given(st.text(alphabet="ab/*", max_size=7), st.text(alphabet="ab/", max_size=9))
def test_stars_mean_what_a_regular_expression_says(pattern, name):
    """On short patterns the walk over positions agrees with backtracking."""
    assert compile_pattern(pattern).matches(name) == bool(re.fullmatch(as_expression(pattern), name))


@given(st.text(alphabet="ab?+", max_size=6).filter(lambda text: not re.search(r"^[?+]|[?+]{2}", text)), st.text(alphabet="ab", max_size=8))
def test_optional_and_repeated_characters_mean_what_a_regular_expression_says(pattern, name):
    """`?` and `+` are those of regular expressions where those know them."""
    assert compile_pattern(pattern).matches(name) == bool(re.fullmatch(pattern, name))


@given(st.text(max_size=12))
def test_every_text_is_a_pattern_or_is_refused(pattern):
    """Nothing but PatternError comes out, and a text without special characters matches itself."""
    try:
        compiled = compile_pattern(pattern)
    except PatternError as refused:
        within = 1 <= refused.position <= len(pattern)
    else:
        within = bool(re.search(r"[*?+!\[\\]", pattern)) or compiled.matches(pattern)
    assert within
