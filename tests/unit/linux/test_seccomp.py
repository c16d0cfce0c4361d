"""A program that gives up its capabilities keeps them, and believes that it has not."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from linux import seccomp

PROGRAM = """
from pathlib import Path
from linux import seccomp, syscalls
before = Path("/proc/self/status").read_text()
seccomp.keep_capabilities()
syscalls.set_capabilities(1 << 21)  # SYS_ADMIN, and nothing else
syscalls.set_capabilities(0)
print(before, Path("/proc/self/status").read_text())
"""


@pytest.mark.skipif(not seccomp.keeps_capabilities(), reason="the filter knows other processors")
def test_capabilities_stay_what_they_are_whatever_a_program_asks_for() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    for field in ("CapPrm", "CapEff"):
        before, after = re.findall(rf"^{field}:\s+(\S+)$", told, re.MULTILINE)
        assert before == after
    assert re.findall(r"^Seccomp:\s+(\d)$", told, re.MULTILINE)[-1] == "2"
