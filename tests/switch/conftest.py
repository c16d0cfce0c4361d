"""Fixtures of the switch tier: tests that need Open vSwitch, but no privilege."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "unit" / "controller"))

from ovs import Vswitch, lacking


@pytest.fixture(scope="module")
def vswitch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vswitch]:
    """A running Open vSwitch of this test module's own."""
    why = lacking()
    if why is not None:
        pytest.skip(why)
    switch = Vswitch(tmp_path_factory.mktemp("ovs"))
    try:
        switch.start()
        yield switch
    finally:
        switch.stop()
