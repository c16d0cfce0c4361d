"""What can be read is told for any number of descriptors, and everybody asks in this way."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from pathlib import Path

import pytest

from linux.readiness import readable, ready

ROOT = Path(__file__).resolve().parents[3]


def test_what_can_be_read_is_told_in_the_order_of_the_question() -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    ours, theirs = zip(*pairs, strict=True)
    assert readable(ours, 0.0) == []
    theirs[2].send(b"x")
    theirs[0].close()  # the end of a stream can be read, too
    assert readable(ours) == [ours[0], ours[2]]
    assert readable([ours[2].fileno()], -1.0) == [ours[2].fileno()]
    assert ready([ours[1]], [ours[1]]) == ([], [ours[1]])
    for one in (*ours, *theirs[1:]):
        one.close()


def test_descriptors_of_big_labs_are_no_problem() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this machine allows fewer descriptors")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    reader, writer = os.pipe()
    high = fcntl.fcntl(reader, fcntl.F_DUPFD, 1500)
    try:
        assert high >= 1500 and readable([high], 0.0) == []
        os.write(writer, b"x")
        assert readable([high]) == [high]
    finally:
        for descriptor in (reader, writer, high):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(OSError, match="Bad file descriptor"):
        readable([high], 0.0)


def test_nobody_asks_by_select() -> None:
    code = [
        path
        for room in ("controller", "dataplane", "lab", "linux", "nfv")
        for path in (ROOT / room).rglob("*.py")
    ]
    asking = [str(path.relative_to(ROOT)) for path in code if "select.select(" in path.read_text()]
    assert len(code) > 300 and not asking, "use linux.readiness: select refuses descriptors from 1,024 on"
