"""OCI image layouts: read, verified, unpacked; hostile ones write nothing outside."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.hosts.container import images
from dataplane.hosts.container.images import Image, decompressed, hosts_users, prepare, settings, unpacked
from dataplane.hosts.container.layers import LayerError, inside, users_of
from dataplane.hosts.container.layout import LayoutError, manifest, open_layout
from dataplane.hosts.driver import HostError
from tests.unit.dataplane.container.oci import (
    as_archive,
    device,
    file,
    folder,
    hard,
    layer,
    link,
    write_layout,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    try:
        with hosts_users() as (_, namespace):
            inside(str(tmp_path), namespace, lambda: 0)
    except (OSError, LayerError) as error:
        pytest.skip(f"no user namespaces here: {error}")
    return folder


def unpack(path: Path) -> Image:
    said: list[str] = []
    prepare(str(path), said.append)
    with hosts_users() as (owner, _):
        return unpacked(str(path), owner)


def tree(image: Image) -> dict[str, str]:
    """Path -> content, or where a link points to."""
    root = Path(image.root)
    return {
        str(path.relative_to(root)): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_layers_lie_above_each_other(tmp_path: Path) -> None:
    low = layer(
        folder("etc"),
        file("etc/a", "a1"),
        file("etc/b", "b1"),
        folder("d"),
        file("d/x", "x1"),
        file("f", "f1"),
    )
    high = layer(
        file("etc/.wh.a", ""),
        file("etc/b", "b2"),
        folder("d"),
        file("d/y", "y2"),
        file("d/.wh..wh..opq", ""),
        folder("f"),
        file("f/g", "g2"),
        file(".wh..wh.plnk", ""),
    )
    image = unpack(write_layout(tmp_path / "image", [low, high]))
    assert tree(image) == {"etc/b": "b2", "d/y": "y2", "f/g": "g2"}


def test_a_whiteout_hides_nothing_of_its_own_layer(tmp_path: Path) -> None:
    low = layer(folder("d"), file("d/old", ""), file("w", "low"))
    high = layer(folder("d"), file("d/new", "n"), file(".wh.d", ""), file("w", "high"), file(".wh.w", ""))
    assert tree(unpack(write_layout(tmp_path / "image", [low, high]))) == {"d/new": "n", "w": "high"}


@pytest.mark.parametrize("form", ["directory", "archive", "plain", "zstd", "members"])
def test_every_form_of_a_layout_is_read(tmp_path: Path, form: str) -> None:
    if form == "zstd" and shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    packs = {
        "plain": bytes,
        "zstd": lambda plain: subprocess.run(["zstd", "-c"], input=plain, capture_output=True).stdout,
        "members": lambda plain: gzip.compress(plain[:700]) + gzip.compress(plain[700:]),
    }
    image = write_layout(
        tmp_path / "image", [layer(file("a", "x" * 3000))], pack=packs.get(form, gzip.compress)
    )
    if form == "archive":
        image = as_archive(image, tmp_path / "image.tar")
    assert tree(unpack(image)) == {"a": "x" * 3000}


def test_links_and_modes_are_kept_and_devices_left_out(tmp_path: Path) -> None:
    entries = [
        file("bin/tool", "t", 0o4755),
        hard("bin/same", "bin/tool"),
        link("sbin", "bin"),
        file("sbin/more", "m"),
    ]
    image = unpack(write_layout(tmp_path / "image", [layer(*entries, device("dev/sda"), folder("shut", 0))]))
    assert tree(image) == {"bin/tool": "t", "bin/same": "t", "bin/more": "m", "sbin": "bin"}
    tool = (Path(image.root) / "bin" / "tool").stat()
    assert (stat.S_IMODE(tool.st_mode), tool.st_nlink) == (0o4755, 2)
    assert any("1 device node" in note for note in image.notes)


def test_what_a_hostile_layer_names_is_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    entries = [
        file("../../../../../../../../tmp/dots", "1"),
        file("/absolute", "2"),
        link("away", str(outside)),
        file("away/planted", "3"),
        file("away/.wh.kept", ""),
        link("up", "../../../../../../../.."),
        file(f"up{outside}/planted", "4"),
        hard("stolen", str(outside / "kept")),
    ]
    harmless = entries[:4] + entries[5:7]
    image = unpack(write_layout(tmp_path / "image", [layer(*harmless)]))
    assert sorted(outside.iterdir()) == [outside / "kept"]
    assert tree(image)["absolute"] == "2" and tree(image)["tmp/dots"] == "1"
    assert (Path(image.root) / str(outside).lstrip("/") / "planted").read_text() in ("3", "4")
    with pytest.raises(HostError, match="can't be used"):
        unpack(write_layout(tmp_path / "theft", [layer(*entries)]))
    assert (outside / "kept").read_text() == "kept"
    assert not Path("/tmp/dots").exists()


def test_an_owner_is_one_of_the_hosts_ids(tmp_path: Path) -> None:
    image = unpack(write_layout(tmp_path / "image", [layer(file("a", ""), owner=33), layer(file("b", ""))]))
    with hosts_users() as (owner, namespace):
        ids = {name: (Path(image.root) / name).stat().st_uid for name in ("a", "b")}
        if namespace is None:
            assert set(ids.values()) == {os.geteuid()} and any(
                "belong to root" in note for note in image.notes
            )
        else:
            assert ids == {"a": owner + 33, "b": owner} or ids["b"] == owner


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"layers": [{"digest": "sha256:../../../../etc/passwd", "size": 1}]}, "is no digest"),
        ({"layers": [{"digest": f"sha256:{'0' * 64}", "size": 1}]}, "(missing|No such file)"),
        ({"layers": []}, "does not name the content"),
        ({"config": {"digest": f"sha256:{'0' * 64}", "size": 1 << 40}}, "too long for a document"),
    ],
)
def test_a_damaged_layout_says_what_is_wrong(tmp_path: Path, damage: dict[str, object], message: str) -> None:
    with pytest.raises(HostError, match=message):
        unpack(write_layout(tmp_path / "image", [layer(file("a", ""))], damage=damage))


def test_content_that_is_not_what_its_digest_says_is_refused(tmp_path: Path, cache: Path) -> None:
    image = write_layout(tmp_path / "image", [layer(file("a", "1"))])
    with open_layout(str(image)) as layout:
        number = manifest(layout).layers[0].digest.partition(":")[2]
    blob = image / "blobs" / "sha256" / number
    blob.write_bytes(gzip.compress(layer(file("a", "2"))).ljust(blob.stat().st_size, b"\0"))
    with pytest.raises(HostError, match=r"another one|longer|ends too early|no tar"):
        unpack(image)
    left = [path.name for path in (cache / "sdnlab" / "images" / "oci").iterdir()]
    assert not [name for name in left if not name.startswith(".lock")], left


@pytest.mark.parametrize(
    "data",
    [b"", b"no tar archive" * 99, gzip.compress(b"x" * 4096, mtime=0)[:40]],
    ids=["empty", "text", "cut"],
)
def test_a_layer_that_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(HostError, match="can't be used"):
        unpack(write_layout(tmp_path / "image", [b"x" * 4096], pack=lambda _: data))


def test_the_image_for_this_machine_is_chosen(tmp_path: Path) -> None:
    image = write_layout(tmp_path / "image", [layer(file("a", ""))], architecture="riscv64")
    with open_layout(str(image)) as layout:
        assert manifest(layout, machine="riscv64").layers
        with pytest.raises(LayoutError, match="no image for amd64"):
            manifest(layout, machine="x86_64")
        with pytest.raises(LayoutError, match="no image nosuch, but latest"):
            manifest(layout, "nosuch", "riscv64")


def test_an_image_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write_layout(tmp_path / "image", [layer(file("a", "1"))], {"Cmd": ["/a"]})
    with pytest.raises(HostError, match="is not unpacked"):
        unpacked(str(image))
    first = unpack(image)
    monkeypatch.setattr(images, "unpack_layers", lambda *_: pytest.fail("it was unpacked again"))
    assert unpack(image) == first and first.command == ("/a",)
    assert unpack(as_archive(image, tmp_path / "image.tar")) == first  # the same digest
    with hosts_users() as (owner, _):
        assert unpacked(f"{image}:latest", owner) == first


def test_the_settings_of_an_image_are_used() -> None:
    told = settings(
        {"Entrypoint": ["/run"], "Cmd": ["-v"], "Env": ["A=1=2", "B"], "WorkingDir": "/srv", "User": "x"}
    )
    assert told == {"command": ["/run", "-v"], "environment": [["A", "1=2"], ["B", ""]], "folder": "/srv"}
    assert settings({"Cmd": None, "WorkingDir": "x"}) == {"command": [], "environment": [], "folder": "/"}


def test_the_user_of_an_image_is_looked_up_in_it() -> None:
    passwd, group = "root:x:0:0::/:\nwww:x:33:34::/:\n", "root:x:0:\nlog:x:4:www,other\nwww:x:34:\n"
    assert users_of(passwd, group, "www") == (33, 34, [4])
    assert users_of(passwd, group, "33") == (33, 34, [4])
    assert users_of(passwd, group, "www:log") == (33, 4, [])
    assert users_of(passwd, group, "1000:50") == (1000, 50, [])
    assert users_of("", "", "7") == (7, 0, [])
    with pytest.raises(LayerError, match="no user nobody"):
        users_of(passwd, group, "nobody")


def test_a_user_of_the_image_is_found_though_its_file_is_a_link(tmp_path: Path) -> None:
    entries = [link("etc/passwd", "/lib/passwd"), file("lib/passwd", "app:x:0:0::/:\n")]
    assert unpack(write_layout(tmp_path / "image", [layer(*entries)], {"User": "app"})).user.uid == 0


def test_much_from_little_is_read_piece_by_piece() -> None:
    pieces = list(decompressed(iter([gzip.compress(bytes(50 << 20))])))
    assert sum(map(len, pieces)) == 50 << 20 and max(map(len, pieces)) <= 1 << 20


def test_a_directory_is_a_root_file_system_and_nothing_is_an_error(tmp_path: Path) -> None:
    assert unpacked(str(tmp_path)) == Image(str(tmp_path), shift=True)
    prepare(str(tmp_path), lambda _: None)
    with pytest.raises(HostError, match="there is no image") as error:
        unpacked(str(tmp_path / "nosuch"))
    assert "OCI image layout" in error.value.remedy


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)
