"""Whatever a name may stand for, reading it ends soon, takes little, and says what is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies.outside import NotJson, Unreadable, open_file, parse_json, read


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
    made = {path.name: str(path) for path in tmp_path.iterdir()}
    made |= {"missing": str(tmp_path / "no"), "below": f"{tmp_path}/sparse/x"}
    return {**made, "zero": "/dev/zero", "nul": "a\0b", "surrogate": "\ud800", "long": "x" * 5000}


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
    if what != "is too big":
        with pytest.raises(Unreadable):
            open_file(names[name], "a text file")


def test_what_can_be_read_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    assert read(path, 1000) == b"x" * 1000
    with pytest.raises(Unreadable, match="is too big"):
        read(path, 999)


def test_a_file_that_waits_for_news_is_not_waited_for() -> None:
    """/proc/kmsg is a regular file by its mode, and its readers wait for the kernel's next message."""
    with pytest.raises(Unreadable):
        for _ in range(1000):  # first it may have some
            read("/proc/kmsg", 1 << 30, patience=1.0)


def test_a_file_system_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = threading.Event()
    monkeypatch.setattr("topologies.outside.os.stat", lambda _: answer.wait(60))
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
