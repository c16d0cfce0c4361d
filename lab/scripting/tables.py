"""Results as tables: plain lists for programs, HTML for notebooks. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

Row = TypeVar("Row", bound=Mapping[str, Any])


class Rows(list[Row]):
    """A list of dicts of one kind, which a notebook shows as a table."""

    def __init__(self, rows: Iterable[Row], columns: Sequence[str]) -> None:
        super().__init__(rows)
        self._columns = tuple(columns)

    def _repr_html_(self) -> str:
        return table(self._columns, [[row.get(column) for column in self._columns] for row in self])


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """An HTML table; every text is escaped."""
    titles = "".join(f"<th>{_text(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def lines(text: str) -> str:
    """Text of several lines as HTML, as it is."""
    return f"<pre>{html.escape(text)}</pre>"


def _text(value: object) -> str:
    if value is None:
        return ""
    return html.escape(value if isinstance(value, str) else str(value))
