"""Members of archives between this machine and a host: what arrives, and what a hostile host can't do."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.cli.archive import (
    Copied,
    End,
    Member,
    archived_members,
    base_name,
    in_host,
    local_members,
    parse,
    receive,
    send,
)
from lab.failure import Failure


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("h1:/etc/hosts", End("h1", "/etc/hosts")),
        ("h1:", End("h1", "")),
        ("h1:a:b", End("h1", "a:b")),
        ("./a:b", End("", "./a:b")),
        ("/tmp/a:b", End("", "/tmp/a:b")),
        (":a", End("", ":a")),
        ("plain", End("", "plain")),
    ],
)
def test_a_word_is_a_path_in_a_host_or_here(word: str, end: End) -> None:
    assert parse(word) == end


def test_paths_in_a_host_begin_at_its_home() -> None:
    assert [in_host(path) for path in ("", "a", "./a/", "/", "/etc/", "../x")] == [
        "/root",
        "/root/a",
        "/root/a",
        "/",
        "/etc",
        "/x",
    ]


def test_the_name_of_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [base_name(end) for end in (End("", "a/b/"), End("", "."), End("h1", "/etc/"), End("h1", "/"))]
    assert names == ["b", tmp_path.name, "etc", ""]


def tree(path: Path) -> None:
    (path / "sub" / "empty").mkdir(parents=True)
    (path / "sub").chmod(0o750)
    (path / "a").write_bytes(b"content")
    (path / "a").chmod(0o755)
    os.utime(path / "a", (1000, 1000))
    (path / "sub" / "naïve -name\n").write_bytes(os.urandom(300_000))
    (path / "sub" / "naïve -name\n").chmod(0o400)
    (path / "link").symlink_to("sub")
    (path / "away").symlink_to("/nowhere")


def seen(path: Path) -> dict[str, tuple[int, object]]:
    """Mode and content of all that is below a directory, and of itself."""
    entries: dict[str, tuple[int, object]] = {}
    for one in [path, *path.rglob("*")]:
        mode = one.lstat().st_mode
        what: object = None
        if stat.S_ISLNK(mode):
            what = str(one.readlink())
        elif stat.S_ISREG(mode):
            what = one.read_bytes(), int(one.stat().st_mtime)
        entries[str(one.relative_to(path))] = mode, what
    return entries


def test_a_directory_arrives_as_it_was(tmp_path: Path) -> None:
    tree(tmp_path / "from")
    stream = io.BytesIO()
    copied = Copied()
    send(local_members(tmp_path / "from"), stream, "name", copied)
    assert (copied.files, copied.octets, copied.skipped) == (2, 300_007, [])
    stream.seek(0)
    receive(archived_members(stream, "name"), tmp_path / "to", Copied())
    assert seen(tmp_path / "to") == seen(tmp_path / "from")


def test_what_tar_writes_and_reads_is_the_same(tmp_path: Path) -> None:
    tree(tmp_path / "from")
    (tmp_path / "from" / "hard").hardlink_to(tmp_path / "from" / "a")
    packed = subprocess.run(["tar", "-C", tmp_path, "-cf", "-", "./from"], capture_output=True, check=True)
    stream = io.BytesIO()
    send(archived_members(io.BytesIO(packed.stdout), "from"), stream, "to", Copied())
    subprocess.run(["tar", "-C", tmp_path, "-xpof", "-"], input=stream.getvalue(), check=True)
    assert seen(tmp_path / "to") == seen(tmp_path / "from")
    receive(archived_members(io.BytesIO(packed.stdout), "from"), tmp_path / "here", Copied())
    assert seen(tmp_path / "here") == seen(tmp_path / "from")


def test_one_file_and_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    receive(local_members(tmp_path / "link"), tmp_path / "to", Copied())
    assert (tmp_path / "to").read_bytes() == b"x" and not (tmp_path / "to").is_symlink()


def archive(*entries: tuple[str, bytes, str]) -> io.BytesIO:
    """(name, type, target or content) of each member."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as out:
        for name, kind, more in entries:
            header = tarfile.TarInfo(name)
            header.type = kind
            header.mode = 0o7777
            if kind == tarfile.REGTYPE:
                header.size = len(more)
            else:
                header.linkname = more
            out.addfile(header, io.BytesIO(more.encode()))
    stream.seek(0)
    return stream


FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize(
    "entries",
    [
        [("../evil", FILE, "x")],
        [("./d/../../evil", FILE, "x")],
        [("/evil", FILE, "x")],
        [("./other", FILE, "x")],
        [("./d", FOLDER, ""), ("./d/up", LINK, ".."), ("./d/up/evil", FILE, "x")],
        [("./d", FOLDER, ""), ("./d/up", LINK, ".."), ("./d/up", FOLDER, ""), ("./d/up/evil", FILE, "x")],
        [("./d", FOLDER, ""), ("./d/a", HARD, "../secret")],
        [("./d", FOLDER, ""), ("./d/a", HARD, "./d/../secret")],
    ],
)
def test_nothing_is_written_outside(tmp_path: Path, entries: list[tuple[str, bytes, str]]) -> None:
    (tmp_path / "secret").write_text("secret")
    inside = tmp_path / "in"
    inside.mkdir()
    with contextlib.suppress(Failure, tarfile.TarError):
        receive(archived_members(archive(*entries), "d"), inside / "d", Copied())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "secret"]
    assert sorted(path.name for path in inside.iterdir()) in ([], ["d"])
    assert not any(path.is_file() and path.read_bytes() == b"secret" for path in inside.rglob("*"))


def test_a_link_of_the_users_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "sub").symlink_to(tmp_path / "elsewhere")
    entries = archive(("./d", FOLDER, ""), ("./d/sub/x", FILE, "x"))
    with pytest.raises(Failure, match="symbolic link here"):
        receive(archived_members(entries, "d"), tmp_path / "d", Copied())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_set_user_id_and_no_device(tmp_path: Path) -> None:
    copied = Copied()
    entries = archive(("./d", FOLDER, ""), ("./d/a", FILE, "x"), ("./d/null", tarfile.CHRTYPE, ""))
    receive(archived_members(entries, "d"), tmp_path / "d", copied)
    assert stat.S_IMODE((tmp_path / "d" / "a").stat().st_mode) == 0o777
    assert copied.skipped == [str(tmp_path / "d" / "null")]
    stream = io.BytesIO()
    entries.seek(0)
    send(archived_members(entries, "d"), stream, "d", Copied())
    stream.seek(0)
    with tarfile.open(fileobj=stream) as sent:
        assert [member.mode for member in sent] == [0o777, 0o777]


@pytest.mark.parametrize(
    "cut",
    [lambda data: b"", lambda data: data[:700], lambda data: b"no archive", lambda data: os.urandom(2000)],
)
def test_half_an_archive_leaves_the_old_file(tmp_path: Path, cut: Callable[[bytes], bytes]) -> None:
    (tmp_path / "a").write_text("old")
    whole = archive(("./a", FILE, "new" * 1000)).getvalue()
    with pytest.raises((tarfile.TarError, Failure)):
        receive(archived_members(io.BytesIO(cut(whole)), "a"), tmp_path / "a", Copied())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Failure, match="is a device or the like"):
        receive(archived_members(archive(("./a", FILE, "x")), "a"), tmp_path / "fifo", Copied())
    with pytest.raises(Failure, match="is a directory"):
        receive(archived_members(archive(("./a", FILE, "x")), "a"), tmp_path, Copied())


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=f"{tmp_path}/no: No such file or directory"):
        list(local_members(tmp_path / "no"))


def test_a_file_that_shrinks_is_an_error() -> None:
    header = tarfile.TarInfo(".")
    header.size = 10
    with pytest.raises(OSError, match="unexpected end"):
        send(iter([Member(header, io.BytesIO(b"x"))]), io.BytesIO(), "a", Copied())
