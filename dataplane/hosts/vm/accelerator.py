"""Which accelerator ``auto`` means on this machine: KVM only where a guest has really booted with it.

A /dev/kvm that can be opened proves nothing: in some machines that are virtual themselves, a guest never
leaves its firmware.  So a tiny guest boots from a disk of one sector and writes to a port that ends QEMU with
a code of its own.  The answer is kept for the boot of the machine and the version of QEMU.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from dataplane.hosts.vm.command_line import PROCESSORS, PROGRAM
from dataplane.images import cache
from dataplane.images.errors import ImageError

KVM = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PATIENCE = 5.0
"""Seconds in which the tiny guest must have booted. With KVM that works it takes half a second."""
PORT = 0xF4
SAID = 0x2A
EXIT = SAID << 1 | 1
"""QEMU's exit code when the guest writes ``SAID`` to isa-debug-exit (hw/misc/debugexit.c)."""
# mov al, SAID; mov dx, PORT; out dx, al; hlt; jmp to hlt; and the mark of a sector that can be booted
SECTOR = bytes([0xB0, SAID, 0xBA, PORT, 0, 0xEE, 0xF4, 0xEB, 0xFD]).ljust(510, b"\0") + b"\x55\xaa"


@dataclass(frozen=True)
class Choice:
    """An accelerator, ``kvm`` or ``tcg``, and the reason as text."""

    accelerator: str
    why: str


def qemu_version() -> str:
    """What QEMU calls its version; empty: there is no QEMU. Takes 20 ms."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=10, check=True)
        match = re.search(r"version (.*)", said.stdout)
        return match[1].strip() if match else said.stdout.strip()
    return ""


def choose(wanted: str, qemu: str) -> Choice:
    """The accelerator for ``wanted`` (``auto``, ``kvm`` or ``tcg``). ``qemu``: ``qemu_version()``.

    It tries KVM if the answer is not known yet, which takes ``PATIENCE`` seconds at most.
    """
    if wanted != "auto":
        return Choice(wanted, "the file wants it")
    known = remembered(qemu)
    if known is not None:
        return known
    choice = tried()
    remember(qemu, choice)
    return choice


def refute(qemu: str, why: str) -> Choice:
    """KVM took the tiny guest, but not a machine's kernel, as nested virtualisation may do: remember TCG."""
    choice = Choice("tcg", f"KVM does not work here: {why}")
    remember(qemu, choice)
    return choice


def tried() -> Choice:
    """Try KVM now."""
    if not KVM.exists():
        return Choice("tcg", f"there is no {KVM}")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Choice("tcg", f"your user may not open {KVM}")
    began = time.monotonic()
    why = boots("kvm", PATIENCE)
    if why:
        return Choice("tcg", f"KVM does not work here: {why}")
    return Choice("kvm", f"a guest booted with it in {time.monotonic() - began:.1f} s")


def boots(accelerator: str, patience: float) -> str:
    """Boot the tiny guest. Empty: it did, within ``patience`` seconds; else the reason as text."""
    with tempfile.NamedTemporaryFile(prefix="sdnlab-probe-") as disk:
        disk.write(SECTOR)
        disk.flush()
        try:
            ended = subprocess.run(
                probe_words(accelerator, disk.name),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=patience,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"a guest has not booted within {patience:.0f} s"
        except OSError as error:
            return f"{PROGRAM}: {error.strerror}"
    if ended.returncode == EXIT:
        return ""
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"QEMU ended with exit code {ended.returncode}"


def probe_words(accelerator: str, disk: str) -> list[str]:
    """QEMU's program and arguments for the tiny guest. Pure."""
    return [
        PROGRAM,
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "pc", "-accel", accelerator, "-cpu", PROCESSORS[accelerator], "-m", "16"),
        *("-blockdev", f"driver=file,node-name=file,filename={disk}"),
        *("-blockdev", "driver=raw,node-name=disk,file=file"),
        *("-device", "ide-hd,drive=disk,bootindex=1"),
        *("-device", f"isa-debug-exit,iobase={PORT:#x},iosize=4"),
    ]


def remembered(qemu: str) -> Choice | None:
    """The answer that is kept, if it is of this boot, this QEMU and this user."""
    try:
        told = json.loads(_record().read_bytes())
        return Choice(**told["choice"]) if told["for"] == _asked(qemu) else None
    except (OSError, ValueError, KeyError, TypeError, ImageError):
        return None


def remember(qemu: str, choice: Choice) -> None:
    """Keep an answer. Where it can't be kept, the next one asks again."""
    with contextlib.suppress(OSError, ImageError):
        record = _record()
        record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        cache.write(record, json.dumps({"for": _asked(qemu), "choice": asdict(choice)}).encode())


def _record() -> Path:
    return cache.root().parent / "accelerator.json"


def _asked(qemu: str) -> list[str]:
    """What an answer is true for. KVM may be allowed later: its mode and owner belong to it."""
    try:
        device = KVM.stat()
        mode = f"{device.st_mode:o} {device.st_uid} {device.st_gid}"
    except OSError:
        mode = ""
    return [BOOT_ID.read_text().strip(), qemu, mode, str(shutil.which(PROGRAM))]
