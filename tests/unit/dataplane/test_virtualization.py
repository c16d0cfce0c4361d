"""The kind of machine follows from what its processor, firmware and kernel say."""

from __future__ import annotations

import pytest

from dataplane.virtualization import BARE, UNKNOWN, Signs, kind

EXAMPLES = {
    "a laptop": (Signs(False, "", ("LENOVO", "20XW0026GE", "ThinkPad X1")), BARE, ""),
    "a cloud's KVM without firmware names": (Signs(True, "KVM"), "KVM", "native"),
    "libvirt": (Signs(True, "KVM", ("QEMU", "Standard PC (Q35 + ICH9, 2009)", "SeaBIOS")), "KVM", "native"),
    "QEMU's own instructions": (Signs(True, "", ("QEMU", "Standard PC")), "QEMU", "hosted"),
    "VirtualBox": (Signs(True, "KVM", ("innotek GmbH", "VirtualBox", "1.2")), "VirtualBox", "hosted"),
    "VirtualBox on Hyper-V": (Signs(True, "Microsoft", ("innotek GmbH",)), "VirtualBox", "hosted"),
    "Hyper-V": (
        Signs(True, "Microsoft", ("Microsoft Corporation", "Virtual Machine", "Hyper-V UEFI Release v4.1")),
        "Hyper-V",
        "native",
    ),
    "a tablet of Microsoft's": (Signs(False, "", ("Microsoft Corporation", "Surface Pro")), BARE, ""),
    "Xen": (Signs(True, "Xen", ("Xen", "HVM domU", "4.17")), "Xen", "native"),
    "WSL 2": (
        Signs(True, "Microsoft", (), "Linux version 5.15.153.1-microsoft-standard-WSL2 (root@...)"),
        "WSL 2",
        "native",
    ),
    "Parallels": (Signs(True, "", ("Parallels International GmbH.",)), "Parallels", "hosted"),
    "Apple's": (
        Signs(None, "", ("Apple Inc.", "Apple Virtualization Generic Platform")),
        "Apple Virtualization",
        "hosted",
    ),
    "a hypervisor without a name": (Signs(True), UNKNOWN, ""),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_kind_of_collected_examples(example: str) -> None:
    signs, machine, hypervisor = EXAMPLES[example]
    decided = kind(signs)
    assert (decided.machine, decided.hypervisor) == (machine, hypervisor)
    assert bool(decided.costs) == (machine != BARE)


def test_vmware_may_be_hosted_or_native() -> None:
    assert kind(Signs(True, "VMware", ("VMware, Inc.",))).hypervisor.startswith("hosted or native")


def test_a_container_is_told_with_the_machine_around_it() -> None:
    decided = kind(Signs(True, "KVM", container="docker"))
    assert decided.text == "a docker container on KVM (native hypervisor)"
    assert "the machine around" in decided.costs


def test_without_any_sign_nothing_is_claimed() -> None:
    assert "unknown" in kind(Signs()).machine
