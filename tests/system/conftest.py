"""Fixtures of the system tier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.command_line import CommandLine, of_an_owner_of_its_own


@pytest.fixture
def sdnlab() -> Iterator[CommandLine]:
    """The command line of an owner of labs of its own."""
    line = of_an_owner_of_its_own()
    yield line
    line("down", "--all", code=None)
