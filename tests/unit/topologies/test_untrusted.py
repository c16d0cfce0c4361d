"""Whatever a name may stand for, reading it ends soon, takes little, and says what is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies.untrusted import NotJson, Unreadable, open_stream, parse_json, read


@pytest.fixture
def names(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "to-zero").symlink_to("/dev/zero")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
    paths = {path.name: str(path) for path in tmp_path.iterdir()}
    paths |= {"missing": str(tmp_path / "no"), "below": f"{tmp_path}/sparse/x"}
    return {**paths, "zero": "/dev/zero", "nul": "a\0b", "surrogate": "\ud800", "long": "x" * 5000}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("directory", "is a directory"),
        ("pipe", "is a pipe"),
        ("socket", "is a socket"),
        ("zero", "is a device"),
        ("to-zero", "is a device"),
        ("sparse", "is too big"),
        ("missing", "there is no such file"),
        ("round", "symbolic links go round in a circle"),
        ("nul", "cannot be a file's name"),
        ("surrogate", "cannot be a file's name"),
        ("below", "a part of the path is not a directory"),
        ("long", "the name is too long"),
    ],
)
def test_every_kind_is_told(name: str, what: str, names: dict[str, str]) -> None:
    with pytest.raises(Unreadable) as caught:
        read(names[name], 1000, "a text file")
    assert caught.value.what == what
    if what not in ("is too big", "is a pipe"):
        with pytest.raises(Unreadable):
            open_stream(names[name], "a text file").close()


def test_what_can_be_read_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    assert read(path, 1000) == b"x" * 1000
    with pytest.raises(Unreadable, match="is too big"):
        read(path, 999)


@pytest.fixture
def pipe() -> Iterator[tuple[str, int]]:
    """What a shell hands over for ``<(...)``: the name, and the end that is written to."""
    ours, theirs = os.pipe()
    yield f"/dev/fd/{ours}", theirs
    for descriptor in (ours, theirs):
        with contextlib.suppress(OSError):
            os.close(descriptor)


@pytest.mark.parametrize("before", [True, False])
def test_a_pipe_is_read_to_its_end_where_the_caller_takes_one(pipe: tuple[str, int], before: bool) -> None:
    name, end = pipe
    with pytest.raises(Unreadable, match="is a pipe"):
        read(name, 100)

    def write() -> None:
        for part in (b"switches:", b" [s1]"):
            os.write(end, part)
        os.close(end)

    writer = threading.Thread(target=write)
    writer.start()
    if before:
        writer.join()
    assert read(name, 100, pipes=True) == b"switches: [s1]"
    writer.join()


def test_a_pipe_with_a_name_waits_for_its_writer(names: dict[str, str]) -> None:
    writer = threading.Thread(target=lambda: Path(names["pipe"]).write_bytes(b"x"))
    writer.start()
    assert read(names["pipe"], 100, pipes=True) == b"x"
    writer.join()


@pytest.mark.parametrize(
    ("written", "what"),
    [(b"", "brought nothing within"), (b"x", "did not end within"), (b"x" * 99, "too big")],
)
def test_a_pipe_that_does_not_end_is_left(pipe: tuple[str, int], written: bytes, what: str) -> None:
    name, end = pipe
    os.write(end, written)
    with pytest.raises(Unreadable, match=what):
        read(name, 98, pipes=True, pipe_patience=0.01)


def test_a_pipe_that_nobody_writes_to_is_left(names: dict[str, str]) -> None:
    with pytest.raises(Unreadable, match="brought nothing within"):
        read(names["pipe"], 98, pipes=True, pipe_patience=0.01)


def test_a_stream_ends_where_its_pipe_falls_silent(
    pipe: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, end = pipe
    os.write(end, b"abc")
    monkeypatch.setattr("topologies.untrusted.PIPE_PATIENCE", 0.01)
    with open_stream(name) as stream:
        assert stream.read(10) == b"abc"
        with pytest.raises(OSError, match="nothing came for"):
            stream.read(10)
        os.close(end)
        assert stream.read(10) == b""
    with open_stream(name) as stream:
        monkeypatch.setattr("topologies.untrusted.STREAM_TIME", -1.0)
        stream.close()
    with open_stream(name) as stream, pytest.raises(OSError, match="has not ended within"):
        stream.read(10)


def test_what_is_handed_over_may_be_a_socket_but_no_terminal_or_device() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"abc")
        theirs.shutdown(socket.SHUT_WR)
        assert read(f"/dev/fd/{ours.fileno()}", 10, pipes=True) == b"abc"
    master, terminal = os.openpty()
    null, zero = (os.open(f"/dev/{name}", os.O_RDONLY) for name in ("null", "zero"))
    for descriptor, what in ((terminal, "a terminal"), (null, "holds nothing"), (zero, "is a device")):
        with pytest.raises(Unreadable, match=what):
            read(f"/dev/fd/{descriptor}", 10, pipes=True)
    for descriptor in (master, terminal, null, zero):
        os.close(descriptor)
    with pytest.raises(Unreadable, match="is not open here"):
        read(f"/proc/self/fd/{zero}", 10, pipes=True)


def test_a_file_that_waits_for_news_is_not_waited_for() -> None:
    """/proc/kmsg is a regular file by its mode, and its readers wait for the kernel's next message."""
    with pytest.raises(Unreadable):
        for _ in range(1000):  # first it may have some
            read("/proc/kmsg", 1 << 30, patience=1.0)


def test_a_file_system_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = threading.Event()
    monkeypatch.setattr("topologies.untrusted.os.stat", lambda _: answer.wait(60))
    begin = time.monotonic()
    with pytest.raises(Unreadable, match="was not read within"):
        read(tmp_path, 10, patience=0.01)
    answer.set()
    assert time.monotonic() - begin < 60


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.booleans())
def test_json_is_taken(value: object, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary())
def test_any_bytes_are_json_or_not_json(raw: bytes) -> None:
    with contextlib.suppress(NotJson):
        parse_json(raw)


def test_names_that_are_not_in_utf8_are_carried() -> None:
    assert parse_json(b'"caf\\udce9"') == os.fsdecode(b"caf\xe9")
