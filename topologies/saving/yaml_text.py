"""A tree of plain values as YAML that people like to read: one entry on a line, short keys first. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WIDTH = 110
"""Longest line of an entry that stands on one line."""
_PLAIN = re.compile(
    r"[A-Za-z0-9_/][A-Za-z0-9_./@+-]*(?: -- [A-Za-z0-9_][A-Za-z0-9_.:-]*)?|[A-Za-z0-9_][A-Za-z0-9_.-]*:[0-9]+"
)
_OTHER = re.compile(
    r"(?i:null|true|false|yes|no|on|off|y|n|~|\.inf|\.nan)|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|=|<<"
)
"""Plain scalars that YAML 1.1 takes for something else than text."""
_SPACES = "  "


def written(tree: Mapping[str, Any]) -> str:
    """The YAML text of a tree of mappings, sequences, texts, numbers and truth values."""
    return "\n".join(_mapping(tree, 0)) + "\n"


def _mapping(tree: Mapping[str, Any], depth: int) -> Iterator[str]:
    for key, value in tree.items():
        yield from _entry(f"{_SPACES * depth}{_scalar(key)}:", value, depth)


def _entry(head: str, value: Any, depth: int) -> Iterator[str]:
    """``key: value`` on one line, if it fits there. Of the file's own entries, lists of plain names do."""
    short = None if depth == 0 and not _is_short(value) else _flow(value)
    if short is not None and len(head) + 1 + len(short) <= WIDTH:
        yield f"{head} {short}"
    elif isinstance(value, Mapping):
        yield head
        yield from _mapping(value, depth + 1)
    elif isinstance(value, str):
        yield from _text(head, value, depth + 1)
    elif isinstance(value, Sequence):
        yield head
        for item in value:
            yield from _item(item, depth + 1)
    else:
        yield f"{head} {_scalar(value)}"


def _is_short(value: Any) -> bool:
    """Whether an entry of the file itself stands on one line: a text, or a list of names."""
    if isinstance(value, Mapping):
        return not value
    if isinstance(value, str) or not isinstance(value, Sequence):
        return True
    return not any(" " in str(item) for item in value)


def _item(value: Any, depth: int) -> Iterator[str]:
    head = f"{_SPACES * depth}-"
    short = _flow(value)
    if short is not None and len(head) + 1 + len(short) <= WIDTH:
        yield f"{head} {short}"
    elif isinstance(value, Mapping):
        first, *rest = _mapping(value, depth + 1)
        yield f"{head} {first.lstrip()}"
        yield from rest
    elif isinstance(value, str):
        yield from _text(head, value, depth + 1)
    else:
        raise AssertionError("no list of a topology file has lists in it that are too long for a line")


def _text(head: str, value: str, depth: int) -> Iterator[str]:
    """A text of several lines as a block, if YAML can write it so; else in quotes."""
    if "\n" not in value or (not value.isprintable() and not _is_block(value)):
        yield f"{head} {_quoted(value)}"
        return
    if not _is_block(value):
        yield f"{head} {_quoted(value)}"
        return
    yield f"{head} |{'' if value.endswith(chr(10)) else '-'}"
    for line in value.removesuffix("\n").split("\n"):
        yield f"{_SPACES * depth}{line}" if line else ""


def _is_block(value: str) -> bool:
    lines = value.removesuffix("\n").split("\n")
    return (
        "\n" in value
        and bool(lines[0])
        and not lines[0].startswith(" ")
        and bool(lines[-1])
        and all(line.replace("\t", " ").isprintable() for line in lines)
    )


def _flow(value: Any) -> str | None:
    """The value on one line; None for texts of several lines."""
    if isinstance(value, Mapping):
        entries = {key: _flow(inner) for key, inner in value.items()}
        if None in entries.values():
            return None
        return "{" + ", ".join(f"{_scalar(key)}: {inner}" for key, inner in entries.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = [_flow(inner) for inner in value]
        return None if None in items else "[" + ", ".join(map(str, items)) + "]"
    return None if isinstance(value, str) and "\n" in value else _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) and not _OTHER.fullmatch(text) else _quoted(text)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _quoted(text: str) -> str:
    """A double-quoted scalar (YAML 1.2, 7.3.1)."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable() and character != "\ufeff":
        return character
    number = ord(character)
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )
