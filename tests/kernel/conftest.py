"""Fixtures of the tier: labs on Open vSwitch's kernel datapath, skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataplane.ovs import kernel_datapath
from tests.kernel.labs import PATIENCE, Lab
from tests.system.command_line import of_an_owner_of_its_own


@pytest.fixture(scope="session")
def lack() -> str:
    """Why this machine has no kernel datapath; empty: it has."""
    return kernel_datapath.lack()


@pytest.fixture
def lab(lack: str) -> Iterator[Lab]:
    """Labs of an owner of its own."""
    if lack:
        pytest.skip(f"no kernel datapath: {lack} ('./sdnlab test --in-vm' has one)")
    line = of_an_owner_of_its_own(patience=PATIENCE)
    try:
        yield Lab(line)
    finally:
        line("down", "--all", code=None)
