"""Finds and names what was changed behind the log's back: the rows, the stored tree and what is kept outside, held together.

    1. What is kept outside the database is proved by the signed checkpoints: whoever owns the database cannot make them.
    2. The tree in the database is compared with it, entry by entry; without such a copy only its roots with the checkpoints,
       which names the events between two checkpoints.
    3. The rows of the log are compared with the entries: the proved ones as far as they go, then those of the tree.

Pure: it is given rows, entries and checkpoints, wherever they come from. Everything is read once, in order, a piece at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from uuid import UUID

import msgspec

from domain.transparency import entry
from domain.transparency.checkpoints import Signed
from domain.transparency.entry import Entry, Row
from domain.transparency.merkle import Frontier, leaf_hash

FINDINGS_MAX = 1000

Entries = Callable[[int], Iterable[bytes]]
"""Gives the entries from an index on, 64 bytes each."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What does not hold. check: "changed", "moved", "dropped" or "added" (rows), "tree", "root", "outside" or "size".

    position, stream, version: of the event as it was; through: the last position, where only a range is known.
    """

    check: str
    message: str
    position: int | None = None
    through: int | None = None
    stream: UUID | None = None
    version: int | None = None


class Report(msgspec.Struct, frozen=True):
    """What was found. events: how many rows were read; in_tree: how many of them the tree holds; more: findings that are not listed.

    covered: up to which position a checkpoint proves them, 0 for none.
    """

    events: int
    in_tree: int
    covered: int
    findings: tuple[Finding, ...]
    more: int = 0


class _Findings:
    def __init__(self) -> None:
        self.listed: list[Finding] = []
        self.more = 0

    def add(self, finding: Finding) -> None:
        if len(self.listed) < FINDINGS_MAX:
            self.listed.append(finding)
        else:
            self.more += 1


def verify(rows: Iterable[Row], tree: Entries, outside: Entries, checkpoints: Sequence[Signed]) -> Report:
    """Hold everything together. outside: gives nothing where no copy is at hand; checkpoints: whose signatures hold."""
    found = _Findings()
    ordered = sorted(checkpoints, key=lambda each: each.size)
    proved = _proved(outside, ordered, found)
    covered = _compare_trees(tree, outside, proved, ordered, found)
    events, in_tree = _compare_rows(rows, chain(islice(outside(0), proved), tree(proved)), found)
    return Report(events, in_tree, covered, tuple(found.listed), found.more)


def _proved(outside: Entries, checkpoints: Sequence[Signed], found: _Findings) -> int:
    """How many entries outside the checkpoints prove: as many as the last checkpoint covers that they lead to."""
    proved = last = 0
    for checkpoint, root, position in _roots(outside(0), checkpoints):
        if root is None:
            break
        if root != checkpoint.root:
            found.add(
                Finding(
                    "outside",
                    f"the copy outside the database is not what the checkpoint of {checkpoint.size} events says",
                    position=last + 1,
                    through=position,
                )
            )
            break
        proved, last = checkpoint.size, position
    return proved


def _roots(entries: Iterable[bytes], checkpoints: Sequence[Signed]) -> Iterator[tuple[Signed, bytes | None, int]]:
    """For each checkpoint the root that the entries lead to, None where there are fewer, and the position of the last one."""
    frontier, position, source = Frontier(), 0, iter(entries)
    for checkpoint in checkpoints:
        for content in islice(source, checkpoint.size - frontier.size):
            frontier.add(leaf_hash(content))
            position = int.from_bytes(content[:8])
        yield checkpoint, frontier.root() if frontier.size == checkpoint.size else None, position


def _compare_trees(tree: Entries, outside: Entries, proved: int, checkpoints: Sequence[Signed], found: _Findings) -> int:
    """The tree against what is proved outside, and its roots against the checkpoints beyond. Returns the position that is covered."""
    covered = next((each.position for each in reversed(checkpoints) if each.size <= proved), 0)
    size, located = 0, False
    for kept, stored in zip(islice(outside(0), proved), tree(0), strict=False):
        size += 1
        if kept != stored:
            was, located = entry.decode(kept), True
            message = f"the tree in the database says otherwise than the copy outside: {_difference(was, entry.decode(stored))}"
            found.add(Finding("tree", message, was.position, None, was.stream, was.version))
    if size < proved:
        found.add(Finding("size", f"the tree in the database ends after {size} events; {proved} are proved outside"))
        return covered
    if located or not checkpoints or checkpoints[-1].size <= proved:
        return covered
    last = 0
    for checkpoint, root, position in _roots(tree(0), checkpoints):
        if root is None:
            message = f"the tree in the database has fewer than the {checkpoint.size} events of a checkpoint: the log was cut off"
            found.add(Finding("size", message, last + 1, checkpoint.position))
            break
        if root != checkpoint.root:
            message = f"the tree in the database is not that of the checkpoint of {checkpoint.size} events: it was written anew"
            found.add(Finding("root", message, last + 1, checkpoint.position))
            break
        last = covered = position
    return covered


def _compare_rows(rows: Iterable[Row], entries: Iterable[bytes], found: _Findings) -> tuple[int, int]:
    """The log against the entries, both in the order of positions. Returns how many rows there are, and how many of them are entered."""
    odd: list[tuple[Entry, Entry]] = []
    events = beyond = reached = 0
    source = iter(entries)
    expected = next(source, None)
    for row in rows:
        events += 1
        position, content = row[0], entry.encode(row)
        while expected is not None and int.from_bytes(expected[:8]) < position:
            found.add(_dropped(entry.decode(expected)))
            expected = next(source, None)
        if expected is None and position > reached:
            beyond += 1
        elif expected == content:
            expected = next(source, None)
        elif expected is not None and int.from_bytes(expected[:8]) == position:
            odd.append((entry.decode(expected), entry.decode(content)))
            expected = next(source, None)
        else:
            found.add(Finding("added", "no such event was in the log", position, None, row[1], row[2]))
        reached = max(reached, position)
    while expected is not None:
        found.add(_dropped(entry.decode(expected)))
        expected = next(source, None)
    origins = {(was.stream, was.version, was.digest): was.position for was, _ in odd}
    for was, now in odd:
        from_position = origins.get((now.stream, now.version, now.digest))
        check = "moved" if from_position is not None or (was.stream, was.version) != (now.stream, now.version) else "changed"
        said = f"it holds the event of position {from_position}" if from_position is not None else _difference(was, now)
        found.add(Finding(check, said, was.position, None, was.stream, was.version))
    return events, events - beyond


def _dropped(was: Entry) -> Finding:
    return Finding("dropped", "the event is not in the log any more", was.position, None, was.stream, was.version)


def _difference(was: Entry, now: Entry) -> str:
    if was.position != now.position:
        return f"position {now.position} stands where position {was.position} stood"
    if (was.stream, was.version) != (now.stream, now.version):
        return f"it was version {was.version} of stream {was.stream}, and is version {now.version} of stream {now.stream}"
    return "its type, payload or envelope is not what it was"
