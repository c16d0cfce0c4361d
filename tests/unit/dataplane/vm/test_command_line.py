"""QEMU's arguments as values."""

from __future__ import annotations

from itertools import pairwise

from dataplane.hosts.vm.command_line import Disk, Ends, Kernel, Memory, command_line, devices_mark, granted
from topologies.model.hosts import VirtualMachine

MAC = "02:00:00:00:00:07"
ENDS = Ends(tap=10, monitor=11, console=12, agent=13)
MEMORY = Memory(20, shared=True)


def words(
    settings: VirtualMachine | None = None,
    boot: Kernel | Disk | None = None,
    name: str = "v1",
    accelerator: str = "tcg",
    memory: Memory = MEMORY,
    restored: bool = False,
) -> list[str]:
    kernel = Kernel(30, 31, "quiet")
    return command_line(
        name, MAC, settings or VirtualMachine(), accelerator, boot or kernel, memory, ENDS, restored
    )


def value(of: list[str], option: str) -> list[str]:
    return [after for word, after in pairwise(of) if word == option]


def test_the_whole_command_of_a_small_machine() -> None:
    assert words(VirtualMachine(memory=128 << 20)) == [
        "qemu-system-x86_64",
        *("-name", "guest=v1"),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "pc,hpet=off,usb=off,vmport=off,memory-backend=ram"),
        *("-accel", "tcg"),
        *("-cpu", "max,la57=off"),
        *("-smp", "1"),
        *("-m", "134209536B"),
        *("-object", "memory-backend-file,id=ram,size=134209536B,mem-path=/proc/self/fd/20,share=on"),
        *("-kernel", "/proc/self/fd/30", "-initrd", "/proc/self/fd/31"),
        *("-append", "quiet"),
        *("-chardev", "socket,id=monitor,fd=11"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-chardev", "socket,id=console,fd=12"),
        *("-serial", "chardev:console"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", "socket,id=agent,fd=13,server=on,wait=off"),
        *("-device", "virtserialport,chardev=agent,name=sdnlab.agent"),
        *("-netdev", "tap,id=net,fd=10"),
        *("-device", f"virtio-net-pci,netdev=net,id=nic,mac={MAC},romfile="),
        *("-device", "virtio-rng-pci"),
        *("-device", "VGA,vgamem_mb=2"),
        *("-device", "pvpanic-pci"),
        *("-action", "panic=pause"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
    ]


def test_settings_are_where_qemu_reads_them() -> None:
    asked = words(VirtualMachine(vcpus=3, memory=1 << 30, nic="e1000"), accelerator="kvm")
    assert value(asked, "-smp") == ["3"]
    assert value(asked, "-m") == ["1073741824B"]
    assert (value(asked, "-accel"), value(asked, "-cpu")) == (["kvm"], ["host"])
    assert f"e1000,netdev=net,id=nic,mac={MAC},romfile=" in value(asked, "-device")


def test_no_write_is_lost_when_a_machine_moves_under_tcg() -> None:
    """QEMU's fast way to read which pages were written forgets to mark later writes (before 9.0)."""
    word = 64 * 4096
    for memory in (128 << 20, (128 << 20) + 1, (128 << 20) + 8192, 1 << 30, 100_000_000):
        bytes_of_it = granted(memory, "tcg")
        assert bytes_of_it % word and bytes_of_it % 8192 == 0
        assert 0 <= memory - bytes_of_it <= 16384
    assert granted(1 << 30, "kvm") == 1 << 30


def test_a_restored_machine_waits_and_keeps_what_it_writes_for_itself() -> None:
    asked = words(memory=Memory(20, shared=False), restored=True)
    assert value(asked, "-incoming") == ["defer"]
    assert value(asked, "-object")[0].endswith("share=off")
    assert value(words(), "-incoming") == []


def test_a_disk_is_read_and_changes_go_elsewhere() -> None:
    asked = words(boot=Disk(base=40, changes=41, seed=42))
    assert value(asked, "-add-fd") == ["fd=40,set=40", "fd=41,set=41", "fd=42,set=42"]
    nodes = value(asked, "-blockdev")
    assert nodes[0] == "driver=file,node-name=base-file,filename=/dev/fdset/40,locking=off,read-only=on"
    base = '{"driver": "qcow2", "node-name": "base", "file": "base-file", "read-only": true, "backing": null}'
    assert base in nodes  # also if the image names another file
    assert "driver=qcow2,node-name=disk,file=changes-file,backing=base" in nodes
    assert not value(asked, "-kernel")
    assert value(asked, "-machine") == ["q35,usb=off,vmport=off,memory-backend=ram"]
    assert len(value(words(boot=Disk(base=40, changes=41)), "-add-fd")) == 2


def test_machines_with_a_disk_have_other_devices() -> None:
    assert devices_mark() == devices_mark(disk=False) != devices_mark(disk=True)


def test_a_comma_in_a_name_is_not_an_option() -> None:
    assert value(words(name="a,process=x"), "-name") == ["guest=a,,process=x"]


def test_no_file_of_the_lab_is_named() -> None:
    named = [word for word in words() if "/" in word]
    assert all("/proc/self/fd/" in word for word in named)


def test_the_mark_tells_devices_apart_from_descriptors() -> None:
    assert devices_mark() == devices_mark()
    assert "pvpanic-pci" in devices_mark()
