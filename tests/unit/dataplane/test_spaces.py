"""Namespaces sorted by what they are for."""

from __future__ import annotations

from collections.abc import ItemsView

from dataplane.fabric.spaces import CROWD, names_by_kind, of_hosts
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


def test_hosts_of_large_labs_say_less_by_themselves() -> None:
    assert of_hosts(CROWD) is None
    crowded = of_hosts(CROWD + 1)
    assert crowded is not None and crowded["ipv6/conf/default/router_solicitations"] == "0"
