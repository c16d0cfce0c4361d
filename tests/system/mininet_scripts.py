"""Runs Mininet scripts by ``sdnlab mininet``, as root or as an ordinary user."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

ORDINARY = 54321
PATIENCE = 120
PROGRAM = [sys.executable, "-c", "from lab.cli import main; main()", "mininet"]

_PRIVATE_TUN = """
mount --make-rprivate / && mount -t tmpfs none /mnt && mknod -m 666 /mnt/tun c 10 200 &&
mount --bind /mnt/tun /dev/net/tun && cd "$0" &&
exec setpriv --reuid {user} --regid {user} --clear-groups "$@"
"""
"""Becomes an ordinary user for whom /dev/net/tun has its usual mode, in a mount namespace of its own."""


def write(folder: Path, script: str, name: str = "topo.py") -> Path:
    """A script in a folder that an ordinary user may enter and write."""
    file = folder / name
    file.write_text(textwrap.dedent(script))
    for path in (folder, *folder.parents):
        if path == Path("/tmp"):
            break
        with contextlib.suppress(PermissionError):
            path.chmod(0o777 if path == folder else 0o755)
    return file


def command(folder: Path, words: tuple[str, ...], ordinary: bool) -> list[str]:
    """The command line that runs ``sdnlab mininet WORDS`` in a folder."""
    if not ordinary:
        return [*PROGRAM, *words]
    become = _PRIVATE_TUN.format(user=ORDINARY)
    return ["unshare", "-m", "sh", "-c", become, str(folder), *PROGRAM, *words]


def run(
    folder: Path,
    *words: str,
    ordinary: bool = False,
    code: int = 0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What ``sdnlab mininet WORDS`` prints, on both streams, when it ends with ``code``."""
    done = subprocess.run(
        command(folder, words, ordinary),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def processes(mark: str) -> list[str]:
    """The command lines of the machine's processes that contain ``mark``, but for the caller's own."""
    lines = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if mark in words:
                    lines.append(words)
    return lines


@contextlib.contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """``sdnlab mininet WORDS`` while it runs; it is killed at the end."""
    process = subprocess.Popen(
        command(folder, words, False),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)
