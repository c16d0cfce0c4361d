"""What virtual machines need of this machine, and how they are entered."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from dataplane.hosts.driver import Place
from dataplane.hosts.drivers import DRIVERS
from dataplane.hosts.vm import driver
from dataplane.hosts.vm.driver import VmHosts
from topologies.model.hosts import VirtualMachine, VmHost
from topologies.model.values import Port


def machine(name: str, memory: int) -> VmHost:
    return VmHost(
        name=name,
        kind="vm",
        network="lan",
        port=Port(switch="s1", number=1),
        mac="02:00:00:00:00:01",
        vm=VirtualMachine(memory=memory),
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
    assert lack.remedy == "sudo apt install qemu-system-x86"


def test_a_command_with_the_variables_of_the_host() -> None:
    place = Place("v1", "vm", "v1", "", "/run/x", (("A", "b c"),))
    words = DRIVERS["vm"].command(place, ["echo", "x"])
    assert words[-6:] == ["v1", "/run/x/agent", "env", "A=b c", "echo", "x"]
    place = Place("v1", "vm", "v1", "", "/run/x")
    assert DRIVERS["vm"].command(place, ["echo", "x"])[-4:] == ["v1", "/run/x/agent", "echo", "x"]


def test_a_machine_that_is_not_there_has_no_state() -> None:
    assert json.dumps(VmHosts().state(Place("v1", "vm", "v1", "", "/run/x"))) == "{}"
