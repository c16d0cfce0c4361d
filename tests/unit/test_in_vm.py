"""The virtual machine of ``sdnlab test --in-vm``: what its console tells, and what it is started with."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from lab.cli.selftest import BY_NAME, TIERS
from tests.in_vm import disk, machine

ROOT = Path(__file__).resolve().parents[2]
SAID = """\
[    1.0] systemd says something
@up 14
@begin demo, as root
1  start quickstart.yaml
\x1b[32mthe demo passed\x1b[0m
@end 0 31 demo, as root
@begin tests/kernel
1 failed, 9 passed in 200 s
@end 1 201 tests/kernel
@exit 1
this is not read any more
"""


def heard(text: str) -> tuple[machine.Result, list[str]]:
    said: list[str] = []
    clock = count()
    return machine.heard(text.splitlines(), said.append, lambda: float(next(clock))), said


def test_what_the_console_tells() -> None:
    result, said = heard(SAID)
    assert result.ended and not result.good and result.booted == 1.0
    assert result.steps == (
        machine.Step("demo, as root", 0, 31, ("1  start quickstart.yaml", "the demo passed")),
        machine.Step("tests/kernel", 1, 201, ("1 failed, 9 passed in 200 s",)),
    )
    assert "up after 1 s" in said and "FAILED (1) after 201 s: tests/kernel" in said
    assert not any("systemd" in line or "not read" in line for line in said)


@pytest.mark.parametrize("lines", [0, 3, 6, 9])
def test_a_machine_that_ends_half_way_has_failed(lines: int) -> None:
    result, _ = heard("\n".join(SAID.splitlines()[:lines]))
    assert not result.ended and not result.good


def test_all_good_is_told_as_good() -> None:
    result, _ = heard("@up 9\n@begin demo\nyes\n@end 0 5 demo\n@exit 0\n")
    assert result.good
    assert not heard("@up 9\n@exit 0\n")[0].good, "nothing was done"


def test_the_disk_is_never_written_and_the_checkout_only_read() -> None:
    bootable = disk.Disk(Path("/c/disk.qcow2"), Path("/c/vmlinuz"), Path("/c/initrd.img"))
    argv = machine.command_line(bootable, Path("/t/checkout.tar"), machine.Order("tcg", Path("/t/log")))
    drives = [argv[at + 1] for at, word in enumerate(argv) if word == "-drive"]
    assert "snapshot=on" in drives[0] and "readonly=on" in drives[1]
    assert "/t/shell" not in " ".join(argv)
    assert "systemd.setenv=SDNLAB_IN_VM=tests" in " ".join(argv)
    order = machine.Order("kvm", Path("/t/l"), Path("/t/shell"), what="bench")
    argv = machine.command_line(bootable, Path("/t/c"), order)
    assert "/t/shell" in " ".join(argv) and "systemd.setenv=SDNLAB_IN_VM=bench" in " ".join(argv)


def test_a_release_that_there_is_not_is_refused_before_anything_is_built() -> None:
    with pytest.raises(disk.CannotBuild, match="allowed: bookworm, trixie"):
        disk.disk_of("sid", print)


def test_the_machine_is_prepared_by_the_script_of_vagrant() -> None:
    assert "vagrant/provision.sh --no-kernel" in disk.SCRIPT
    guest = (ROOT / "tests/in_vm/guest.sh").read_text(encoding="utf-8")
    assert "vagrant/provision.sh --offline" in guest and "./sdnlab demo" in guest
    subprocess.run(["bash", "-n", ROOT / "tests/in_vm/guest.sh"], check=True)


def test_the_tier_runs_only_when_it_is_named() -> None:
    assert "kernel" in BY_NAME and "kernel" not in TIERS


@pytest.mark.parametrize(
    ("words", "remedy"),
    [(["--in-vm", "unit"], "leave the tiers"), (["--release", "trixie"], "sdnlab test --in-vm")],
)
def test_options_that_do_not_go_together(words: list[str], remedy: str) -> None:
    done = subprocess.run([sys.executable, "-m", "lab", "test", *words], capture_output=True, text=True)
    assert done.returncode == 2 and remedy in done.stderr
