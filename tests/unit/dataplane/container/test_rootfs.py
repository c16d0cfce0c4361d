"""What a container's root file system is made of."""

from __future__ import annotations

from dataplane.hosts.container.rootfs import OPENED, OVERLAID, Entry, opened_below, overlay_options, treatment


def test_the_machines_folders_are_changed_above_shown_or_left_out() -> None:
    entries = [Entry("usr", True), Entry("bin", False, "usr/bin"), Entry("tmp", True), Entry("nix", True)]
    chosen = {entry.name: how for entry, how in treatment([*entries, Entry("swapfile", False)])}
    assert chosen == {"bin": "link", "nix": "shown", "tmp": "own", "usr": "overlaid"}
    for lab in ("run", "proc", "sys", "dev", "root"):
        assert treatment([Entry(lab, True)])[0][1] == "own"


def test_folders_that_can_be_changed_are_in_overlays() -> None:
    assert {path.split("/")[0] for path in OPENED} <= OVERLAID
    assert opened_below("etc") == [""]
    assert opened_below("usr")[:2] == ["local", "local/bin"]


def test_characters_that_mean_something_to_the_kernel_are_quoted() -> None:
    options = overlay_options("/a:b,c", "/u\\", "/w", True)
    assert options == r"lowerdir=/a\:b\,c,upperdir=/u\\,workdir=/w"
    assert overlay_options("/l", "/u", "/w", False).endswith(",userxattr")
