"""The virtual machine: QEMU's arguments, and what its console tells."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dataplane.hosts.vm.command_line import PROCESSORS, PROGRAM
from linux import syscalls
from tests.in_vm.disk import Disk

MEMORY = 3072
"""Megabytes. Labs of the tests take a few hundred."""
PROCESSORS_OF_IT = 2
WHAT = ("tests", "short", "bench")
"""What it does: all tests; the demo as root and ten tests; measurements."""
_MARK = re.compile(r"@(up|begin|end|exit) (.*)")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")

Say = Callable[[str], None]


class Order(NamedTuple):
    """What is wanted of the machine.

    ``log``: gets the kernel's console. ``shell``: the path of a Unix socket for a shell of root; None: there
    is none. ``what``: one of ``WHAT``.
    """

    accelerator: str
    log: Path
    shell: Path | None = None
    what: str = "tests"


class Step(NamedTuple):
    """What the machine did. ``lines``: its output."""

    name: str
    code: int
    seconds: int
    lines: tuple[str, ...]


class Result(NamedTuple):
    """``booted``: seconds until the tests began; 0: they never did. ``ended``: whether all was done."""

    booted: float
    steps: tuple[Step, ...]
    ended: bool

    @property
    def good(self) -> bool:
        """Whether all was done, and nothing failed."""
        return self.ended and bool(self.steps) and all(step.code == 0 for step in self.steps)


def command_line(disk: Disk, checkout: Path, order: Order) -> list[str]:
    """QEMU's program and arguments."""
    accelerator, shell = order.accelerator, order.shell
    console = ["-device", "virtio-serial-pci", "-chardev", "stdio,id=tests,signal=off"]
    console += ["-device", "virtconsole,chardev=tests"]
    if shell is not None:
        console += ["-chardev", f"socket,id=shell,path={shell},server=on,wait=off"]
        console += ["-device", "virtconsole,chardev=shell"]
    words = "root=/dev/vda rw console=ttyS0 mitigations=off net.ifnames=0 systemd.show_status=0"
    words += f" systemd.setenv=SDNLAB_IN_VM={order.what}"
    return [
        PROGRAM,
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "q35,usb=off,vmport=off", "-cpu", PROCESSORS[accelerator]),
        *("-accel", "tcg,thread=multi" if accelerator == "tcg" else accelerator),
        *("-smp", str(PROCESSORS_OF_IT), "-m", str(MEMORY)),
        *("-kernel", str(disk.kernel), "-initrd", str(disk.initrd)),
        *("-append", words),
        *("-drive", f"file={disk.disk},if=virtio,format=qcow2,snapshot=on,cache=unsafe"),
        *("-drive", f"file={checkout},if=virtio,format=raw,readonly=on"),
        *("-chardev", f"file,id=kernel,path={order.log}", "-serial", "chardev:kernel"),
        *("-device", "virtio-rng-pci"),
        *console,
    ]


def heard(lines: Iterable[str], say: Say, clock: Callable[[], float]) -> Result:
    """What the machine's console tells, until the tests have ended or nothing more comes."""
    began, booted = clock(), 0.0
    steps: list[Step] = []
    output: list[str] | None = None
    for raw in lines:
        line = _ESCAPES.sub("", raw).rstrip()
        mark = _MARK.fullmatch(line)
        if mark is None:
            if output is not None:
                output.append(line)
                say(f"  {line}")
        elif mark[1] == "up":
            booted = clock() - began
            say(f"up after {booted:.0f} s")
        elif mark[1] == "begin":
            output = []
            say(f"{clock() - began:.0f} s: {mark[2]}")
        elif mark[1] == "end":
            code, seconds, name = mark[2].split(" ", 2)
            steps.append(Step(name, int(code), int(seconds), tuple(output or ())))
            output = None
            say(f"{'ok' if code == '0' else f'FAILED ({code})'} after {seconds} s: {name}")
        else:
            return Result(booted, tuple(steps), True)
    return Result(booted, tuple(steps), False)


def run(disk: Disk, checkout: Path, order: Order, seconds: float, say: Say) -> Result:
    """Boot the machine, and let it do what comes with the ``checkout``. It is ended after so many seconds."""
    # QEMU keeps what the machine writes in a file of $TMPDIR that has no name.
    argv = command_line(disk, checkout, order)
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": "/var/tmp"},
        preexec_fn=partial(syscalls.die_with_parent, signal.SIGKILL),
    )
    try:
        return heard(_lines(process, time.monotonic() + seconds), say, time.monotonic)
    finally:
        process.kill()
        process.wait()


def _lines(process: subprocess.Popen[bytes], deadline: float) -> Iterator[str]:
    assert process.stdout is not None
    fd, rest = process.stdout.fileno(), b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([fd], [], [], left)[0]:
            return
        more = os.read(fd, 65536)
        if not more:
            return
        *whole, rest = (rest + more).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
