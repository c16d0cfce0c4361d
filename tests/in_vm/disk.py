"""The disk of the virtual machine: a Debian that ``vagrant/provision.sh`` has prepared, made once.

    CACHE/tests/vm-RELEASE-DIGEST/    disk.qcow2, vmlinuz, initrd.img
    CACHE/tests/.vm-...               a build that goes on, or that was interrupted

The digest is that of all that the disk is made of. The checkout is not on it: it comes with each start
(``machine``), and finds the environment that its likes have made.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dataplane.images import cache
from linux import syscalls

ROOT = Path(__file__).resolve().parents[2]
RELEASES = ("bookworm", "trixie")
USER = "vagrant"
"""The ordinary user, with Vagrant's name and folders, whose checkout it is."""
PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "kmod", "ca-certificates", "linux-image-cloud-amd64"),
    *("iproute2", "procps", "util-linux", "sudo", "zstd"),
)
SIZE = 12 << 30
"""Bytes of the disk; most are a hole."""
BUILD_SECONDS = 3600.0

_START = f"tar -C /home/{USER}/sdnlab -xf /dev/vdb && exec /home/{USER}/sdnlab/tests/in_vm/guest.sh"
SERVICE = f"""\
[Unit]
Description=The tests that came with the second disk
After=multi-user.target
[Service]
Type=idle
ExecStart=/bin/sh -c '{_START}'
ExecStopPost=/bin/systemctl --no-block poweroff --force --force
Environment=HOME=/root LANG=C.UTF-8 TERM=dumb
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/hvc0
[Install]
WantedBy=multi-user.target
"""

SCRIPT = f"""\
set -e
echo sdnlab > /etc/hostname
echo '127.0.0.1 localhost sdnlab' > /etc/hosts
echo '/dev/vda / ext4 rw,noatime 0 1' > /etc/fstab
id {USER} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {USER}
chown -R {USER}: /home/{USER}
cd /home/{USER}/sdnlab
vagrant/provision.sh --no-kernel --user {USER}
vagrant/provision.sh --no-kernel --user {USER} --offline
runuser -u {USER} -- .venv/bin/python -m pip -q --disable-pip-version-check install -e '.[test]'
systemctl enable sdnlab-in-vm.service
systemctl mask serial-getty@hvc0.service serial-getty@ttyS0.service getty@tty1.service
systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer systemd-networkd-wait-online.service
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /home/{USER}/.cache/pip
"""

Say = Callable[[str], None]


class CannotBuild(Exception):
    """Why there is no disk; the text is for the user."""


class Disk(NamedTuple):
    """What a machine boots from; nobody may change the files."""

    disk: Path
    kernel: Path
    initrd: Path


def disk_of(release: str, say: Say) -> Disk:
    """The disk of a release, built when there is none. Raises CannotBuild."""
    if release not in RELEASES:
        raise CannotBuild(f"no release {release!r}; allowed: {', '.join(RELEASES)}")
    folder = cache.root().parent / "tests"
    name = f"vm-{release}-{_digest(release)}"
    there = folder / name
    if not there.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock-vm").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not there.is_dir():
                _may_build()
                say(f"building a disk of Debian {release} from its packages (once: minutes)")
                for left in folder.glob(".vm-*"):
                    shutil.rmtree(left)
                with tempfile.TemporaryDirectory(prefix=".vm-", dir=folder) as work:
                    _build(release, Path(work), say).rename(there)
                for old in folder.glob(f"vm-{release}-*"):
                    if old != there:
                        shutil.rmtree(old)
    return Disk(there / "disk.qcow2", there / "vmlinuz", there / "initrd.img")


def _digest(release: str) -> str:
    text = repr((release, PACKAGES, SERVICE, SCRIPT, SIZE))
    packages = subprocess.run([ROOT / "sdnlab", "--packages"], check=True, capture_output=True).stdout
    script = (ROOT / "vagrant/provision.sh").read_bytes()
    whole = text.encode() + packages + script + dependencies().encode()
    return hashlib.sha256(whole).hexdigest()[:12]


def dependencies() -> str:
    """What decides which Python packages are installed: pyproject.toml up to the settings of tools."""
    return (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\n[tool.")[0]


def _may_build() -> None:
    if os.geteuid() != 0:
        raise CannotBuild("a disk can't be made without root: it has files of many users. Run this as root")
    programs = {"mmdebstrap": "mmdebstrap", "mkfs.ext4": "e2fsprogs", "qemu-img": "qemu-utils", "git": "git"}
    if lacking := [package for program, package in programs.items() if shutil.which(program) is None]:
        raise CannotBuild(f"programs are missing. Run: apt-get install -y {' '.join(lacking)}")


def checkout() -> list[str]:
    """The files of the checkout, with those that no commit has yet."""
    argv = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).exists()]


def pack(archive: Path) -> None:
    """Write the checkout's files into an archive, all of them the user's of the machine."""
    argv = ["tar", "-C", str(ROOT), "--owner=1000", "--group=1000", "--null", "-T", "-", "-cf", str(archive)]
    subprocess.run(argv, check=True, input="\0".join(checkout()).encode())


def _build(release: str, work: Path, say: Say) -> Path:
    root, built = work / "root", work / "built"
    built.mkdir()
    archive = work / "checkout.tar"
    pack(archive)
    script = work / "prepare"
    script.write_text(_preparation(archive))
    argv = [
        # What is mounted below the root goes with the build, also when it is killed.
        *(
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ),
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory"),
        *(f"--include={','.join(PACKAGES)}", "--dpkgopt=force-unsafe-io"),
        *('--aptopt=APT::Install-Recommends "false"', f'--customize-hook=sh -e {script} "$1"'),
        *(release, str(root)),
    ]
    _run(argv, BUILD_SECONDS, say)
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile((root / name).resolve(), built / name)
    raw = work / "raw"
    with raw.open("wb") as file:
        file.truncate(SIZE)
    say("writing it as a disk")
    _run(["mkfs.ext4", "-q", "-F", "-d", str(root), str(raw)], BUILD_SECONDS, say)
    _run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(built / "disk.qcow2")], BUILD_SECONDS, say)
    for part in built.iterdir():
        part.chmod(0o444)
    return built


def _preparation(archive: Path) -> str:
    """What mmdebstrap runs when the packages are there, with the root as $1: this machine's way to the
    network, the checkout, and ``SCRIPT`` within."""
    given = {name: os.environ[name] for name in sorted(os.environ) if _is_of_the_network(name)}
    certificates = {path for path in given.values() if path.startswith("/") and Path(path).is_file()}
    lines = ['cp -L /etc/resolv.conf "$1/etc/resolv.conf"']
    lines += [f'install -D -m 644 {path} "$1{path}"' for path in sorted(certificates)]
    lines += [f'mkdir -p "$1/home/{USER}/sdnlab"', f'tar -C "$1/home/{USER}/sdnlab" -xf {archive}']
    lines.append(f"cat > \"$1/etc/systemd/system/sdnlab-in-vm.service\" <<'END'\n{SERVICE}END")
    environment = " ".join(f"{name}='{value}'" for name, value in given.items())
    lines.append(f"chroot \"$1\" env {environment} sh -e -c '{_quoted(SCRIPT)}'")
    return "\n".join(lines) + "\n"


def _is_of_the_network(name: str) -> bool:
    return (
        name.startswith("PIP_")
        or name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
        or name.lower().endswith("_proxy")
    )


def _quoted(text: str) -> str:
    return text.replace("'", "'\\''")


def _run(argv: Sequence[str], seconds: float, say: Say) -> None:
    """Run a program, and say lines of the provisioning. Raises CannotBuild with its last lines."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    last: list[str] = []
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        preexec_fn=partial(syscalls.die_with_parent, signal.SIGKILL),
    )
    assert process.stdout is not None
    for line in process.stdout:
        last = [*last[-14:], line.rstrip()]
        if line.startswith(("provision:", "sdnlab:", "    ")):
            say(line.rstrip())
    if process.wait():
        raise CannotBuild(f"{argv[0]} ended with {process.returncode}:\n" + "\n".join(last))
