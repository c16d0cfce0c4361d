"""Fixtures of the system tier."""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from dataplane.images import exported
from tests.system.command_line import CommandLine, of_an_owner_of_its_own

DOOR, ROOM = Path(__file__), Path(__file__).with_name("__init__.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests marked ``alone`` have both cores: no test of another process runs beside them, nor starts a lab.

    They look for what is late, or make the machine busy. Each test holds the lock of one file, shared or not;
    who waits for it alone keeps others from coming, by the lock of another.
    """
    alone = item.get_closest_marker("alone") is not None
    with DOOR.open() as door, ROOM.open() as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            return (yield)
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)  # by itself: a lab that was forked off has the file open, too


@pytest.fixture(scope="session", autouse=True)
def no_exports_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What labs unpack from machines that tests export goes from the user's cache with the tests."""
    yield
    ours = tmp_path_factory.getbasetemp()
    exported.forget(lambda file: file.is_relative_to(ours))


@pytest.fixture
def sdnlab() -> Iterator[CommandLine]:
    """The command line of an owner of labs of its own."""
    line = of_an_owner_of_its_own()
    yield line
    line("down", "--all", code=None)
