"""What tests of hosts of each kind need of the machine."""

from __future__ import annotations

import shutil

import pytest

from dataplane.images.errors import ImageError
from dataplane.images.images import ensure

PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "runc": "runc"}
"""Program -> the package that has it."""


def needs(*programs: str) -> None:
    """Skip the test where one of the programs is not installed."""
    for program in programs:
        if shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin") is None:
            pytest.skip(f"no {program}: sudo apt-get install {PROGRAMS[program]}")


def needs_virtual_machines() -> None:
    """Skip the test where there is no QEMU, or the micro image can't be built; it is built if it is missing,
    which takes up to a minute."""
    needs("qemu-system-x86_64")
    try:
        ensure("micro", lambda what: None)
    except ImageError as error:
        pytest.skip(f"no image of a virtual machine: {error}")
