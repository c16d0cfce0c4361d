"""YAML text -> a tree of nodes that know their lines. No value is guessed, and nothing is executed.

The tree is built from the *events* of libyaml. Its node graph is not used: to compose it, libyaml recurses in
C, and a deeply nested file ends the process. Its values are not used: YAML 1.1 guesses (``no`` is false, a
MAC address is a number of base 60). Here every scalar stays text; the field that reads it decides what it
means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Union

from topologies.syntax.problem import Path, Report, shown

MAX_DEPTH = 20
MAX_NODES = 250_000  # after aliases are expanded
_TOO_DEEP = ("nested too deeply", f"{MAX_DEPTH} levels", "check the brackets and the indentation")

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq"))
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Value = Union[str, None, "list[Node]", "dict[str, Node]"]


@dataclass
class Node:
    """The text of a scalar (None: null), a sequence or a mapping. ``line``: that of its key, if it has one.

    ``size``: the nodes in it, itself included; ``height``: the levels.
    """

    line: int
    value: Value = None
    size: int = 1
    height: int = 1
    plain: bool = False  # an unquoted scalar

    def at(self, path: Path) -> int:
        """The line of the node at ``path``, or of the innermost node around it that exists."""
        node = self
        for step in path:
            inside: Node | None = None
            if isinstance(node.value, dict) and isinstance(step, str):
                inside = node.value.get(step)
            elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                inside = node.value[step]
            if inside is None:
                break
            node = inside
        return node.line

    def data(self) -> Any:
        """The tree as dicts, lists, strings and None."""
        if isinstance(self.value, dict):
            return {key: node.data() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.data() for node in self.value]
        return self.value


class Fatal(Exception):
    """The text cannot be read further; the problem is in the report."""


@dataclass
class _Open:
    """A collection whose end is not read yet."""

    node: Node
    path: Path
    anchor: str | None
    key: Node | None = None
    merges: list[Node] = field(default_factory=list)

    def next_path(self) -> Path:
        if isinstance(self.node.value, list):
            return (*self.path, len(self.node.value))
        if self.key is not None and isinstance(self.key.value, str):
            return (*self.path, self.key.value)
        return self.path


def decode(raw: bytes, report: Report) -> str:
    """UTF-8 bytes (a byte order mark is skipped) -> text without control characters."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        report.add((), f"is not UTF-8 (byte 0x{raw[error.start]:02x})", remedy="save it as UTF-8", line=line)
        raise Fatal from None
    text = text.removeprefix("\ufeff")
    odd = _UNPRINTABLE.search(text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        report.add((), f"has a control character {shown(odd.group())}", remedy="remove it", line=line)
        raise Fatal
    return text


def read(text: str, report: Report) -> Node:
    """The one document in ``text``. Problems go to ``report``; raises ``Fatal`` when it cannot go on."""
    import yaml

    try:
        root = _Builder(report).build(_events(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line + 1, text.count("\n") + 1) if mark else 1
        what = error.problem or error.context or "unreadable"
        if "nesting depth" in what:  # some versions of libyaml have a limit that is lower than ours
            report.add((), *_TOO_DEEP, line=line)
            raise Fatal from None
        tab = "\t" in text.split("\n")[line - 1 : line][0].partition("#")[0]
        remedy = "indent with spaces, not tabs" if tab else _syntax_remedy(what)
        report.add((), f"YAML syntax: {what}", remedy=remedy, line=line)
        raise Fatal from None
    except yaml.YAMLError as error:
        report.add((), f"YAML syntax: {shown(error)}", line=1)
        raise Fatal from None
    if root is None or root.value is None:
        report.add(
            (), "is empty", "a mapping with switches, hosts, links, …", "see topologies/README.md", line=1
        )
        raise Fatal
    return root


def _events(text: str) -> Iterator[Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    yield from yaml.parse(text, Loader=loader)


def _syntax_remedy(what: str) -> str:
    if "mapping values" in what:
        return "check the indentation, and quote a text that has ': ' in it"
    if "expected" in what or "could not find" in what:
        return "check the indentation and the brackets of this line and the one before"
    if "start any token" in what or "alias" in what:
        return "quote the text"
    return ""


class _Builder:
    """Builds the tree from events with its own stack, so it does not recurse."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node | None] = {}  # None: still open
        self.nodes = 0
        self.root: Node | None = None
        self.documents = 0

    def build(self, events: Iterator[Any]) -> Node | None:
        import yaml

        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self.fatal(
                        "a second document begins here", "one document a file", "remove the '---'", line
                    )
            elif isinstance(event, yaml.AliasEvent):
                self.alias(event.anchor, line)
            elif isinstance(event, yaml.ScalarEvent):
                self.tag(event.tag, line)
                # with a tag or quotes it is text; the C parser gives '' for the plain style
                plain = event.implicit[0] and not event.style
                null = plain and event.value in _NULLS
                # a block scalar loses its last line ends: it is a description, not a file
                value = event.value.rstrip("\n") if event.style in ("|", ">") else event.value
                node = Node(line, None if null else value, plain=plain)
                if event.anchor:
                    self.anchors[event.anchor] = node
                self.count(1, line)
                self.put(node, key_text=event.value)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self.open(event, {} if isinstance(event, yaml.MappingStartEvent) else [], line)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self.close()
        return self.root

    def fatal(self, what: str, allowed: str, remedy: str, line: int) -> None:
        self.report.add(self.here()[:3], what, allowed, remedy, line=line)
        raise Fatal

    def here(self) -> Path:
        return self.stack[-1].next_path() if self.stack else ()

    def count(self, size: int, line: int) -> None:
        self.nodes += size
        if self.nodes > MAX_NODES:
            self.fatal(
                "too many values (aliases counted as often as they are used)",
                f"{MAX_NODES}",
                "use fewer aliases or a smaller network",
                line,
            )

    def tag(self, tag: str | None, line: int) -> None:
        if tag is not None and tag != "!" and tag not in _TAGS:
            self.report.add(
                self.here(), f"YAML tag {shown(tag)} is refused", "plain values", "remove the tag", line=line
            )

    def alias(self, name: str | None, line: int) -> None:
        anchor = name or ""
        if anchor not in self.anchors:
            otherwise = f"define it with &{anchor[:40]}, or quote the text"
            remedy = self.report.suggest(anchor, self.anchors, otherwise)
            self.fatal(f"alias *{anchor[:40]} is not defined above", "", remedy, line)
        target = self.anchors[anchor]
        if target is None:
            self.fatal(f"alias *{anchor[:40]} contains itself", "", "write the values out", line)
            return
        if len(self.stack) + target.height > MAX_DEPTH:
            self.too_deep(line)
        self.count(target.size, line)
        # its own node, so that a problem is reported where the alias is used
        copy = Node(line, target.value, target.size, target.height, target.plain)
        self.put(copy, key_text=target.value if isinstance(target.value, str) else None)

    def too_deep(self, line: int) -> None:
        self.report.add((), *_TOO_DEEP, line=line)
        raise Fatal

    def open(self, event: Any, value: Value, line: int) -> None:
        self.tag(event.tag, line)
        if len(self.stack) >= MAX_DEPTH:
            self.too_deep(line)
        self.count(1, line)
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Open(Node(line, value), self.here(), event.anchor))

    def close(self) -> None:
        top = self.stack.pop()
        node = top.node
        for merged in top.merges:
            self.merge(node, merged, top.path)
        if top.anchor:
            self.anchors[top.anchor] = node
        self.put(node, key_text=None)

    def merge(self, into: Node, merged: Node, path: Path) -> None:
        """``<<: *defaults``: add the keys that the mapping does not have itself."""
        sources = merged.value if isinstance(merged.value, list) else [merged]
        assert isinstance(into.value, dict)
        for source in sources:
            if not isinstance(source.value, dict):
                self.report.add(path, "'<<' merges a mapping only", "'<<: *anchor'", line=merged.line)
                continue
            for key, node in source.value.items():
                into.value.setdefault(key, node)

    def put(self, node: Node, key_text: str | None) -> None:
        """Add a finished node to the collection that is open around it."""
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        top.node.size += node.size
        top.node.height = max(top.node.height, node.height + 1)
        if isinstance(top.node.value, list):
            top.node.value.append(node)
            return
        assert isinstance(top.node.value, dict)
        if top.key is None:
            if key_text is None:
                self.report.add(top.path, "a key is a list or a mapping", "text as key", line=node.line)
            top.key = Node(node.line, key_text, plain=node.plain)
            return
        key, top.key = top.key, None
        if not isinstance(key.value, str):
            return  # the key is reported; its value belongs nowhere
        name = key.value
        if name == "<<" and key.plain:
            top.merges.append(node)
        elif name in top.node.value:
            first = top.node.value[name].line
            self.report.add(
                (*top.path, name),
                f"{shown(name)} is given twice (first on line {first})",
                remedy="rename or remove one",
                line=key.line,
            )
        else:
            node.line = key.line
            top.node.value[name] = node
