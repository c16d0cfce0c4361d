"""The pytest plug-in: tests of packets in labs, as plain pytest files.

A test names its topology, and gets the running lab as a fixture::

    @pytest.mark.topology("quickstart.yaml")
    def test_it(host):
        assert host("h1").run("ping -c1 h2")

pytest loads this in each of its runs, so it imports nothing of labs before a test uses one.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from lab.scripting.delivery import Delivery
    from lab.scripting.hosts import Host
    from lab.scripting.lab import Lab
    from lab.scripting.scapy_host import PacketKey

SCOPES = ("function", "module", "session")
MARKER = (
    "topology(file, scope='module'): the topology file of the test's lab, relative to the test's file, or "
    "the name of a topology that comes with sdnlab. Tests of one module share the lab; with scope='session' "
    "those of all modules do, with scope='function' each test has its own."
)


class Wanted(NamedTuple):
    """The lab that a test wants: its topology file, and how long it lives."""

    file: str
    scope: str


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker."""
    config.addinivalue_line("markers", MARKER)


def wanted(item: pytest.Item) -> Wanted:
    """What the nearest marker of a test says; without one, the topology file beside the test's file with the
    name that it has (``test_quickstart.py``: ``quickstart.yaml``). Raises UsageError."""
    marker = item.get_closest_marker("topology")
    if marker is None:
        beside = item.path.with_name(item.path.stem.removeprefix("test_") + ".yaml")
        if beside.is_file():
            return Wanted(str(beside), "module")
        raise pytest.UsageError(
            f"{item.nodeid} has no topology: write @pytest.mark.topology('FILE.yaml') above it, or put "
            f"{beside.name} beside its file"
        )
    scope = marker.kwargs.get("scope", "module")
    if len(marker.args) != 1 or marker.kwargs.keys() - {"scope"} or scope not in SCOPES:
        raise pytest.UsageError(
            f"{item.nodeid}: the marker topology takes one file, and scope= one of {', '.join(SCOPES)}"
        )
    file = os.fspath(marker.args[0])
    beside = item.path.parent / file
    return Wanted(str(beside) if beside.exists() or Path(file).suffix else file, scope)


_numbers = itertools.count(1)
_LABS = pytest.StashKey[dict[Any, "Lab"]]()


def _lab_of(item: pytest.Item) -> Lab:
    """The running lab of a test, started when none of its scope runs yet."""
    file, scope = wanted(item)
    owner = _owner(item, scope)
    labs = owner.stash.setdefault(_LABS, {})
    if file not in labs:
        from lab.failure import Failure
        from lab.naming import name_from
        from lab.scripting.lab import Lab

        # Several runs of pytest, or processes of one run, may have labs of one file at the same time.
        name = name_from(f"{Path(file).stem[:40]}-{os.getpid()}-{next(_numbers)}")
        try:
            labs[file] = Lab.up(file, name=name, check=False)
        except Failure as failure:
            pytest.fail(f"{failure.what}\n{failure.remedy}".rstrip(), pytrace=False)
        owner.addfinalizer(lambda: labs.pop(file).down())
    running = labs[file]
    if not running.is_running:
        labs.pop(file)
        pytest.fail(f"the lab of {file} has ended: a test, or somebody else, has stopped it", pytrace=False)
    return running


def _owner(item: pytest.Item, scope: str) -> pytest.Item | pytest.Collector | pytest.Session:
    """What the lab ends with."""
    if scope == "session":
        return item.session
    module = item.getparent(pytest.Module) if scope == "module" else None
    return module if module is not None else item


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The running lab of the test's topology (``sdnlab.Lab``). Links and switches that a test cuts are
    repaired when it ends."""
    assert isinstance(request.node, pytest.Item)
    running = _lab_of(request.node)
    yield running
    if running.is_running:
        running.repair()


@pytest.fixture
def host(lab: Lab) -> Callable[[str], Host]:
    """``host("h1")`` is a host of the lab (``sdnlab.Host``)."""
    return lab.host


@pytest.fixture
def send_and_expect(lab: Lab) -> Callable[..., Delivery]:
    """``send_and_expect("h1", packets, at="h2")`` sends scapy's packets, all at once, and fails unless each
    arrives, once. With ``at=None`` or an empty list none may arrive at any other host."""

    def send(
        source: str,
        packets: Any,
        at: str | Sequence[str] | None,
        *,
        timeout: float = 5.0,
        within: float = 0.5,
        key: PacketKey | None = None,
    ) -> Delivery:
        sender = lab.host(source).scapy
        if at:
            return sender.send_and_expect(packets, at, timeout=timeout, key=key)
        others = [name for name in lab.hosts() if name != source]
        return sender.send_and_expect_nothing(packets, others, within=within, key=key)

    return send
