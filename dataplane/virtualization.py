"""What kind of machine this is: a real one, a virtual one of which hypervisor, a container. Pure.

The signs are those that systemd-detect-virt(1) documents: the vendor that the hypervisor tells in CPUID leaf
0x40000000, the firmware's names (SMBIOS, "DMI"), /proc/version for WSL, and marks of container managers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Signs:
    """What was read. Empty: the system doesn't say.

    ``flag``: the processor's flag "hypervisor" (CPUID leaf 1, ECX bit 31); None: no such flags, as on arm64.
    ``vendor``: the hypervisor as lscpu(1) names it from CPUID. ``dmi``: the names in /sys/class/dmi/id.
    ``version``: /proc/version. ``container``: the word in /run/systemd/container, or in the variable
    ``container`` of the first process; or ``docker`` or ``podman`` by the files they leave in the root.
    """

    flag: bool | None = None
    vendor: str = ""
    dmi: tuple[str, ...] = ()
    version: str = ""
    container: str = ""


@dataclass(frozen=True)
class Kind:
    """``machine``: the name of the machine's kind. ``hypervisor``: ``native`` (type 1), ``hosted`` (type 2),
    another text, or empty without one. ``container``: its manager, or empty. ``costs``: what it costs."""

    machine: str
    hypervisor: str = ""
    container: str = ""
    costs: str = ""

    @property
    def text(self) -> str:
        """The kind in words."""
        kind = f" ({self.hypervisor} hypervisor)" if self.hypervisor else ""
        return (f"a {self.container} container on " if self.container else "") + self.machine + kind


NATIVE, HOSTED = "native", "hosted"
EITHER = "hosted or native"
UNKNOWN = "unknown virtual machine"
BARE = "bare metal"
HYPERVISORS = {
    "KVM": NATIVE,
    "VirtualBox": HOSTED,
    "VMware": f"{EITHER}: Workstation and Fusion are hosted, ESXi is native",
    "Hyper-V": NATIVE,
    "Xen": NATIVE,
    "WSL 2": NATIVE,
    "Parallels": HOSTED,
    "Apple Virtualization": HOSTED,
    "QEMU": HOSTED,
}
_DMI = (  # the beginning of a name -> the machine; the first that fits
    ("KVM", "KVM"),
    ("OpenStack", "KVM"),
    ("KubeVirt", "KVM"),
    ("Google Compute Engine", "KVM"),
    ("VMware", "VMware"),
    ("VMW", "VMware"),
    ("innotek GmbH", "VirtualBox"),
    ("VirtualBox", "VirtualBox"),
    ("Xen", "Xen"),
    ("Parallels", "Parallels"),
    ("Hyper-V", "Hyper-V"),
    ("Apple Virtualization", "Apple Virtualization"),
)
_VENDORS = {
    "kvm": "KVM",
    "vmware": "VMware",
    "oracle": "VirtualBox",
    "innotek gmbh": "VirtualBox",
    "xen": "Xen",
    "microsoft": "Hyper-V",
    "parallels": "Parallels",
}
_COSTS = {
    NATIVE: "this system shares the hardware through the hypervisor; labs' own virtual machines need nesting",
    HOSTED: "another system's program runs this one, when that system lets it; "
    "labs' own virtual machines need nesting",
}


def kind(signs: Signs) -> Kind:
    """The kind of machine that shows these signs."""
    machine = _machine(signs)
    hypervisor = HYPERVISORS.get(machine, "")
    costs = [text for sort, text in _COSTS.items() if hypervisor == sort]
    if machine == "QEMU":
        costs = ["QEMU without KVM interprets every instruction of this machine: all is several times slower"]
    if machine == UNKNOWN:
        costs = ["there is a hypervisor that doesn't say which it is"]
    if hypervisor.startswith(EITHER):
        costs = ["what it costs depends on which of the two it is"]
    if signs.container:
        costs.append("modules and kernel settings are those of the machine around the container")
    return Kind(machine, hypervisor, signs.container, "; ".join(costs))


def _machine(signs: Signs) -> str:
    version = signs.version.lower()
    if "microsoft" in version and "wsl2" in version:
        return "WSL 2"
    firmware = next(
        (name for start, name in _DMI if any(word.startswith(start) for word in signs.dmi)), ""
    )  # before CPUID, where VirtualBox says KVM or Hyper-V when it runs on top of them
    if firmware:
        return firmware
    if any(word == "Microsoft Corporation" for word in signs.dmi) and "Virtual Machine" in signs.dmi:
        return "Hyper-V"
    told = _VENDORS.get(signs.vendor.lower())
    if told == "Hyper-V" and signs.flag is False:
        told = None
    if told:
        return told
    if any(word.startswith(("QEMU", "Bochs")) for word in signs.dmi):
        return "QEMU"
    if signs.flag or signs.vendor:
        return UNKNOWN
    return BARE if signs.flag is False or signs.dmi else "a machine of unknown kind"
