"""The cache: complete or not there, whoever is killed, and whoever else builds at the same time."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.images import cache, images, snapshots
from dataplane.images.errors import ImageError
from dataplane.images.recipe import Base, Recipe, Say
from dataplane.images.snapshots import SnapshotKey

KEY = SnapshotKey(qemu="7.2.22", accelerator="tcg", memory=256 << 20, vcpus=1, nic="virtio")


class Kitchen:
    """Builds an image of a few bytes, and counts how often."""

    def __init__(self) -> None:
        self.built = 0
        self.stop: BaseException | None = None
        self.recipe = Recipe("base-1", "guest-1", "console=ttyS0", self._build, lambda python: b"guest")

    def _build(self, work: Path, say: Say) -> Base:
        self.built += 1
        (work / "half").write_bytes(b"half")
        if self.stop is not None:
            raise self.stop
        return Base(b"kernel", b"base", "python3.11", {"busybox-static": "1.35"}, "Debian 12")


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Kitchen()


def quiet(text: str) -> None:
    """Hears the progress, and does nothing."""


def test_an_image_is_built_once(kitchen: Kitchen) -> None:
    told: list[str] = []
    first = images.ensure("micro", told.append, kitchen.recipe)
    again = images.ensure("micro", told.append, kitchen.recipe)
    assert (first, kitchen.built) == (again, 1)
    assert told == [f"building the image micro in {cache.root()}"]
    assert first.kernel.read_bytes() == b"kernel"
    assert first.initrd.read_bytes() == b"baseguest"
    assert first.packages == (("busybox-static", "1.35"),)
    assert {path.name for path in cache.root().iterdir()} == {first.folder.name, "micro", ".lock-micro"}


def test_the_same_content_has_the_same_digest_and_keeps_its_snapshots(kitchen: Kitchen) -> None:
    image = images.ensure("micro", quiet, kitchen.recipe)
    written = snapshots.draft(image, KEY)
    written.write_bytes(b"state")
    snapshots.adopt_snapshot(image, KEY, written)
    again = images.build("micro", quiet, kitchen.recipe)
    assert again.sha256 == image.sha256
    assert [one.key for one in snapshots.snapshots(again)] == [KEY]


@pytest.mark.parametrize("change", [{"guest_digest": "guest-2"}, {"guest_digest": "g", "arguments": "quiet"}])
def test_sdnlabs_own_part_changes_without_packages(kitchen: Kitchen, change: dict[str, str]) -> None:
    before = images.ensure("micro", quiet, kitchen.recipe)
    changed = replace(kitchen.recipe, guest=lambda python: python.encode(), **change)
    after = images.ensure("micro", quiet, changed)
    assert kitchen.built == 1
    assert after.initrd.read_bytes() == b"basepython3.11"
    assert after.sha256 != before.sha256
    assert images.listed() == [after, before]


def test_checkouts_that_share_the_cache_have_versions_of_their_own(kitchen: Kitchen) -> None:
    one = images.ensure("micro", quiet, kitchen.recipe)
    changed = replace(kitchen.recipe, guest_digest="guest-2", guest=lambda python: b"new")
    other = images.ensure("micro", quiet, changed)
    assert images.ensure("micro", quiet, kitchen.recipe) == one
    assert images.ensure("micro", quiet, changed) == other


def test_the_version_of_this_checkout_comes_first(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    own = images.ensure("micro", quiet, kitchen.recipe)
    other = images.ensure(
        "micro", quiet, replace(kitchen.recipe, guest_digest="g", guest=lambda python: b"x")
    )
    assert images.listed() == [other, own]
    monkeypatch.setitem(images.RECIPES, "micro", lambda: kitchen.recipe)
    assert images.listed() == [own, other]
    assert images.find("micro") == own


def versions_in_a_row(kitchen: Kitchen) -> None:
    for number in range(cache.KEPT):
        guest = f"new {number}"
        images.ensure("micro", quiet, replace(kitchen.recipe, guest_digest=guest, guest=guest_saying(guest)))


def guest_saying(text: str) -> Callable[[str], bytes]:
    return lambda python: text.encode()


def test_old_versions_go(kitchen: Kitchen) -> None:
    before = images.ensure("micro", quiet, kitchen.recipe)
    versions_in_a_row(kitchen)
    assert not before.folder.exists()
    assert len(images.listed()) == cache.KEPT


def test_another_base_is_built_anew(kitchen: Kitchen) -> None:
    images.ensure("micro", quiet, kitchen.recipe)
    images.ensure("micro", quiet, replace(kitchen.recipe, base_digest="base-2"))
    assert kitchen.built == 2


def test_an_image_that_a_lab_holds_outlives_the_next_build(kitchen: Kitchen) -> None:
    before = images.ensure("micro", quiet, kitchen.recipe)
    held = before.hold()
    assert images.build("micro", quiet, kitchen.recipe).folder == before.folder
    versions_in_a_row(kitchen)
    assert before.kernel.exists()
    os.close(held)
    images.build("micro", quiet, kitchen.recipe)
    versions_in_a_row(kitchen)
    assert not before.folder.exists()


@pytest.mark.parametrize("file", ["vmlinux", "initrd", "image.json"])
def test_a_damaged_image_is_noticed_and_built_again(kitchen: Kitchen, file: str) -> None:
    image = images.ensure("micro", quiet, kitchen.recipe)
    (image.folder / file).write_bytes(b"damaged")
    again = images.ensure("micro", quiet, kitchen.recipe)
    assert kitchen.built == 2
    images.verify(again)
    assert again.kernel.read_bytes() == b"kernel"


@pytest.mark.parametrize("file", ["vmlinux", "initrd"])
def test_a_missing_file_is_noticed(kitchen: Kitchen, file: str) -> None:
    image = images.ensure("micro", quiet, kitchen.recipe)
    (image.folder / file).unlink()
    with pytest.raises(ImageError, match=f"the image micro is damaged: .*/{file}"):
        images.verify(image)
    assert images.ensure("micro", quiet, kitchen.recipe).kernel.exists()


def test_a_file_that_changed_without_a_trace_is_found_by_reading_it(kitchen: Kitchen) -> None:
    image = images.ensure("micro", quiet, kitchen.recipe)
    told = image.kernel.stat()
    image.kernel.write_bytes(b"KERNEL")
    os.utime(image.kernel, ns=(told.st_atime_ns, told.st_mtime_ns))
    with pytest.raises(ImageError, match="vmlinux"):
        images.verify(image)


def test_a_copied_cache_counts(kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images.ensure("micro", quiet, kitchen.recipe)
    shutil.copytree(tmp_path / "sdnlab", tmp_path / "copy/sdnlab", symlinks=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "copy"))
    assert images.ensure("micro", quiet, kitchen.recipe).kernel.read_bytes() == b"kernel"
    assert kitchen.built == 1


def test_what_is_interrupted_counts_for_nothing(kitchen: Kitchen) -> None:
    kitchen.stop = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        images.ensure("micro", quiet, kitchen.recipe)
    assert images.listed() == []
    assert [path.name for path in cache.root().iterdir()] == [".lock-micro"]


def test_what_a_killed_build_left_is_removed_by_the_next(kitchen: Kitchen) -> None:
    left = cache.root() / ".build-micro-killed"
    left.mkdir(parents=True)
    (left / "vmlinux").write_bytes(b"half")
    images.ensure("micro", quiet, kitchen.recipe)
    assert not left.exists()


def test_a_second_builder_waits_and_uses_the_first_ones_image(kitchen: Kitchen) -> None:
    folder = cache.root()
    folder.mkdir(parents=True)
    waits = threading.Event()
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        waits.set()

    built = []
    second = threading.Thread(target=lambda: built.append(images.ensure("micro", say, kitchen.recipe)))
    with (folder / ".lock-micro").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second.start()
        assert waits.wait(30)
    first = images.ensure("micro", quiet, kitchen.recipe)
    second.join(30)
    assert built == [first]
    assert kitchen.built == 1
    assert told[0] == "another process is changing the image micro: waiting for it"


def test_who_waited_for_a_lock_that_was_removed_takes_the_new_one(tmp_path: Path) -> None:
    waits, entered = threading.Event(), threading.Event()

    def wait_for_it() -> None:
        with cache.locked(tmp_path, "x", lambda text: waits.set()):
            entered.set()

    second = threading.Thread(target=wait_for_it)
    with cache.locked(tmp_path, "x", quiet):
        second.start()
        assert waits.wait(30)
        cache.lock_of(tmp_path, "x").unlink()
        with cache.locked(tmp_path, "x", quiet):  # a new lock
            waits.clear()
            old = cache.lock_of(tmp_path, "x").stat().st_ino
    second.join(30)
    assert entered.is_set() and cache.lock_of(tmp_path, "x").stat().st_ino == old


def test_an_image_is_removed_with_its_snapshots(kitchen: Kitchen) -> None:
    image = images.ensure("micro", quiet, kitchen.recipe)
    written = snapshots.draft(image, KEY)
    written.write_bytes(bytes(10000))
    snapshots.adopt_snapshot(image, KEY, written)
    assert images.remove("micro", quiet) >= 10000
    assert [path.name for path in cache.root().iterdir()] == [".lock-micro"]
    with pytest.raises(ImageError, match="there is no image named 'micro'"):
        images.remove("micro", quiet)


def test_an_unknown_image_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ImageError) as error:
        images.ensure("macro", quiet)
    assert error.value.remedy == "sdnlab builds: micro"


def test_a_full_disk_is_told_before_the_build(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "NEEDED", 1 << 62)
    with pytest.raises(ImageError, match=r"MB are free on the disk of .*, and a build needs"):
        images.ensure("micro", quiet, kitchen.recipe)
    assert kitchen.built == 0


def test_a_disk_that_fills_up_is_told(kitchen: Kitchen) -> None:
    kitchen.stop = OSError(28, "No space left on device")
    with pytest.raises(ImageError, match="no space is left on the disk of"):
        images.ensure("micro", quiet, kitchen.recipe)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(ImageError) as error:
        cache.root()
    assert error.value.remedy == "set XDG_CACHE_HOME to a folder of yours"


def test_root_never_uses_the_folder_of_the_user_who_called_sudo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = cache.root()
    assert own == tmp_path / "sdnlab/images"
    monkeypatch.setattr(os, "geteuid", lambda: 0 if tmp_path.stat().st_uid else 1)
    assert cache.root() != own


def test_a_snapshot_counts_only_when_it_is_complete(kitchen: Kitchen) -> None:
    image = images.ensure("micro", quiet, kitchen.recipe)
    assert snapshots.snapshot(image, KEY) is None
    written = snapshots.draft(image, KEY)
    written.write_bytes(b"state")
    assert snapshots.snapshot(image, KEY) is None
    kept = snapshots.adopt_snapshot(image, KEY, written)
    assert snapshots.snapshot(image, KEY) == kept
    assert kept.path == snapshots.snapshot_path(image, KEY)
    assert snapshots.snapshot(image, replace(KEY, memory=128 << 20)) is None
    kept.path.write_bytes(b"stat")
    assert snapshots.snapshot(image, KEY) is None
    assert snapshots.snapshots(image) == []


def test_a_snapshot_is_replaced_at_once_and_forgotten(kitchen: Kitchen) -> None:
    image = images.ensure("micro", quiet, kitchen.recipe)
    for state in (b"first", b"second"):
        written = snapshots.draft(image, KEY)
        written.write_bytes(state)
        kept = snapshots.adopt_snapshot(image, KEY, written)
        assert kept.path.read_bytes() == state
    assert len(list(kept.path.parent.iterdir())) == 2
    snapshots.forget(image, KEY)
    assert list(kept.path.parent.iterdir()) == []


def test_an_old_draft_of_a_killed_lab_is_removed(kitchen: Kitchen) -> None:
    image = images.ensure("micro", quiet, kitchen.recipe)
    old = snapshots.draft(image, KEY)
    os.utime(old, (0, 0))
    young = snapshots.draft(image, KEY)
    assert not old.exists()
    assert young.exists()
