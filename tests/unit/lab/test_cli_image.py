"""``sdnlab image``: what it says of images that are there, that are not, and that are damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dataplane.hosts.container import images as containers
from dataplane.images import images, snapshots
from dataplane.images.image import Image
from dataplane.images.recipe import Base, Recipe
from dataplane.images.snapshots import SnapshotKey
from lab.cli import app as app_module
from lab.failure import Exit, Failure


def run(*words: str) -> Any:
    return CliRunner().invoke(app_module.build("image"), ["image", *words])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "sdnlab/images"


@pytest.fixture
def micro(monkeypatch: pytest.MonkeyPatch) -> Image:
    """A built image of a few bytes."""
    versions = {"linux-image-6.1.0-56-amd64": "6.1.192-2", "busybox-static": "1.35"}
    base = Base(b"kernel", b"base", "python3.11", versions, "Debian GNU/Linux 12")
    recipe = Recipe("b", "g", "quiet", lambda work, say: base, lambda python: b"guest")
    monkeypatch.setitem(images.RECIPES, "micro", lambda: recipe)
    return images.ensure("micro", lambda text: None)


def test_what_is_not_built_is_listed_with_the_command_that_builds_it(folder: Path) -> None:
    result = run("list")
    assert result.exit_code == 0
    assert "micro is not built yet" in result.stdout and "'sdnlab image build' now" in result.stdout
    assert f"images are in {folder}" in result.stdout
    answer = json.loads(run("list", "--json").stdout)
    assert answer == {"folder": str(folder), "images": [], "not built": ["micro"], "unpacked": []}


def test_unpacked_images_of_containers_are_listed(folder: Path) -> None:
    files = folder / "oci" / "sha256-0123456789abcdef-0" / "rootfs"
    files.mkdir(parents=True)
    (files / "a").write_bytes(bytes(1 << 20))
    (files / "same").hardlink_to(files / "a")
    assert "OF CONTAINERS" not in run("list").stdout  # it is not complete
    told = '{"source": "web.tar"}'
    (files.parent / "image.json").write_text(told)
    assert ["sha256-0123456789ab", "1.0", "MB", "web.tar"] in [
        line.split() for line in run("list").stdout.splitlines()
    ]
    (one,) = json.loads(run("list", "--json").stdout)["unpacked"]
    assert one["folder"] == str(files.parent) and one["size"] == (1 << 20) + len(told)
    assert (one["name"], one["from"]) == ("sha256-0123456789ab", "web.tar")


def test_an_image_of_containers_is_removed_when_no_lab_uses_it(folder: Path) -> None:
    one = folder / "oci" / "sha256-0123456789abcdef-0"
    one.mkdir(parents=True)
    (one / "image.json").write_text("{}")
    (one / "file").write_bytes(bytes(3_000_000))
    held = containers.Image(str(one / "rootfs"), kept=one).hold()
    refused = run("remove", "sha256-0123456789ab").exception
    assert isinstance(refused, Failure) and "is used by a container of a running lab" in refused.what
    os.close(held)
    assert run("remove", "sha256-0123456789ab").stdout == "removed: sha256-0123456789ab, 3.0 MB\n"
    assert not one.exists()
    assert isinstance(run("remove", "sha256-0123456789ab").exception, Failure)


def test_an_image_is_listed_with_its_snapshots(micro: Image) -> None:
    key = SnapshotKey(qemu="7.2.22", accelerator="tcg", memory=256 << 20, vcpus=1, nic="virtio")
    written = snapshots.draft(micro, key)
    written.write_bytes(bytes(1 << 20))
    snapshots.adopt_snapshot(micro, key, written)
    told = run("list").stdout
    assert "1, 1.0 MB" in told and "Debian GNU/Linux 12, Linux 6.1.192-2" in told
    (one,) = json.loads(run("list", "--json").stdout)["images"]
    assert (one["name"], one["sha256"], one["snapshots"][0]["nic"]) == ("micro", micro.sha256, "virtio")


def test_an_image_is_built_and_verified(micro: Image) -> None:
    assert run("build").stdout.startswith("built: micro, ")
    assert run("verify").stdout.startswith("good: micro, ")
    assert json.loads(run("verify", "micro", "--json").stdout)["good"] is True


def test_a_damaged_image_is_told_with_the_remedy(micro: Image) -> None:
    micro.initrd.write_bytes(b"damaged")
    failure = run("verify").exception
    assert isinstance(failure, Failure) and failure.code == Exit.FAILED
    assert failure.what == f"the image micro is damaged: {micro.initrd}"
    assert failure.remedy == "sdnlab image build micro"


def test_an_image_is_removed(micro: Image) -> None:
    assert run("remove", "micro").stdout.startswith("removed: micro, ")
    assert not micro.folder.exists()
    failure = run("remove", "micro").exception
    assert isinstance(failure, Failure) and failure.what.startswith("there is no image named 'micro'")


@pytest.mark.parametrize("action", ["verify", "list", "build"])
def test_an_unknown_image_is_told_with_those_that_there_are(action: str) -> None:
    failure = run(action, "macro").exception
    assert isinstance(failure, Failure)
    assert (failure.what, failure.remedy) == ("there is no image named 'macro'", "sdnlab builds: micro")


def test_what_to_remove_must_be_named(micro: Image) -> None:
    failure = run("remove").exception
    assert isinstance(failure, Failure) and failure.code == Exit.USAGE
    assert micro.folder.exists()
