"""A small Debian disk as cloud images are: with systemd, cloud-init and GRUB. It boots by itself.

Nothing like it can be had without a download of hundreds of megabytes, so it is made of packages, once: it
stays in the cache of images.  It takes root, mmdebstrap, a mirror of Debian, and some minutes: so only
``SDNLAB_BUILD_DISK=1`` builds it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from dataplane.images import cache

SUITE = "bookworm"
PACKAGES = (
    *(
        "systemd-sysv",
        "udev",
        "dbus",
        "cloud-init",
        "netplan.io",
        "iproute2",
        "iputils-ping",
        "python3-minimal",
    ),
    *("linux-image-cloud-amd64", "grub-pc-bin", "grub-common"),
)
SECTOR = 512
FIRST = 2048
"""The sector at which the partition begins; GRUB is in the gap before."""
SIZE = 1 << 30
"""Bytes of the disk; most are a hole."""
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux", "serial", "terminal", "normal", "search", "echo")
GRUB = """\
serial --unit=0
terminal_output serial
linux /vmlinuz root=/dev/vda1 ro console=tty0 console=ttyS0 mitigations=off quiet
initrd /initrd.img
boot
"""
SCRIPT = f"""\
set -e
echo sdnlab > /etc/hostname
echo '/dev/vda1 / ext4 rw,noatime 0 1' > /etc/fstab
mkdir -p /boot/grub
cat > /boot/grub/early.cfg <<'EOF'
{GRUB}EOF
grub-mkimage -O i386-pc -o /boot/grub/core.img -p '(hd0,msdos1)/boot/grub' -c /boot/grub/early.cfg \\
    {" ".join(GRUB_MODULES)}
cp /usr/lib/grub/i386-pc/boot.img /boot/grub/
systemctl enable systemd-networkd.service
systemctl mask apt-daily.timer apt-daily-upgrade.timer systemd-networkd-wait-online.service
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
"""


def debian_disk() -> Path:
    """The disk, as a qcow2 file that nobody may change. Skips the test where it can't be made."""
    lacking = [name for name in ("mmdebstrap", "mkfs.ext4", "qemu-img") if shutil.which(name) is None]
    text = repr((SUITE, PACKAGES, SCRIPT, SIZE))
    folder = cache.root().parent / "tests"
    disk = folder / f"debian-{hashlib.sha256(text.encode()).hexdigest()[:12]}.qcow2"
    if disk.exists():
        return disk
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if disk.exists():
            return disk
        if os.environ.get("SDNLAB_BUILD_DISK") != "1":
            pytest.skip("there is no Debian disk; SDNLAB_BUILD_DISK=1 builds one, which takes minutes")
        if lacking:
            pytest.skip(f"a Debian disk can't be made without {', '.join(lacking)}")
        if os.geteuid() != 0:
            pytest.skip("a Debian disk can't be made without root: it has files of many users")
        for old in folder.glob("debian-*.qcow2"):
            old.unlink()
        for left in folder.glob("build-*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as work:
            _build(Path(work), disk)
    return disk


def _build(work: Path, disk: Path) -> None:
    root = work / "root"
    script = work / "script"
    script.write_text(SCRIPT)
    argv = [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory"),
        *(f"--include={','.join(PACKAGES)}", "--dpkgopt=force-unsafe-io"),
        *(f'--customize-hook=chroot "$1" /bin/sh < {script}', SUITE, str(root)),
    ]
    try:
        _run(argv, 1800)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"a Debian disk can't be made: {error.stdout[-300:].decode('utf-8', 'replace')}")
    boot, core = ((root / "boot/grub" / name).read_bytes() for name in ("boot.img", "core.img"))
    assert len(core) <= (FIRST - 1) * SECTOR
    raw = work / "raw"
    with raw.open("wb") as file:
        file.truncate(SIZE)
        file.write(boot[:440] + bytes(6) + _partition_table())
        # GRUB's first sector loads the rest from the sector behind it
        file.write(core)
    offset = f"offset={FIRST * SECTOR}"
    blocks = str((SIZE - FIRST * SECTOR) // 1024)
    _run(["mkfs.ext4", "-q", "-F", "-E", offset, "-d", str(root), "-b", "1024", str(raw), blocks], 300)
    disk_file = work / "disk.qcow2"
    _run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(disk_file)], 300)
    disk_file.chmod(0o444)
    disk_file.rename(disk)


def _partition_table() -> bytes:
    """One active partition for Linux, to the end of the disk."""
    entry = struct.pack(
        "<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", FIRST, SIZE // SECTOR - FIRST
    )
    return entry + bytes(48) + b"\x55\xaa"


def _run(argv: Sequence[str], seconds: float) -> None:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(
        argv,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        env=environment,
    )
