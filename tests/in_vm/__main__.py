"""``sdnlab test --in-vm``: the demo, and the tests of the kernel's datapath, in a virtual machine.

With ``--what bench`` it measures there instead. Run it as ``python -m tests.in_vm``. A disk is made once for
each release, and takes minutes; the rest takes a few minutes with KVM, and a quarter of an hour where QEMU
interprets. Exit codes: 0 all passed; 1 something failed; 3 this machine lacks something.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from dataplane.hosts.vm import accelerator
from dataplane.hosts.vm.command_line import PROGRAM
from tests.in_vm import disk, machine

SECONDS = {"kvm": 1800.0, "tcg": 7200.0}
"""Accelerator -> seconds after which the machine is ended."""
EXPECTED = {"kvm": "some minutes", "tcg": "about a quarter of an hour on two idle cores"}


def main() -> int:
    """Build, boot, test, tell."""
    parser = argparse.ArgumentParser(prog="sdnlab test --in-vm")
    parser.add_argument("--release", choices=disk.RELEASES, default=disk.RELEASES[0])
    parser.add_argument("--shell", type=Path, metavar="SOCKET", help="also a shell of root, at a Unix socket")
    parser.add_argument("--what", choices=machine.WHAT, default=machine.WHAT[0])
    wanted = parser.parse_args()
    began = time.monotonic()

    def say(text: str) -> None:
        print(text, flush=True)

    if shutil.which(PROGRAM) is None:
        say(f"{PROGRAM} is not installed. Run: apt-get install -y qemu-system-x86")
        return 3
    choice = accelerator.choose("auto", accelerator.qemu_version())
    say(f"a virtual machine with Debian {wanted.release}, {choice.accelerator.upper()} ({choice.why})")
    say(f"this takes {EXPECTED[choice.accelerator]}, and some more when the disk must be made first")
    try:
        booted = disk.disk_of(wanted.release, say)
    except disk.CannotBuild as error:
        say(f"there is no disk: {error}")
        return 3
    with tempfile.TemporaryDirectory(prefix="sdnlab-in-vm-") as name:
        checkout, log = Path(name) / "checkout.tar", Path(name) / "kernel.log"
        disk.pack(checkout)
        order = machine.Order(choice.accelerator, log, wanted.shell, wanted.what)
        result = machine.run(booted, checkout, order, SECONDS[choice.accelerator], say)
        if not result.ended:
            last = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
            say("the machine ended, or took too long; the last lines of its console:")
            say("\n".join(f"  {line}" for line in last))
    say(f"\nDebian {wanted.release} in QEMU with {choice.accelerator.upper()}:")
    for step in result.steps:
        say(f"  {'ok' if step.code == 0 else 'FAILED':6}  {step.seconds:4} s  {step.name}: {told(step)}")
    say(f"  boot {result.booted:.0f} s, all {time.monotonic() - began:.0f} s")
    return 0 if result.good else 1


def told(step: machine.Step) -> str:
    """The last line of what a step said."""
    return next((line.strip("= ") for line in reversed(step.lines) if line.strip()), "")


if __name__ == "__main__":
    sys.exit(main())
