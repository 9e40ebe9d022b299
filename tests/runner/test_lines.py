"""Bytes to log lines: the same lines however the bytes come, and the same output whether lines come alone or together."""

import random
from collections.abc import Sequence

import pytest

from runner.lines import LINE_CHARACTERS_MAX, LineSplitter
from runner.masking import Masker
from runner.step_output import StepOutput

WORDS = (
    "plain",
    "",
    "  ::notice::told",
    "a::b",
    "::add-mask::hidden",
    "so hidden",
    "##[warning]w",
    "\u00fc\u20ac",
    "::stop-commands::t0k",
    "::t0k::",
)
ENDS = (b"\n", b"\r\n", b"\r")


def splitter() -> LineSplitter:
    """One without secrets."""
    return LineSplitter(lambda _text, limit: limit, lambda: 0)


def test_lines_do_not_depend_on_where_the_bytes_are_cut() -> None:
    """LF, CR LF and CR end a line, wherever a chunk ends; what is no UTF-8 stays within its line."""
    chance = random.Random(7)
    for _ in range(300):
        parts = [
            (chance.choice(("a", "\u00fc\u20ac", "", "b c")).encode() + chance.choice((b"", b"\xff", b"\xe2\x82")), chance.choice(ENDS))
            for _ in range(20)
        ]
        data = b"".join(text + end for text, end in parts) + b"rest"
        whole = splitter()
        expected = whole.feed(data) + whole.end()
        fed, found = splitter(), []
        while data:
            size = chance.randrange(1, 9)
            found += fed.feed(data[:size])
            data = data[size:]
        assert found + fed.end() == expected
        assert expected[-1] == "rest"


@pytest.mark.parametrize("text", ["\u00fc", "\u20ac", "\U0001f600"])
def test_a_piece_of_a_long_line_never_ends_inside_of_a_character(text: str) -> None:
    """Wherever the line is cut because of its length, and wherever in a character the chunk ends that makes it too long."""
    character = text.encode()
    for before in range(LINE_CHARACTERS_MAX - 6, LINE_CHARACTERS_MAX + 2):
        for cut in range(1, len(character) + 1):
            made = splitter()
            pieces = made.feed(b"a" * before + character[:cut]) + made.feed(character[cut:] + b"b" * 9) + made.end()
            assert "".join(pieces) == "a" * before + text + "b" * 9, (before, cut)


def test_a_line_that_ends_with_a_carriage_return_is_there_at_once() -> None:
    """Progress that is never ended by a newline is seen while it goes on; only the last CR may be half of a CR LF."""
    lines = splitter()
    assert lines.feed(b"10 %\r20 %\r30 %\r") == ["10 %", "20 %"]
    assert lines.feed(b"\n") == ["30 %"]
    assert lines.end() == []


def said(lines: Sequence[str | list[str]]) -> tuple[list[str], dict[str, str]]:
    """What a step's output becomes; a list of lines comes together."""
    found: list[str] = []
    output = StepOutput(Masker(["sword"]), lambda _stream, *texts: found.extend(texts), {}, show_debug=False)
    for together in lines:
        if isinstance(together, str):
            output.line("stdout", together)
        else:
            output.lines("stdout", together)
    return found, output.outputs


def test_lines_that_come_together_become_what_they_would_alone() -> None:
    """Commands act on the lines after them, masks hold from then on, and nothing changes its place."""
    chance = random.Random(11)
    for _ in range(500):
        words = [chance.choice((*WORDS, "a sword", "::set-output name=x::1")) for _ in range(12)]
        cut = chance.randrange(13)
        assert said([words[:cut], words[cut:]]) == said(words)
