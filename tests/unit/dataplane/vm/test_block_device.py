"""What QEMU is told about the volumes of a machine."""

from __future__ import annotations

from dataplane.hosts.vm import block_device
from topologies.model.storage import LONGEST_SERIAL, MOST_DEVICES


def test_the_guest_knows_a_volume_by_its_serial_number() -> None:
    device = block_device.device("data", 0x10)
    assert (device["driver"], device["serial"], device["addr"]) == ("virtio-blk-pci", "data", "0x10")
    assert device["drive"] == block_device.node("data", 0x10)["node-name"]


def test_the_connection_is_handed_over_and_never_made_again() -> None:
    node = block_device.node("data", 0x1E)
    assert node["server"] == {"type": "fd", "str": node["node-name"]}
    assert node["export"] == "data"
    assert "reconnect-delay" not in node


def test_each_volume_has_a_slot_of_its_own_as_long_as_there_are_some() -> None:
    taken: list[int] = []
    while (slot := block_device.free_slot(taken)) is not None:
        taken.append(slot)
    assert len(set(taken)) == len(taken) == block_device.MOST == MOST_DEVICES
    assert block_device.free_slot(set(taken) - {0x12}) == 0x12
    names = {block_device.name_of(slot) for slot in taken}
    assert len(names) == len(taken) and all(len(name) <= 31 for name in names)
    assert LONGEST_SERIAL == 20
