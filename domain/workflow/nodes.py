"""YAML text to nodes with places: the only module that knows PyYAML.

It reads libyaml's event stream and builds its own nodes, so that the limits are checked before anything is built: a
deep file, an alias bomb or a huge one costs no more than the events up to the limit. Scalars follow the core schema of
YAML 1.2 (`on`, `yes` and dates are strings), as GitHub reads them. An alias becomes a copy of its anchor's node, so no
two parts of a tree share a node; merge keys (`<<`) are ordinary keys. It must never construct Python objects from tags.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import yaml
from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError

from domain.workflow.core_schema import CORE, TELLING, Kind, TagError, convert, resolve
from domain.workflow.tree import Node, duplicate, plain, walk

__all__ = ["DEPTH_MAX", "FILE_BYTES_MAX", "NODES_MAX", "Kind", "Limits", "Node", "NodesError", "duplicate", "parse", "plain", "walk"]

FILE_BYTES_MAX = 1024 * 1024
DEPTH_MAX = 50
NODES_MAX = 50_000
LOOK_NODES = 2_000
"""After each so many nodes whoever reads a big file may look whether it is worth to go on."""
LOOK_REST_NODES = 7_000
"""A look costs as much as reading so many nodes: it is left out where the rest, at its density so far, has not more."""


_JUST_BEGUN = 16
"""An open mapping with fewer keys may still get those that say what it is."""


Look = Callable[[Node, int], None]
"""Is shown what is read so far and how many nodes that are; must not change them; what it raises ends the reading."""


class NodesError(Exception):
    """The text is no YAML that GitHub reads. code: the diagnostic's; line and column from 1."""

    def __init__(self, code: str, message: str, line: int = 1, column: int = 1, because: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line
        self.column = column
        self.because = because


class Limits(msgspec.Struct, frozen=True):
    """What a file may cost; the defaults are GitHub's."""

    file_bytes_max: int = FILE_BYTES_MAX
    depth_max: int = DEPTH_MAX
    nodes_max: int = NODES_MAX


_COLLECTION_TAGS = {None: "", "!": "", CORE + "seq": "seq", CORE + "map": "map"}


def parse(text: str, limits: Limits | None = None, look: Look | None = None) -> Node:
    """The root node of `text`; raises NodesError. An empty file is a null node at 1:1.

    look: is shown what is read, after each LOOK_NODES nodes.
    """
    limits = limits or Limits()
    size = len(text) if len(text) > limits.file_bytes_max or text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > limits.file_bytes_max:
        raise NodesError("WF002", f"the file is larger than {limits.file_bytes_max:,} bytes", because=f"it has {size:,} bytes")
    try:
        return _Builder(text, limits, look).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise NodesError("WF001", f"not valid YAML: {error.problem}", line, column, because=error.context) from None
    except YAMLError as error:
        raise _unreadable(text, error) from None
    except UnicodeEncodeError:
        raise NodesError("WF001", "not valid YAML: the file holds half of a surrogate pair, which is no character") from None


def _unreadable(text: str, error: YAMLError) -> NodesError:
    """A character that YAML forbids: libyaml names an offset only, so it is turned into a place here."""
    position = getattr(error, "position", None)
    if not isinstance(position, int):
        return NodesError("WF001", f"not valid YAML: {error}")
    before = text.encode("utf-8", "surrogatepass")[:position].decode("utf-8", "ignore")
    column = len(before) - (before.rfind("\n") + 1) + 1
    character = getattr(error, "character", 0)
    shown = f"U+{character:04X}" if isinstance(character, int) else repr(character)
    return NodesError("WF001", f"not valid YAML: the character {shown} is not allowed", before.count("\n") + 1, column)


class _Builder:
    """Events to nodes, within limits. One use per text."""

    def __init__(self, text: str, limits: Limits, look: Look | None) -> None:
        self._parser = CParser(text)
        self._length = len(text)
        self._look = look
        self._limits = limits
        self._anchors: dict[str, Node | None] = {}

    def document(self) -> Node:
        """The only document of the stream."""
        parser = self._parser
        try:
            next_event = parser.get_event
            next_event()  # the start of the stream
            event = next_event()
            if isinstance(event, yaml.StreamEndEvent):
                return Node(Kind.NULL, None, 1, 1, 1, 1)
            root = self._tree(next_event)
            if self._anchors:
                root = duplicate(root)  # only now, when the tree with all its aliases is known to be within the limits
            next_event()  # the end of the document
            event = next_event()
            if isinstance(event, yaml.DocumentStartEvent):
                mark: Any = event.start_mark
                raise NodesError("WF007", "a workflow file holds one document, and here begins a second", mark.line + 1, mark.column + 1)
            return root
        finally:
            parser.dispose()

    def _tree(self, next_event: Any) -> Node:
        """Builds the nodes from events; an own stack, so that depth costs no recursion."""
        nodes_max, depth_max, anchors = self._limits.nodes_max, self._limits.depth_max, self._anchors
        scalar_event, alias_event, sequence_start, mapping_start = (
            yaml.ScalarEvent,
            yaml.AliasEvent,
            yaml.SequenceStartEvent,
            yaml.MappingStartEvent,
        )
        stack: list[tuple[Node, Node | None, str | None, int]] = []
        parent: Node | None = None
        key: Node | None = None
        count, length = 0, self._length
        look_at = LOOK_NODES if self._look is not None else nodes_max
        while True:
            event = next_event()
            kind = type(event)
            mark = event.start_mark
            if kind is scalar_event:
                node = _scalar(event, mark)
                count += 1
                if event.anchor is not None:
                    anchors[event.anchor] = node
            elif kind is sequence_start or kind is mapping_start:
                if len(stack) >= depth_max:
                    raise NodesError("WF003", f"nested deeper than {depth_max} levels", mark.line + 1, mark.column + 1)
                is_map = kind is mapping_start
                _check_collection_tag(event, is_map=is_map)
                end = event.end_mark
                node = Node(Kind.MAPPING if is_map else Kind.SEQUENCE, [], mark.line + 1, mark.column + 1, end.line + 1, end.column + 1)
                count += 1
                if event.anchor is not None:
                    anchors[event.anchor] = None
                if count > nodes_max:
                    raise _too_many(nodes_max, mark)
                stack.append((node, key, event.anchor, count))
                parent, key = node, None
                continue
            elif kind is alias_event:
                node = self._alias(event.anchor, mark)
                count += node.weight
                if count > nodes_max:
                    raise _too_many(nodes_max, mark)
            else:  # the end of a collection
                node, key, anchor, count_before = stack.pop()
                node.end_line, node.end_column = mark.line + 1, mark.column + 1
                node.weight = count - count_before + 1
                if anchor is not None:
                    anchors[anchor] = node
                parent = stack[-1][0] if stack else None
            if count > nodes_max:
                raise _too_many(nodes_max, mark)
            if parent is None:
                return node
            if count > look_at:
                look_at += LOOK_NODES
                if self._look is not None and (length - mark.index) * count > LOOK_REST_NODES * mark.index:
                    self._look(_so_far(stack), count)
            if parent.kind is Kind.SEQUENCE:
                parent.value.append(node)
            elif key is None:
                key = node
                if node.kind >= Kind.SEQUENCE:
                    raise NodesError("WF017", "a key must be a single value, not a list or a mapping", node.line, node.column)
            else:
                parent.value.append((key, node))
                key = None

    def _alias(self, name: str, mark: Any) -> Node:
        if name not in self._anchors:
            raise NodesError("WF006", f'the alias "*{name}" has no anchor "&{name}" before it', mark.line + 1, mark.column + 1)
        node = self._anchors[name]
        if node is None:
            raise NodesError("WF006", f'the alias "*{name}" stands inside its own anchor', mark.line + 1, mark.column + 1)
        return node


def _so_far(stack: list[tuple[Node, Node | None, str | None, int]]) -> Node:
    """The root with what stands in the open collections; only these are new nodes.

    An innermost mapping has just begun and would be misjudged, so it is left out.
    """
    made: Node | None = None
    pending: Node | None = None
    for depth in range(len(stack) - 1, -1, -1):
        node, key, _, _ = stack[depth]
        content = list(node.value)
        if made is not None and node.kind is Kind.SEQUENCE:
            content.append(made)
        elif made is not None and pending is not None:
            content.append((pending, made))
        if depth == len(stack) - 1 and depth > 0 and node.kind is Kind.MAPPING and len(content) < _JUST_BEGUN:
            continue
        made = Node(node.kind, content, node.line, node.column, node.end_line, node.end_column, node.style)
        pending = key
    assert made is not None  # noqa: S101 - the root is among the open ones
    return made


def _too_many(nodes_max: int, mark: Any) -> NodesError:
    return NodesError(
        "WF004",
        f"more than {nodes_max:,} values",
        mark.line + 1,
        mark.column + 1,
        because="an alias counts as often as it is used",
    )


def _check_collection_tag(event: Any, *, is_map: bool) -> None:
    kind = _COLLECTION_TAGS.get(event.tag)
    if kind is None or kind == ("seq" if is_map else "map"):
        raise NodesError("WF005", f"the tag {event.tag!r} is not supported", event.start_mark.line + 1, event.start_mark.column + 1)


def _scalar(event: Any, mark: Any) -> Node:
    """A scalar event as a node; plain ones are resolved, tagged ones converted."""
    value: str = event.value
    end = event.end_mark
    style = event.style
    tag = event.tag
    kind, content = Kind.STRING, value
    if tag is None:
        if not style and (not value or value[0] in TELLING):
            kind, content = resolve(value)
    elif tag != "!":
        try:
            kind, content = convert(tag, value)
        except TagError as error:
            because = "only !!str, !!int, !!float, !!bool and !!null can be written"
            raise NodesError("WF005", str(error), mark.line + 1, mark.column + 1, because) from None
    return Node(kind, content, mark.line + 1, mark.column + 1, end.line + 1, end.column + 1, style or "")
