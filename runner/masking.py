"""Replaces secrets by `***`, in every form in which a log usually shows them, before a line leaves the runner.

The forms are those of GitHub's runner (as it is, base64 at three offsets, JSON, URL, XML, quoted, PowerShell) and what
it misses: hex, base64url, the inner part of a base64 text that goes on, shell quoting, each line of a secret of several
lines. A secret that a program reverses, splits or encrypts is not found: masking is a net under the tightrope, no wall.

`Masker(secrets).mask(line)` is a stable door (contract.md). It must never be applied after a line was cut: `cut` says
where a long text can be cut without splitting a secret.
"""

import base64
import json
import re
import shlex
import urllib.parse
from collections.abc import Iterable
from xml.sax.saxutils import escape

MASK = "***"
ALPHABET_MIN = 8
"""Parts of an encoded secret that are shorter than this stay: they would hide half of every log."""
POWERSHELL_MIN = 6
TRIM_MIN = 9


def inner_base64(data: bytes) -> set[str]:
    """What stays the same when the secret stands in the middle of a longer base64 text, for its three alignments."""
    found: set[str] = set()
    for shift in range(3):
        bits = (len(data) - shift) * 8
        text = base64.b64encode(data[shift:]).decode()[: bits // 6] if bits > 0 else ""
        if len(text) >= ALPHABET_MIN:
            found.add(text)
    return found


def powershell(secret: str) -> set[str]:
    """The two sections into which PowerShell's error output breaks a value that holds an ampersand."""
    if "&" not in secret:
        return set()
    at = secret.index("&+") + 2 if "&+" in secret else secret.rindex("&") + 1
    return {part for part in (secret[:at], secret[at:]) if len(part) >= POWERSHELL_MIN}


def forms(secret: str) -> set[str]:
    """Every text that gives the secret away."""
    data = secret.encode("utf-8", "surrogateescape")
    found = {secret, secret.replace("'", "''"), secret.replace('"', '\\"'), secret.replace("'", "'\\''")}
    for shift in range(3):
        if len(data) > shift:
            found.add(base64.b64encode(data[shift:]).decode())
    found |= inner_base64(data)
    found |= {
        text.replace("+", "-").replace("/", "_") for text in found if len(text) >= ALPHABET_MIN and re.fullmatch(r"[A-Za-z0-9+/]+=*", text)
    }
    found |= {data.hex(), data.hex().upper()} if len(data) * 2 >= ALPHABET_MIN else set()
    found |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    percent = urllib.parse.quote(data, safe="-_.~")
    found |= {percent, urllib.parse.quote(data), urllib.parse.quote(data, safe="-_.~!*'()"), urllib.parse.quote_plus(data)}
    found.add(re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), percent))
    found |= {escape(secret), escape(secret, {'"': "&quot;", "'": "&apos;"}), escape(secret, {'"': "&quot;", "'": "&#39;"})}
    found |= powershell(secret)
    if any(character in secret for character in " '\"\\$"):
        found.add(shlex.quote(secret)[1:-1])
        found.add(re.sub(r"([^A-Za-z0-9_\-.,:/@%+=\n])", r"\\\1", secret))
    if len(secret) >= TRIM_MIN and secret[0] == secret[-1] == '"':
        found.add(secret[1:-1])
    return {form for form in found if form.strip()}


class Masker:
    """A growing set of secrets."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.patterns: set[str] = set()
        self.seeds: list[str] = []
        """Some of the patterns: each pattern holds one of them, so a text without these has nothing to hide."""
        self.known: set[str] = set()
        self.longest = 0
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Mask this value, and each of its lines, from now on. White space alone is no secret."""
        for value in (secret, *re.split(r"[\r\n]+", secret)):
            if value.strip() and value not in self.known:
                self.known.add(value)
                for form in sorted(forms(value), key=len):
                    self.patterns.add(form)
                    self.longest = max(self.longest, len(form))
                    if not any(seed in form for seed in self.seeds):
                        self.seeds.append(form)

    def finds(self, text: str) -> bool:
        """Whether there is a secret in the text. Looking for each in turn is several times as fast as one regular expression."""
        return any(seed in text for seed in self.seeds)

    def ranges(self, text: str) -> list[tuple[int, int]]:
        """Where secrets stand: sorted, those that overlap or touch merged into one."""
        if not self.finds(text):
            return []
        found: list[tuple[int, int]] = []
        for form in self.patterns:
            at = text.find(form)
            while at >= 0:
                found.append((at, at + len(form)))
                at = text.find(form, at + 1)
        found.sort()
        merged: list[tuple[int, int]] = []
        for start, end in found:
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def mask(self, line: str) -> str:
        """The line with every secret replaced by `***`."""
        ranges = self.ranges(line)
        if not ranges:
            return line
        parts: list[str] = []
        at = 0
        for start, end in ranges:
            parts += (line[at:start], MASK)
            at = end
        parts.append(line[at:])
        return "".join(parts)

    def cut(self, text: str, limit: int) -> int:
        """The place nearest to `limit` where a text that goes on may be cut; text holds `limit + longest` characters."""
        for start, end in self.ranges(text):
            if start < limit < end:
                return start or end
        return limit
