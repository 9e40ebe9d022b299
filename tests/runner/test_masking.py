"""Masking beyond the public vectors: every form of a random secret, whole lines and lines that are cut."""

import base64
import json
import shlex
import urllib.parse
from xml.sax.saxutils import escape

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.lines import LINE_CHARACTERS_MAX, LineSplitter
from runner.masking import Masker

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=12, max_size=40)
FORMS = {
    "plain": lambda text: text,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "url": urllib.parse.quote,
    "url all": lambda text: urllib.parse.quote(text, safe=""),
    "form": urllib.parse.quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json utf-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "xml": escape,
    "shell": lambda text: shlex.quote(text).strip("'") if "'" not in text else shlex.quote(text)[1:-1],
}


@given(SECRETS, st.sampled_from(sorted(FORMS)), st.text(max_size=20), st.text(max_size=20))
def test_no_form_of_a_secret_leaves(secret: str, form: str, before: str, after: str) -> None:
    """Whatever stands around it."""
    shown = FORMS[form](secret)
    assert shown not in Masker([secret]).mask(before + shown + after)


@given(SECRETS, st.binary(max_size=7), st.binary(max_size=7))
def test_a_secret_inside_a_longer_base64_text_leaves_only_its_edges(secret: str, before: bytes, after: bytes) -> None:
    """Of three alignments each; what stays are the characters that hold bits of the neighbours too."""
    masked = Masker([secret]).mask(base64.b64encode(before + secret.encode() + after).decode())
    assert "***" in masked
    assert len(masked.replace("***", "")) <= len(before + after) * 4 / 3 + 8


@settings(max_examples=30)
@given(SECRETS, st.integers(0, 3 * LINE_CHARACTERS_MAX), st.lists(st.integers(1_000, 20_000), min_size=1, max_size=12))
def test_a_secret_in_an_endless_line_is_masked_wherever_the_line_is_cut(secret: str, place: int, chunks: list[int]) -> None:
    """The line has no newline and arrives in chunks of any size."""
    masker = Masker([secret])
    splitter = LineSplitter(masker.cut, lambda: masker.longest)
    data = ("." * place + secret + "." * (2 * LINE_CHARACTERS_MAX)).encode()
    lines: list[str] = []
    at = 0
    for size in chunks * (len(data) // sum(chunks) + 1):
        lines += splitter.feed(data[at : at + size])
        at += size
    lines += splitter.end()
    assert max(map(len, lines)) <= LINE_CHARACTERS_MAX + len(secret)
    assert secret not in "".join(masker.mask(line) for line in lines)
    assert "".join(lines) == data.decode()


@given(st.lists(st.sampled_from([b"a\n", b"b\r\n", b"c\rd\n", b"\xff\n", "ü\n".encode(), b"\n"]), max_size=20), st.integers(1, 7))
def test_chunks_do_not_change_the_lines(parts: list[bytes], size: int) -> None:
    """However the pipe cuts them: line ends, half characters, bytes that are no UTF-8."""
    data = b"".join(parts)
    whole = LineSplitter(lambda _text, limit: limit, lambda: 0)
    expected = whole.feed(data) + whole.end()
    pieces = LineSplitter(lambda _text, limit: limit, lambda: 0)
    found: list[str] = []
    for at in range(0, len(data), size):
        found += pieces.feed(data[at : at + size])
    assert found + pieces.end() == expected
    assert "\ufffd" in expected if b"\xff\n" in parts else "\ufffd" not in expected


def test_lines_that_overlap_or_touch_become_one_mask() -> None:
    """Two secrets that share characters leave none of them."""
    assert Masker(["abcdef", "defghi"]).mask("xabcdefghix") == "x***x"
    assert Masker(["abc", "def"]).mask("abcdef") == "***"


def test_each_line_of_a_secret_of_several_lines_is_masked() -> None:
    """A private key is printed line by line."""
    masker = Masker(["-----BEGIN\nMIIEvQ\r\nAbCdEf\n-----END"])
    assert [masker.mask(line) for line in ("-----BEGIN", "MIIEvQ", "xAbCdEf")] == ["***", "***", "x***"]


def test_white_space_is_no_secret() -> None:
    """Or every log would be stars."""
    assert Masker(["", " ", "\n\n"]).mask("a b") == "a b"
