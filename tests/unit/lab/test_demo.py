"""What the demo claims is counted and looked for."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from lab import naming
from lab.access.remains import remains, spaces
from lab.cli.expected import joined_pairs


def status(up: bool, **hosts: str) -> Any:
    return {
        "switches": [{"name": name} for name in ("s1", "s2", "s3")],
        "links": [
            {"a": "s1:3", "b": "s2:3", "up": up},
            {"a": "s3:1", "b": "s2:4", "up": True},
        ],
        "hosts": [
            {"name": name, "switch": where, "network": "lan", "up": True, "ipv4": "x", "ipv6": name != "h4"}
            for name, where in hosts.items()
        ],
    }


def test_a_cut_leaves_the_pairs_on_either_side() -> None:
    hosts = {"h1": "s1", "h2": "s1", "h3": "s2", "h4": "s3"}
    assert joined_pairs(status(True, **hosts)) == 12 + 6  # h4 has no IPv6
    assert joined_pairs(status(False, **hosts)) == 4 + 2
    assert joined_pairs(status(True)) == 0


def test_what_is_left_of_a_lab_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    own = str(Path("/proc/self/ns/net").readlink())
    assert f"process {os.getpid()}" in remains("nothing", frozenset({own}))
    assert remains("nothing", frozenset({"net:[1]"})) == []
    with spaces(os.getpid()) as held:
        assert own not in held  # what the caller is in is no lab's
    monkeypatch.setenv(naming.OWNER, str(1_000_000 + os.getpid()))
    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind(naming.address("x"))
        holder.listen(1)
        assert remains("x", frozenset()) == ["the address of x"]
