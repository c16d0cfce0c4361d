"""The arguments of QEMU for a virtual machine: a pure function of its settings and of open descriptors.

QEMU gets no name of a file or device of the lab, only descriptors: it runs as a user that may open nothing
(``dataplane.hosts.vm.process``).  Options: qemu(1).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from topologies.model.hosts import VirtualMachine

PROGRAM = "qemu-system-x86_64"
AGENT_PORT = "sdnlab.agent"
"""The name of the virtio-serial port of the guest's agent (``dataplane.hosts.guest``)."""
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""System calls that QEMU gives up (seccomp(2)): it starts no program and gains no right."""
MACHINE = "pc,hpet=off,usb=off,vmport=off,memory-backend=ram"
DISK_MACHINE = "q35,usb=off,vmport=off,memory-backend=ram"
"""For kernels that nobody told not to test their timers: an emulated timer fails the test on a busy machine,
and they need another one (HPET)."""
PROCESSORS = {"kvm": "host", "tcg": "max,la57=off"}
"""Accelerator -> the model of the processor; TCG without 5-level page tables, which cost time."""
NICS = {"virtio": "virtio-net-pci", "e1000": "e1000"}
MEMORY_UNIT = 8 << 10
"""QEMU rounds a machine's memory to multiples of so many bytes."""
BITMAP_WORD = 64 * 4096
"""Bytes of memory of which QEMU's bitmap of written pages has the bits in one word."""


@dataclass(frozen=True)
class Kernel:
    """What a machine boots without a disk: descriptors of kernel and initial file system, and the kernel's
    command line."""

    kernel: int
    initrd: int
    arguments: str

    def descriptors(self) -> list[int]:
        """What QEMU must inherit."""
        return [self.kernel, self.initrd]


@dataclass(frozen=True)
class Disk:
    """What a machine boots from a disk. ``base``: the image, only read. ``changes``: a file of the machine's
    own for what it writes. Both have the format qcow2. ``seed``: the disk that tells cloud-init what the
    machine is. All are descriptors."""

    base: int
    changes: int
    seed: int | None = None

    def descriptors(self) -> list[int]:
        """What QEMU must inherit."""
        return [self.base, self.changes, *([self.seed] if self.seed is not None else [])]


@dataclass(frozen=True)
class Memory:
    """The machine's memory: a descriptor of a file with its size. ``shared``: writes go to the file; else
    they are the machine's own."""

    file: int
    shared: bool


@dataclass(frozen=True)
class Ends:
    """Descriptors that lead out of the machine. ``tap``: of its network device. ``monitor`` (QMP) and
    ``console``: connected sockets. ``agent``: a listening socket."""

    tap: int
    monitor: int
    console: int
    agent: int


def command_line(
    name: str,
    mac: str,
    settings: VirtualMachine,
    accelerator: str,
    boot: Kernel | Disk,
    memory: Memory | None,
    ends: Ends,
    restored: bool = False,
) -> list[str]:
    """QEMU's program and arguments. ``mac``: of the network device. ``accelerator``: ``kvm`` or ``tcg``.

    ``memory``: with the size that is ``granted``; None: memory of QEMU's own, of which only what is written
    takes room. ``restored``: the machine does not boot; it waits for a state (QMP's migrate-incoming).
    """
    size = granted(settings.memory, accelerator)
    return [
        PROGRAM,
        *("-name", f"guest={_escaped(name)}"),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", MACHINE if isinstance(boot, Kernel) else DISK_MACHINE),
        *("-accel", accelerator),
        *("-cpu", PROCESSORS[accelerator]),
        *("-smp", str(settings.vcpus)),
        *("-m", f"{size}B"),
        *("-object", _memory(size, memory)),
        *_boot(boot),
        *("-chardev", f"socket,id=monitor,fd={ends.monitor}"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-chardev", f"socket,id=console,fd={ends.console}"),
        *("-serial", "chardev:console"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id=agent,fd={ends.agent},server=on,wait=off"),
        *("-device", f"virtserialport,chardev=agent,name={AGENT_PORT}"),
        *("-netdev", f"tap,id=net,fd={ends.tap}"),
        *("-device", f"{NICS[settings.nic]},netdev=net,id=nic,mac={mac},romfile="),
        *("-device", "virtio-rng-pci"),
        *("-device", "VGA,vgamem_mb=2"),
        *("-device", "pvpanic-pci"),
        *("-action", "panic=pause"),
        *("-sandbox", SANDBOX),
        *(("-incoming", "defer") if restored else ()),
    ]


def granted(memory: int, accelerator: str) -> int:
    """The bytes of memory that QEMU gets for a machine with so many: a little less under TCG.

    QEMU before 9.0 loses writes of a machine that moves under TCG: it takes the marks of written pages word
    by word, and goes on to write to these pages without marking them. Its "physmem: Fix migration dirty
    bitmap coherency with TCG memory access" tells it; guests have panicked by it. Memory that ends within a
    word is taken page by page, which is right in all versions.
    """
    whole = memory - memory % MEMORY_UNIT
    return whole - MEMORY_UNIT if accelerator == "tcg" and whole % BITMAP_WORD == 0 else whole


def devices_mark(disk: bool = False) -> str:
    """A text that is another one when machines get other devices: their saved states don't fit then.

    ``disk``: of machines that boot from a disk.
    """
    settings = VirtualMachine()
    ends, memory = Ends(0, 0, 0, 0), Memory(0, False)
    boot = Disk(0, 0, 0) if disk else Kernel(0, 0, "")
    return " ".join(command_line("", "", settings, "tcg", boot, memory, ends))


def _escaped(value: str) -> str:
    """A value in an option of QEMU: a comma is written twice."""
    return value.replace(",", ",,")


def _memory(size: int, memory: Memory | None) -> str:
    if memory is None:
        return f"memory-backend-ram,id=ram,size={size}B"
    share = "on" if memory.shared else "off"
    return f"memory-backend-file,id=ram,size={size}B,mem-path=/proc/self/fd/{memory.file},share={share}"


def _boot(boot: Kernel | Disk) -> Sequence[str]:
    if isinstance(boot, Kernel):
        files = ("-kernel", f"/proc/self/fd/{boot.kernel}", "-initrd", f"/proc/self/fd/{boot.initrd}")
        return (*files, "-append", boot.arguments)
    words = [
        *_file("base-file", boot.base, read_only=True),
        *("-blockdev", json.dumps(_BASE)),
        # what is written out is in the file, for whoever reads it; it needs no disk that keeps it
        *_file("changes-file", boot.changes, "cache.no-flush=on"),
        *("-blockdev", "driver=qcow2,node-name=disk,file=changes-file,backing=base"),
        *("-device", "virtio-blk-pci,drive=disk,bootindex=1"),
    ]
    if boot.seed is not None:
        words += _file("seed-file", boot.seed, read_only=True)
        words += ["-blockdev", "driver=raw,node-name=seed,file=seed-file,read-only=on"]
        words += ["-device", "virtio-blk-pci,drive=seed"]
    return words


_BASE = {"driver": "qcow2", "node-name": "base", "file": "base-file", "read-only": True, "backing": None}
"""The image. Whatever its header names: no other file is opened (``backing``)."""


def _file(name: str, descriptor: int, *options: str, read_only: bool = False) -> list[str]:
    """A block node for an open file. Without locks: nobody else can have a file that has no name."""
    node = [
        *("driver=file", f"node-name={name}", f"filename=/dev/fdset/{descriptor}", "locking=off"),
        f"read-only={'on' if read_only else 'off'}",
    ]
    return ["-add-fd", f"fd={descriptor},set={descriptor}", "-blockdev", ",".join([*node, *options])]
