"""The nfv tier: each function's process by itself, in real network namespaces. It needs root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nfv.spaces import Row, row


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="needs root (network namespaces)"))


@pytest.fixture(name="row")
def a_row(tmp_path: Path) -> Iterator[Row]:
    with row(tmp_path) as opened:
        yield opened


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Row]:
    """A row whose ends are only wires."""
    with row(tmp_path, quiet=True) as opened:
        yield opened
