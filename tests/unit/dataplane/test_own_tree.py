"""Which mounts and files give a host its own things, and the copies that need no overlay."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from dataplane.hosts import own_mounts
from dataplane.hosts.own_tree import (
    FILE,
    Arrangement,
    Impossible,
    Kind,
    Layer,
    OwnFile,
    OwnTree,
    arrange,
    inside,
    read,
    tree_of,
    write,
)
from dataplane.hosts.rights import Owner, may
from topologies.model.hosts import HostFile, OwnThings

MACHINE: dict[str, Kind] = {
    **dict.fromkeys(("/", "/etc", "/etc/network", "/usr", "/usr/local", "/usr/local/bin", "/var"), "folder"),
    **dict.fromkeys(("/tmp", "/run", "/root", "/srv"), "folder"),
    **dict.fromkeys(("/etc/hosts", "/etc/motd", "/etc/network/interfaces", "/usr/local/bin/ls"), "file"),
}
ROOMS_OWN = ("/run", "/tmp", "/root")


def file(path: str) -> OwnFile:
    return OwnFile(path, "text", 0o644)


def arranged(files: tuple[str, ...] = (), private: tuple[str, ...] = ()) -> Arrangement:
    tree = OwnTree("", tuple(map(file, files)), private)
    return arrange(tree, lambda path: MACHINE.get(path, ""), ROOMS_OWN)


def test_a_file_that_the_machine_has_is_mounted_over_it() -> None:
    assert arranged(("/etc/hosts",)) == Arrangement(over=(file("/etc/hosts"),))


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("/etc/new", "/etc"),
        ("/etc/network/new", "/etc/network"),
        ("/usr/local/bin/x", "/usr/local/bin"),
        ("/usr/local/share/a/b", "/usr/local"),
        ("/srv/www/index.html", "/srv"),
    ],
)
def test_a_new_file_makes_the_nearest_directory_the_hosts_own(path: str, layer: str) -> None:
    assert arranged((path,)) == Arrangement(layers=(Layer(layer, files=(file(path),)),))


def test_files_in_what_is_the_rooms_own_need_no_mount() -> None:
    got = arranged(("/tmp/x", "/root/a/b"), ("/run/daemon",))
    assert got == Arrangement(folders=("/run/daemon",), files=(file("/tmp/x"), file("/root/a/b")))


def test_all_files_of_a_layer_are_in_it_and_no_layer_is_in_another() -> None:
    paths = ("/etc/motd", "/etc/network/new", "/etc/new")
    assert arranged(paths) == Arrangement(layers=(Layer("/etc", files=tuple(map(file, paths))),))
    got = arranged(("/etc/new",), ("/etc/network",))
    assert got == Arrangement(layers=(Layer("/etc", ("/etc/network",), (), (file("/etc/new"),)),))
    got = arranged(("/etc/network/interfaces",), ("/etc", "/etc/network"))
    assert got == Arrangement(layers=(Layer("/etc", ("/etc",), (), (file("/etc/network/interfaces"),)),))


def test_a_private_directory_that_the_machine_has_not_is_made() -> None:
    assert arranged((), ("/var/lib/own",)) == Arrangement(layers=(Layer("/var", folders=("/var/lib/own",)),))


@pytest.mark.parametrize(
    ("files", "private", "wrong"),
    [
        (("/data/x",), (), Impossible("/data/x", "this machine has no directory /data")),
        ((), ("/data",), Impossible("/data", "this machine has no directory /data")),
        (("/etc",), (), Impossible("/etc", "it is a directory")),
        ((), ("/etc/motd",), Impossible("/etc/motd", "it is a file")),
        (("/etc/motd/x",), (), Impossible("/etc/motd/x", "/etc/motd is a file")),
    ],
)
def test_what_is_not_possible_is_told(
    files: tuple[str, ...], private: tuple[str, ...], wrong: Impossible
) -> None:
    assert arranged(files, private) == Arrangement(impossible=(wrong,))
    assert arranged((*files, "/etc/new"), private).impossible == (wrong,)


def test_names_that_begin_alike_are_not_inside() -> None:
    assert inside("/etcetera/x", ["/etc"]) == "" and inside("/etc/x", ["/var", "/etc"]) == "/etc"
    assert inside("/etc", ["/etc"]) == "/etc"


def test_the_room_reads_what_the_driver_writes(tmp_path: Path) -> None:
    own = OwnThings(
        hostname="web", files=(HostFile(path="/a", content='"\n\u20ac', mode=0o755),), private=("/etc",)
    )
    folder = tmp_path / "host" / "h1"
    write(tree_of(own), folder)
    assert read((folder / FILE).read_text(encoding="utf-8")) == tree_of(own)
    assert folder.stat().st_mode & 0o777 == 0o700 and bool(tree_of(own)) and not tree_of(OwnThings())
    assert not tree_of(OwnThings(environment=(("A", "1"),)))  # a command gets it, not the room


def test_rights_are_those_of_the_first_class_that_fits() -> None:
    def mode(bits: int, user: int = 1, group: int = 2) -> os.stat_result:
        return cast(os.stat_result, SimpleNamespace(st_mode=bits, st_uid=user, st_gid=group))

    assert may(mode(0o400), Owner(1, 9), 4) and not may(mode(0o004), Owner(1, 9), 4)
    assert may(mode(0o050), Owner(9, 2), 5) and not may(mode(0o707), Owner(9, 2), 4)
    assert may(mode(0o005), Owner(9, 9), 5) and not may(mode(0o770), Owner(9, 9), 4)


# The copy of a small directory, made as the user of the tests


def staged(layer: Layer, tmp_path: Path, copied: bool, mounted: tuple[str, ...] = ()) -> Path:
    me = Owner(os.getuid(), os.getgid())
    return own_mounts.stage(layer, tmp_path / "upper", me, mounted, copied)


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    """A directory like /etc."""
    folder = tmp_path / "etc"
    (folder / "network" / "up.d").mkdir(parents=True)
    (folder / "motd").write_text("machine's", encoding="utf-8")
    (folder / "script").write_text("#!", encoding="utf-8")
    (folder / "script").chmod(0o755)
    (folder / "network" / "interfaces").write_text("auto", encoding="utf-8")
    (folder / "link").symlink_to("motd")
    (folder / "broken").symlink_to("/nowhere")
    os.mkfifo(folder / "fifo")
    (folder / "hosts").write_text("mounted", encoding="utf-8")
    return folder


def test_a_copy_has_all_that_the_host_may_read(machines: Path, tmp_path: Path) -> None:
    path = str(machines)
    mine = OwnFile(f"{path}/a/b/mine", "own", 0o600)
    layer = Layer(path, (path,), (f"{path}/made",), (mine, OwnFile(f"{path}/motd", "host's", 0o644)))
    copy = staged(layer, tmp_path, True, (f"{path}/hosts",))
    assert sorted(entry.name for entry in copy.iterdir()) == [
        *("a", "broken", "hosts", "link", "made", "motd", "network", "script")
    ]
    assert (copy / "hosts").read_text() == "" and (copy / "motd").read_text() == "host's"
    assert (copy / "link").read_text() == "host's" and (copy / "network/up.d").is_dir()
    assert (copy / "script").stat().st_mode & 0o777 == 0o755
    assert (copy / "a/b/mine").stat().st_mode & 0o777 == 0o600 and (machines / "motd").read_text() != "host's"


def test_what_the_host_may_not_read_is_not_copied(machines: Path, tmp_path: Path) -> None:
    (machines / "shadow").write_text("secret", encoding="utf-8")
    (machines / "shadow").chmod(0o640)
    (machines / "private").mkdir(mode=0o700)
    (machines / "private" / "key").write_text("secret", encoding="utf-8")
    other = Owner(os.getuid() + 1, os.getgid() + 1)
    seen = {
        path for path, entry in own_mounts.entries(str(machines), ()) if own_mounts.readable(entry, other)
    }
    assert not seen & {f"{machines}/{name}" for name in ("shadow", "private", "fifo")}
    assert {f"{machines}/{name}" for name in ("motd", "network/up.d", "broken")} <= seen


def test_below_an_overlay_there_are_only_directories(machines: Path, tmp_path: Path) -> None:
    path = str(machines)
    upper = staged(Layer(path, (path,)), tmp_path, False)
    assert sorted(str(entry.relative_to(upper)) for entry in upper.rglob("*")) == ["network", "network/up.d"]


def test_a_large_directory_is_not_copied(
    machines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own_mounts.is_small(str(machines), ())
    monkeypatch.setattr(own_mounts, "SMALL_ENTRIES", 3)
    assert not own_mounts.is_small(str(machines), ())
    monkeypatch.setattr(own_mounts, "SMALL_ENTRIES", 100)
    monkeypatch.setattr(own_mounts, "SMALL_BYTES", 5)
    assert not own_mounts.is_small(str(machines), ())
