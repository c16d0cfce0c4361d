"""Namespaces sorted by what they are for."""

from __future__ import annotations

from collections.abc import ItemsView

from dataplane.fabric.spaces import names_by_kind
from dataplane.plan.pieces import SpaceKind


def test_all_kinds_are_sorted_out_in_one_walk() -> None:
    walks = 0

    class Kinds(dict[str, SpaceKind]):
        def items(self) -> ItemsView[str, SpaceKind]:  # type: ignore[override]
            nonlocal walks
            walks += 1
            return super().items()

    kinds = Kinds({f"h{number}": "host" for number in range(1000)} | {"f1": "quiet", "f2": "attached"})
    by_kind = names_by_kind(kinds)
    assert by_kind.pop("host") == [f"h{number}" for number in range(1000)]
    assert by_kind == {"quiet": ["f1"], "attached": ["f2"]}
    assert walks == 1
