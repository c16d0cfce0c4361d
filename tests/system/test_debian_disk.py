"""A disk that boots by itself, as cloud images do: cloud-init takes the lab's seed from beside it.

It takes one to three minutes with an emulated processor, so all tests share the machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from dataplane.hosts.guest import files
from dataplane.hosts.vm import client
from dataplane.hosts.vm.channel import Broker
from dataplane.images import seed
from tests.debian_disk import debian_disk

ROOT = Path(__file__).resolve().parents[2]
MAC = "02:00:00:00:00:05"
PATIENCE = 900.0
"""Seconds for a boot on a machine that does something else, too."""
PROGRAM = "import sys; from dataplane.hosts.vm.client import main; main()"

SEED = seed.Machine(
    name="web",
    mac=MAC,
    addresses=(ip_interface("10.0.0.5/24"), ip_interface("fd00::5/64")),
    gateways=(ip_address("10.0.0.1"),),
    mtu=1450,
    agent={path: source.read_bytes() for path, source in files.shipped().items()},
    command=files.COMMAND,
)


class Machine:
    """A machine under QEMU; ``socket``: where its broker offers the agent."""

    def __init__(self, folder: Path, disk: Path) -> None:
        self.console = folder / "console"
        self.socket = str(folder / "agent")
        port = folder / "port"
        iso = folder / "seed.iso"
        iso.write_bytes(seed.disk(SEED))
        argv = [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-machine", "q35", "-accel", "tcg", "-cpu", "max,la57=off", "-m", "512"),
            *("-drive", f"file={disk},if=virtio,format=qcow2,snapshot=on"),
            *("-drive", f"file={iso},if=virtio,format=raw,read-only=on"),
            *(
                "-netdev",
                "user,id=net,restrict=on",
                "-device",
                f"virtio-net-pci,netdev=net,mac={MAC},romfile=",
            ),
            *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=sdnlab.agent"),
            *("-chardev", f"socket,id=agent,path={port},server=on,wait=off"),
            *("-device", "virtio-rng-pci", "-serial", f"file:{self.console}"),
        ]
        self._qemu = subprocess.Popen(argv, stdin=subprocess.DEVNULL, cwd=folder)
        self._broker = Broker(str(port), self.socket)
        self._broker.start()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", PROGRAM, "web", self.socket, *words]
        return subprocess.run(
            argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )

    def stop(self) -> None:
        self._broker.stop()
        self._qemu.kill()
        self._qemu.wait(60)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not there")
    disk = debian_disk()
    # a short path: pytest's own are too long for a socket
    with tempfile.TemporaryDirectory(prefix="vm") as folder:
        machine = Machine(Path(folder), disk)
        try:
            try:
                client.wait_until_ready(machine.socket, PATIENCE)
            except client.Unreachable as error:
                pytest.fail(
                    f"{error}; its console ends: {machine.console.read_text(errors='replace')[-2000:]}"
                )
            yield machine
        finally:
            machine.stop()


def test_the_agent_runs_as_a_service_of_systemd(machine: Machine) -> None:
    assert machine.run("cat", "/proc/1/comm").stdout == "systemd\n"
    assert machine.run("systemctl", "is-active", seed.SERVICE).stdout == "active\n"
    assert machine.run("systemctl", "is-enabled", seed.SERVICE).stdout == "enabled\n"
    assert machine.run("sh", "-c", "exit 7").returncode == 7


def test_cloud_init_took_the_seed(machine: Machine) -> None:
    assert machine.run("hostname").stdout == "web\n"
    addresses = machine.run("ip", "-o", "address", "show", "eth0").stdout
    assert "10.0.0.5/24" in addresses and "fd00::5/64" in addresses
    assert MAC in machine.run("cat", "/sys/class/net/eth0/address").stdout
    assert machine.run("cat", "/sys/class/net/eth0/mtu").stdout == "1450\n"
    assert "via 10.0.0.1" in machine.run("ip", "route", "show", "default").stdout
