"""Coercions and comparison: JavaScript's, except that strings have no case and objects are never coerced."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.workflow.values import at_most, equals, fold, kind, less, number_text, parse_number, to_text, truthy

PRIMITIVES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.sampled_from(["1", " 0x1F ", "-0", "NaN"])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        ("  ", 0),
        (" 12 ", 12),
        ("+1.5", 1.5),
        (".5", 0.5),
        ("5.", 5),
        ("1e3", 1000),
        ("1E-2", 0.01),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b101", 5),
        ("1e999", math.inf),
        ("-Infinity", -math.inf),
        ("\ufeff7\u00a0", 7),
    ],
)
def test_texts_that_are_numbers(text, number):
    """Every way of writing a number that GitHub reads is read."""
    assert parse_number(text) == number


@pytest.mark.parametrize(
    "text", ["abc", "1_000", "inf", "nan", "infinity", "-0x1", "0x", "0o8", "1e", ".", "--1", "1 2", "\u0661", "\x1c1"]
)
def test_texts_that_are_no_numbers(text):
    """What Python's float would read and GitHub would not is NaN."""
    assert math.isnan(parse_number(text))


def test_a_million_digits_are_read_in_linear_time():
    """A long run of digits gives the nearest double although only its head is looked at closely."""
    assert parse_number("1" + "0" * 1_000_000) == math.inf
    assert parse_number("0." + "3" * 1_000_000) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (-0.0, "0"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (0.000001, "0.000001"),
        (1e-7, "1e-7"),
        (-1234.5, "-1234.5"),
        (math.inf, "Infinity"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_are_laid_out_as_in_javascript(number, text):
    """The exponent appears where JavaScript writes it, not where Python does."""
    assert number_text(number) == text


def test_printed_numbers_have_fifteen_decimal_places_with_halves_rounded_up():
    """`0.1 + 0.2` prints as 0.3, a tie goes away from zero, and what is smaller than half the last place is zero."""
    assert to_text(0.30000000000000004) == "0.3"
    assert to_text(0.0000152587890625) == "0.000015258789063"
    assert to_text(1e-16) == "0"


@pytest.mark.parametrize(("value", "text"), [(None, ""), (True, "true"), (3, "3"), ([], "Array"), ((1,), "Array"), ({}, "Object")])
def test_every_kind_has_a_text(value, text):
    """Arrays and objects print as the names of their kinds."""
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (None, 0),
        (False, 0),
        ("", 0),
        ("", False),
        (" 1 ", True),
        ("1", 1),
        ("abc", "ABC"),
        ("\u03c2", "\u03a3"),
        ("stra\u00dfe", "STRASSE"),
        (None, None),
    ],
)
def test_values_that_are_equal_after_coercion(left, right):
    """Kinds are coerced to numbers, strings lose their case; both sides may change places."""
    assert equals(left, right)
    assert equals(right, left)


@pytest.mark.parametrize(
    ("left", "right"), [(math.nan, math.nan), ("a", 0), ("i", "\u0130"), ("\u0131", "I"), ([], []), ({}, {}), ("", []), (None, {})]
)
def test_values_that_are_not_equal(left, right):
    """NaN equals nothing, the dotless i has no upper case, and two arrays are two."""
    assert not equals(left, right)


def test_an_array_equals_itself():
    """Arrays and objects are compared by identity."""
    value = [1]
    assert equals(value, value)
    assert at_most(value, value)
    assert not less(value, value)


def test_strings_are_ordered_by_utf16_units():
    """A character beyond the basic plane stands before U+FFFF, as its first half does."""
    assert less("\U0001f600", "\uffff")
    assert less("A", "[")
    assert less("a", "[")


@given(PRIMITIVES, PRIMITIVES)
def test_order_and_equality_exclude_each_other(left, right):
    """At most one of less, equal and greater holds, and `<=` is less or equal."""
    assert less(left, right) + equals(left, right) + less(right, left) <= 1
    assert at_most(left, right) == (less(left, right) or equals(left, right))


@given(st.floats(allow_nan=False))
def test_a_number_survives_its_text(number):
    """The text of a number reads back as the same number."""
    assert parse_number(number_text(number)) == number


@given(st.text())
def test_folding_twice_changes_nothing_more(text):
    """The form for comparison is a fixed point."""
    assert fold(fold(text)) == fold(text)


@given(PRIMITIVES)
def test_a_value_is_true_unless_it_is_empty(value):
    """Only null, false, 0, NaN and the empty string are false."""
    assert truthy(value) is not (value in (None, False, 0, "") or (isinstance(value, float) and math.isnan(value)))
    assert kind(value) in {"Null", "Boolean", "Number", "String"}
