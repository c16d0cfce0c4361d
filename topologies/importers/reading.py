"""Values of a tree that another tool's file gives: each has the wanted form, or a note tells. Pure."""

from __future__ import annotations

from topologies.syntax import document
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Report


def tree_of(raw: bytes, report: Report, form: str) -> Node:
    """The tree of a YAML or JSON file whose root is a mapping. ``form``: what it is, in words."""
    root = document.read(document.decode(raw, report), report)
    if not isinstance(root.value, dict):
        report.add((), f"the file is no mapping, as {form} is", remedy="check the file", line=root.line)
    if report.problems:
        raise Fatal
    return root


def entries(node: Node | None, what: str, report: Report) -> dict[str, Node]:
    """The entries of a mapping; none of nothing, and of something else, with a note."""
    if node is None or node.value is None:
        return {}
    if isinstance(node.value, dict):
        return node.value
    report.note(f"{what} is no mapping: left out", node.line)
    return {}


def items(node: Node | None, what: str, report: Report) -> list[Node]:
    """The items of a list; a text stands for a list of one; none of something else, with a note."""
    if node is None or node.value is None:
        return []
    if isinstance(node.value, list):
        return node.value
    if isinstance(node.value, str):
        return [node]
    report.note(f"{what} is no list: left out", node.line)
    return []


def text(node: Node | None) -> str:
    """The text of a scalar; empty for all else."""
    return node.value if node is not None and isinstance(node.value, str) else ""
