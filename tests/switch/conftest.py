"""Fixtures of the switch tier: tests that need Open vSwitch, but no privilege."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.switch.ovs import Vswitch, lacking


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
