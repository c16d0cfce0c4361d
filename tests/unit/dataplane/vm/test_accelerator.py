"""Which accelerator ``auto`` means: by a guest that boots, and remembered."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dataplane.hosts.vm import accelerator
from dataplane.hosts.vm.accelerator import Choice
from dataplane.hosts.vm.command_line import PROGRAM

QEMU = "7.2.0 (test)"
YES = f"exit {accelerator.EXIT}"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a /dev/kvm, and a QEMU to be written."""
    kvm = tmp_path / "kvm"
    kvm.touch()
    monkeypatch.setattr(accelerator, "KVM", kvm)
    monkeypatch.setattr(accelerator, "PATIENCE", 0.3)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def qemu(folder: Path, does: str) -> None:
    program = folder / "qemu-system-x86_64"
    program.write_text(f"#!/bin/sh\necho run >>{folder}/runs\n{does}\n", encoding="utf-8")
    program.chmod(0o755)


def runs(folder: Path) -> int:
    record = folder / "runs"
    return len(record.read_text().splitlines()) if record.exists() else 0


def test_kvm_that_boots_a_guest_is_taken(machine: Path) -> None:
    qemu(machine, YES)
    assert accelerator.choose("auto", QEMU).accelerator == "kvm"


def test_kvm_whose_guest_never_leaves_its_firmware_is_not(machine: Path) -> None:
    qemu(machine, "exec sleep 60")
    choice = accelerator.choose("auto", QEMU)
    assert choice.accelerator == "tcg"
    assert "a guest has not booted within" in choice.why


def test_what_qemu_says_is_the_reason(machine: Path) -> None:
    qemu(machine, "echo 'Could not access KVM kernel module' >&2; exit 1")
    choice = accelerator.choose("auto", QEMU)
    assert choice == Choice("tcg", "KVM does not work here: Could not access KVM kernel module")


def test_without_a_device_nothing_is_started(machine: Path) -> None:
    (machine / "kvm").unlink()
    qemu(machine, YES)
    assert accelerator.choose("auto", QEMU) == Choice("tcg", f"there is no {machine}/kvm")
    assert runs(machine) == 0


def test_the_answer_is_kept_for_this_boot_qemu_and_device(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu(machine, YES)
    first = accelerator.choose("auto", QEMU)
    assert accelerator.choose("auto", QEMU) == first == accelerator.remembered(QEMU)
    assert runs(machine) == 1
    assert accelerator.remembered("8.0") is None
    (machine / "kvm").chmod(0o600)
    assert accelerator.remembered(QEMU) is None
    (machine / "kvm").chmod(0o644)
    boot = machine / "boot"
    boot.write_text("another", encoding="utf-8")
    monkeypatch.setattr(accelerator, "BOOT_ID", boot)
    assert accelerator.remembered(QEMU) is None


def test_a_spoilt_record_is_no_answer(machine: Path) -> None:
    qemu(machine, YES)
    accelerator.choose("auto", QEMU)
    record = machine / "cache/sdnlab/accelerator.json"
    for text in ("", "{}", "[]", '{"for": 1, "choice": 2}'):
        record.write_text(text, encoding="utf-8")
        assert accelerator.remembered(QEMU) is None


def test_what_the_file_wants_is_taken_unasked(machine: Path) -> None:
    qemu(machine, YES)
    assert accelerator.choose("tcg", QEMU).accelerator == "tcg"
    assert accelerator.choose("kvm", QEMU).accelerator == "kvm"
    assert runs(machine) == 0


@pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="QEMU is not installed")
def test_the_tiny_guest_boots_under_tcg() -> None:
    assert accelerator.boots("tcg", 30.0) == ""


def test_what_a_kernel_has_refuted_is_not_tried_again(machine: Path) -> None:
    qemu(machine, YES)
    assert accelerator.choose("auto", QEMU).accelerator == "kvm"
    accelerator.refute(QEMU, "its guest boots again and again")
    assert accelerator.choose("auto", QEMU) == Choice(
        "tcg", "KVM does not work here: its guest boots again and again"
    )
    assert runs(machine) == 1
