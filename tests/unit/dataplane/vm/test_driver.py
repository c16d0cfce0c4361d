"""What virtual machines need of this machine, and how they are entered."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from dataplane.hosts.driver import HostError, Place
from dataplane.hosts.drivers import DRIVERS
from dataplane.hosts.vm import driver
from dataplane.hosts.vm.driver import VmHosts
from topologies.model.hosts import VirtualMachine, VmHost
from topologies.model.values import Port


def machine(name: str, memory: int, image: str = "micro") -> VmHost:
    return VmHost(
        name=name,
        kind="vm",
        network="lan",
        port=Port(switch="s1", number=1),
        mac="02:00:00:00:00:01",
        vm=VirtualMachine(memory=memory, image=image),
    )


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None, bool], None]:
    def have(free: int | None, qemu: bool) -> None:
        monkeypatch.setattr(driver, "available_memory", lambda: free)
        monkeypatch.setattr(driver, "has_qemu", lambda: qemu)

    return have


def test_memory_is_counted_for_all_machines_together(there: Callable[[int | None, bool], None]) -> None:
    two = [machine("v1", 256 << 20), machine("v2", 256 << 20)]
    there(2 * (256 << 20) + 2 * driver.OVERHEAD, True)
    assert VmHosts().lacks(two) == []
    there(600 << 20, True)
    (lack,) = VmHosts().lacks(two)
    assert lack.what == "600 MiB of memory are available, not 672 MiB"
    assert lack.needed == "the virtual machines (v1, v2)"
    assert VmHosts().lacks(two[:1]) == []
    there(None, True)
    assert VmHosts().lacks(two) == []


def test_without_qemu_it_says_how_to_get_it(there: Callable[[int | None, bool], None]) -> None:
    there(None, False)
    (lack,) = VmHosts().lacks([machine("v1", 1 << 28)])
    assert lack.what == "qemu-system-x86_64 is not installed"
    assert lack.remedy == "install it: sudo apt-get install qemu-system-x86"


def test_too_little_memory_for_the_image_is_refused() -> None:
    with pytest.raises(HostError) as error:
        VmHosts().prepare([machine("v1", 1 << 28), machine("v2", 128 << 20)], lambda text: None)
    assert error.value.what == "v2 has 128 MiB of memory, and the image micro boots with 144 MiB or more"
    assert error.value.remedy == "write memory: 144MiB at hosts.v2, or leave it out (256MiB)"


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """A disk that names a file of the machine as a part of it."""
    first = struct.pack(">4sIQIIQI", b"QFI\xfb", 3, 104, 7, 16, 1 << 30, 0)
    (tmp_path / "disk.qcow2").write_bytes(first.ljust(512, b"\0"))
    return str(tmp_path / "disk.qcow2")


def test_a_disk_is_checked_before_the_lab_starts(hostile: str) -> None:
    with pytest.raises(HostError, match="it has a backing file") as error:
        VmHosts().prepare([machine("deb", 1 << 28, hostile)], lambda text: None)
    assert "qemu-img convert" in error.value.remedy


def test_a_machine_with_a_disk_needs_more(
    hostile: str, there: Callable[[int | None, bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    there(None, True)
    monkeypatch.setattr("shutil.which", lambda name: None)
    some = [machine("v1", 1 << 28), machine("deb", 1 << 28, hostile)]
    assert VmHosts().lacks(some[:1]) == []
    (lack,) = VmHosts().lacks(some)
    assert (lack.what, lack.needed) == ("qemu-img is not installed", "virtual machines with a disk (deb)")
    assert lack.remedy == "install it: sudo apt-get install qemu-utils"
    assert VmHosts().patience(some[0]) < VmHosts().patience(some[1])


def test_a_command_with_the_variables_of_the_host() -> None:
    place = Place("v1", "vm", "v1", "", "/run/x", (("A", "b c"),))
    words = DRIVERS["vm"].command(place, ["echo", "x"])
    assert words[-6:] == ["v1", "/run/x/agent", "env", "A=b c", "echo", "x"]
    place = Place("v1", "vm", "v1", "", "/run/x")
    assert DRIVERS["vm"].command(place, ["echo", "x"])[-4:] == ["v1", "/run/x/agent", "echo", "x"]


def test_a_machine_that_is_not_there_has_no_state() -> None:
    assert json.dumps(VmHosts().state(Place("v1", "vm", "v1", "", "/run/x"))) == "{}"
