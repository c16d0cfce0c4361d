"""A machine's bridge and tap, as netlink requests, and in a namespace of its own."""

from __future__ import annotations

from dataplane.hosts.vm.network import port_mac
from dataplane.hosts.vm.process import reason
from dataplane.netlink.bridge import add_wire_bridge, set_mac, set_master


def test_the_port_has_another_address_than_the_guest() -> None:
    assert port_mac("02:00:00:00:00:01") == "fe:00:00:00:00:01"
    assert port_mac("fe:00:00:00:00:01") == "fa:00:00:00:00:01"


def test_a_bridge_that_learns_nothing_and_passes_all_groups() -> None:
    payload = add_wire_bridge("vmbr0").payload
    # attributes of linux/if_link.h: length, number, value
    assert b"\x08\x00\x04\x00\x00\x00\x00\x00" in payload  # IFLA_BR_AGEING_TIME 0
    assert b"\x06\x00\x09\x00\xf8\xff" in payload  # IFLA_BR_GROUP_FWD_MASK 0xfff8
    assert b"\x05\x00\x17\x00\x00" in payload  # IFLA_BR_MCAST_SNOOPING 0


def test_requests_name_the_device_in_errors() -> None:
    assert set_mac(3, "02:00:00:00:00:01").what == "set the MAC address of device 3"
    assert set_master(3, 4).payload[4:8] == b"\x03\x00\x00\x00"


def test_why_qemu_ended() -> None:
    assert reason(-9, "") == "QEMU was killed (SIGKILL)"
    assert reason(0, "") == "it was switched off from inside"
    said = "qemu-system-x86_64: cannot set up guest memory 'ram'\n\n"
    assert reason(1, said) == "QEMU ended: qemu-system-x86_64: cannot set up guest memory 'ram'"
    assert reason(3, "") == "QEMU ended: exit code 3"
