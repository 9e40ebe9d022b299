"""The matrix as GitHub expands it: order, exclude, include, names, identity, limits."""

import pytest

from domain.workflow.matrix import MatrixError, display_name, expand, instance_text, size_at_least
from tests.yardstick import kept


def test_axes_are_crossed_with_the_first_one_slowest():
    """The order of the file is the order of the jobs."""
    assert expand({"v": [10, 12], "os": ["a", "b"]}) == [
        {"v": 10, "os": "a"},
        {"v": 10, "os": "b"},
        {"v": 12, "os": "a"},
        {"v": 12, "os": "b"},
    ]


def test_exclude_drops_what_has_all_its_values():
    """An entry may name some of the axes; values compare as `==` does."""
    matrix = {"v": [1, 2], "os": ["Linux", "mac"], "exclude": [{"v": "1", "os": "linux"}, {"os": "mac", "v": 2}]}
    assert expand(matrix) == [{"v": 1, "os": "mac"}, {"v": 2, "os": "Linux"}]
    assert expand({"v": [1, 2], "os": ["a", "b"], "exclude": [{"v": 1}]}) == [{"v": 2, "os": "a"}, {"v": 2, "os": "b"}]
    assert expand({"v": [1], "exclude": [{"other": 1}, {}]}) == [{"v": 1}]


def test_include_follows_the_example_of_githubs_documentation():
    """Added where nothing of the original is overwritten, else a combination of its own."""
    matrix = {
        "fruit": ["apple", "pear"],
        "animal": ["cat", "dog"],
        "include": [
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    }
    assert expand(matrix) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_include_alone_makes_one_job_an_entry():
    """Without axes there is nothing to add to."""
    assert expand({"include": [{"site": "a"}, {"site": "b", "x": 1}]}) == [{"site": "a"}, {"site": "b", "x": 1}]


def test_include_is_not_excluded():
    """Entries of include come after exclude, and brings combinations back."""
    assert expand({"v": [1, 2], "exclude": [{"v": 1}], "include": [{"v": 1, "again": True}]}) == [{"v": 2}, {"v": 1, "again": True}]


def test_mappings_as_values_match_in_part():
    """An exclude entry may name some keys of a value that is a mapping."""
    matrix = {"node": [{"version": 14}, {"version": 20, "env": "x"}], "exclude": [{"node": {"version": 20}}]}
    assert expand(matrix) == [{"node": {"version": 14}}]


@pytest.mark.parametrize(
    ("matrix", "code"),
    [
        ({"os": []}, "WF101"),
        ({}, "WF101"),
        ([], "WF101"),
        ("text", "WF101"),
        (None, "WF101"),
        ({"os": "linux"}, "WF101"),
        ({"include": [1]}, "WF101"),
        ({"exclude": {}}, "WF101"),
        ({"v": [1], "exclude": [{"v": 1}]}, "WF101"),
        ({"a": list(range(257))}, "WF100"),
        ({"include": [{"a": n} for n in range(257)]}, "WF100"),
        ({name: list(range(10)) for name in "abcdef"}, "WF100"),
        ({**{name: list(range(10)) for name in "abcdef"}, "exclude": [{"a": 1}]}, "WF100"),
    ],
)
def test_a_matrix_that_makes_no_or_too_many_jobs_is_an_error(matrix, code):
    """And is found before work is done: a million combinations cost as much as three."""

    def refuse() -> None:
        with pytest.raises(MatrixError) as caught:
            expand(matrix)
        assert caught.value.code == code

    assert kept(refuse, 50)


def test_exactly_256_jobs_are_allowed():
    """GitHub's limit, with include counted."""
    assert len(expand({"a": list(range(16)), "b": list(range(16))})) == 256
    with pytest.raises(MatrixError):
        expand({"a": list(range(16)), "b": list(range(16)), "include": [{"a": 99}]})


def test_the_size_of_a_matrix_as_written_is_a_lower_bound():
    """Expressions count as one value, or make the size unknown."""
    assert size_at_least({"a": [1, 2], "b": "${{ fromJSON(x) }}"}) == 2
    assert size_at_least("${{ x }}") == 0
    assert size_at_least({"a": list(range(300)), "exclude": "${{ x }}"}) == 0
    assert size_at_least({"a": list(range(300)), "exclude": [{"a": n} for n in range(100)]}) == 200


def test_the_name_lists_the_values():
    """All single values in order, nothing empty, at most 100 characters."""
    assert display_name("build", {"os": "linux", "v": 1.5, "x": {"deep": [True, None]}, "y": ""}) == "build (linux, 1.5, true)"
    assert display_name("build", {}) == "build"
    long = display_name("build", {"a": "x" * 200})
    assert (len(long), long[-3:]) == (100, "...")


def test_the_identity_of_a_combination_does_not_depend_on_the_order():
    """Sorted keys, no blanks, text as it is."""
    assert instance_text({"b": 1, "a": "ö"}) == instance_text({"a": "ö", "b": 1}) == '{"a":"ö","b":1}'
    assert instance_text({}) == ""
