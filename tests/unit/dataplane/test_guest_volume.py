"""How a guest finds its volumes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataplane.hosts.guest import volume

TABLE = r"""proc /proc proc rw 0 0
/dev/vda /srv ext4 rw,nosuid 0 0
/dev/vdb /mnt/two\040words ext4 rw 0 0
/dev/vdc /srv ext4 rw 0 0
"""


def test_a_disk_is_found_by_its_serial_number(tmp_path: Path) -> None:
    for name, serial in (("vda", "boot"), ("vdb", "data\n"), ("loop0", None)):
        (tmp_path / name).mkdir()
        if serial is not None:
            (tmp_path / name / "serial").write_text(serial)
    assert volume.disk("data", str(tmp_path)) == "vdb"
    assert volume.disk("dat", str(tmp_path)) == ""


def test_the_last_mount_at_a_directory_counts() -> None:
    assert volume.source_of("/srv", TABLE) == "/dev/vdc"
    assert volume.source_of("/mnt/two words", TABLE) == "/dev/vdb"
    assert volume.source_of("/mnt", TABLE) == ""


def test_who_mounts_a_volume_ends_its_work_also_when_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGHUP)
    seen: list[object] = []

    def look(name: str, path: str) -> dict[str, object]:
        seen.append(signal.getsignal(signal.SIGHUP))
        return {}

    for do in ("free", "take"):
        monkeypatch.setitem(volume.ACTIONS, do, look)
        monkeypatch.setattr(sys, "argv", ["volume", do, "data", "/srv"])
        try:
            volume.main()
        finally:
            signal.signal(signal.SIGHUP, before)
    assert seen == [before, signal.SIG_IGN]


def test_it_runs_alone_and_says_why_it_can_not() -> None:
    text = Path(volume.__file__).read_text(encoding="utf-8")
    words = [sys.executable, "-I", "-S", "-c", text, "used", "no such volume", "/nowhere"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"used": None}
