"""YAML as GitHub reads it: the core schema of YAML 1.2, places, anchors, and limits."""

import math

import pytest

from domain.workflow.nodes import Kind, Limits, NodesError, parse, plain


def error_of(text: str, limits: Limits | None = None) -> tuple[str, int, int]:
    with pytest.raises(NodesError) as caught:
        parse(text, limits)
    return caught.value.code, caught.value.line, caught.value.column


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("null", None),
        ("~", None),
        ("", None),
        ("true", True),
        ("FALSE", False),
        ("12", 12),
        ("-0o7", "-0o7"),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.10", 1.1),
        ("1e3", 1000),
        (".5", 0.5),
        ("+.inf", math.inf),
        ("-.INF", -math.inf),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("on", "on"),
        ("yes", "yes"),
        ("Off", "Off"),
        ("2001-12-14", "2001-12-14"),
        ("inf", "inf"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("! 12", "12"),
        ("!!str 12", "12"),
        ("!!float 1", 1),
        ("!!null ~", None),
        ("!<tag:yaml.org,2002:bool> TRUE", True),
    ],
)
def test_a_scalar_is_what_the_core_schema_says(written, value):
    """Plain scalars follow YAML 1.2: no octal by a leading zero, no dates, no yes and no."""
    found = plain(parse(f"key: {written}"))["key"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read():
    """`.nan` is the number NaN."""
    assert math.isnan(plain(parse(".NaN")))


def test_huge_integers_are_doubles():
    """An integer past the exact ones is a double, up to infinity."""
    assert plain(parse("- 9007199254740993\n- " + "9" * 400)) == [9007199254740992.0, math.inf]


def test_every_node_knows_its_line_and_column():
    """Places count from 1 and name the first character of key and value."""
    root = parse("on: push\njobs:\n  a:\n    - |\n      text\n    - {b: c}\n")
    jobs = root.value[1][1]
    items = jobs.value[0][1].value
    assert [(node.line, node.column) for node in (root.value[1][0], jobs, *items)] == [(2, 1), (3, 3), (4, 7), (6, 7)]


def test_nothing_after_a_key_stands_behind_the_colon():
    """A missing value has a place as well."""
    node = parse("a:\n  image:\n").value[0][1].value[0][1]
    assert (node.kind, node.line, node.column) == (Kind.NULL, 2, 9)


def test_an_alias_repeats_its_anchor():
    """Anchors and aliases work as on GitHub; each use is a value of its own."""
    root = parse("a: &x {b: [1, 2]}\nc: *x\nd: *x\n")
    assert plain(root) == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": {"b": [1, 2]}}
    assert root.value[1][1] is not root.value[2][1]


def test_a_merge_key_is_an_ordinary_key():
    """GitHub does not merge `<<`."""
    assert plain(parse("a: &x {b: 1}\nc: {<<: *x}\n"))["c"] == {"<<": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: *x\n", ("WF006", 1, 4)),
        ("a: &x [*x]\n", ("WF006", 1, 8)),
        ("a: !!timestamp 2001-01-01\n", ("WF005", 1, 4)),
        ("a: !!bool maybe\n", ("WF005", 1, 4)),
        ("a: !!map [1]\n", ("WF005", 1, 4)),
        ("? [a]\n: b\n", ("WF017", 1, 3)),
        ("---\na: 1\n---\nb: 2\n", ("WF007", 3, 1)),
        ("a: 'open\n", ("WF001", 2, 1)),
        ("a: b: c\n", ("WF001", 1, 5)),
        ("a:\n\tb: 1\n", ("WF001", 2, 1)),
        ("ok: 1\nbad: \x00\n", ("WF001", 2, 6)),
    ],
)
def test_broken_yaml_is_refused_at_its_place(text, wanted):
    """The error names a code and the place where reading stopped."""
    assert error_of(text) == wanted


def test_depth_and_size_and_number_of_values_are_limited():
    """The limits are GitHub's by default and can be set."""
    assert error_of("[" * 60) == ("WF003", 1, 51)
    assert error_of("a: [1, 2, 3]\n", Limits(nodes_max=4)) == ("WF004", 1, 8)
    assert error_of("a: 12\n", Limits(file_bytes_max=5)) == ("WF002", 1, 1)
    assert error_of("a: é\n", Limits(file_bytes_max=5)) == ("WF002", 1, 1)


def test_an_alias_counts_as_often_as_it_is_used():
    """The number of values is that of the tree with its aliases written out."""
    text = "a: &x [1, 2, 3, 4, 5]\nb: [*x, *x, *x]\n"
    assert plain(parse(text, Limits(nodes_max=28)))["b"][2] == [1, 2, 3, 4, 5]
    assert error_of(text, Limits(nodes_max=27))[0] == "WF004"


def test_an_empty_file_is_nothing():
    """A file of comments has no value, and that is not an error of YAML."""
    assert parse("# nothing\n").kind is Kind.NULL
