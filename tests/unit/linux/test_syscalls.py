"""What is decided around system calls; and what ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from linux.syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, below

TABLE = r"""22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda rw
23 22 0:21 / /proc rw,nosuid,nodev,noexec - proc proc rw
24 22 0:22 / /run/room rw,nosuid - tmpfs host rw
25 24 0:23 /usr /run/room/usr ro,nodev - ext4 /dev/sda rw
26 24 0:24 / /run/room/with\040space rw - tmpfs host rw
27 22 0:25 / /run/roommate rw - tmpfs host rw"""
ROWS = [line.split(" ") for line in TABLE.splitlines()]


def test_only_what_is_mounted_at_a_folder_and_below_is_changed() -> None:
    assert below(ROWS, "/run/room") == [
        ("/run/room", MS_NOSUID),
        ("/run/room/usr", MS_RDONLY | MS_NODEV),
        ("/run/room/with space", 0),
    ]


def test_below_the_root_is_everything() -> None:
    assert len(below(ROWS, "/")) == len(ROWS)
    assert ("/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC) in below(ROWS, "/")


_PARENT = """
import os, signal, sys
from linux import syscalls
signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))
if os.fork() == 0:
    syscalls.hang_up_with_parent()
    os.write(1, b"ready")
signal.pause()
"""


@pytest.mark.parametrize("hang_up", ["SIG_DFL", "SIG_IGN"])
def test_a_child_ends_with_its_parent_also_where_hanging_up_is_ignored(hang_up: str) -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT, hang_up], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert os.read(parent.stdout.fileno(), 5) == b"ready"
        parent.send_signal(signal.SIGKILL)
        parent.communicate(timeout=60)  # until the child, too, has closed its standard output
