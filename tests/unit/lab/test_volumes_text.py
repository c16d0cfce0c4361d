"""The text about volumes."""

from __future__ import annotations

from lab.cli.rendering.storage import mebibytes, snapshots, volumes
from lab.messages.lab import VolumeInfo


def plain(text: str, *_: str) -> str:
    return text


STATE: VolumeInfo = {
    "name": "data",
    "pool": "disk",
    "size": 256 << 20,
    "limit": 1 << 30,
    "used": 3 << 20,
    "host": "web1",
    "path": "/srv",
    "mounted": "loop",
    "keep": "disks",
    "copies": [
        {"host": "st1", "state": "current", "occupied": 0, "pid": 7},
        {"host": "st2", "state": "rebuilding", "occupied": 0, "pid": 8},
    ],
    "rebuilt": 0.25,
    "snapshots": [],
    "trouble": "",
}


def test_a_volume_is_a_line_with_its_copies() -> None:
    head, line = volumes([STATE], plain).splitlines()
    assert head.split()[:3] == ["VOLUME", "POOL", "SIZE"]
    assert "256 MiB" in line and "web1:/srv" in line and "st1, st2 (rebuilt to 25%)" in line


def test_a_trouble_is_told_below() -> None:
    said = volumes([{**STATE, "trouble": "its file is gone"}], plain)
    assert said.endswith("! data: its file is gone")


def test_without_volumes_the_text_says_where_to_read() -> None:
    assert "topologies/README.md" in volumes([], plain)


def test_snapshots_have_a_time() -> None:
    assert snapshots(STATE, plain) == "data has no snapshots"
    some = snapshots({**STATE, "snapshots": [{"name": "before", "saved": 0.0}]}, plain)
    assert "before" in some and ("1970" in some or "1969" in some)


def test_small_amounts_have_a_fraction() -> None:
    assert (mebibytes(3 << 19), mebibytes(256 << 20)) == ("1.5 MiB", "256 MiB")
