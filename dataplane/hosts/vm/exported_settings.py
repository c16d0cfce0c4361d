"""What the settings of an exported machine mean where it is started again. Pure."""

from __future__ import annotations

from dataplane.images.snapshots import SnapshotKey
from topologies.model.hosts import VirtualMachine


def of_exported(settings: VirtualMachine, key: SnapshotKey) -> VirtualMachine:
    """The settings of a machine whose image was exported: where the topology has the default, those of the
    file."""
    default = VirtualMachine()
    given = {"memory": key.memory, "vcpus": key.vcpus, "nic": key.nic}
    return settings.model_copy(
        update={
            word: value for word, value in given.items() if getattr(settings, word) == getattr(default, word)
        }
    )


def unlike(exported: SnapshotKey, here: SnapshotKey) -> str:
    """What keeps a QEMU from reading a state, in words; empty: nothing."""
    words = {"qemu": "QEMU", "accelerator": "accelerator", "memory": "memory", "vcpus": "vcpus", "nic": "nic"}
    differences = [
        f"{word} was {getattr(exported, field)}, and is {getattr(here, field)}"
        for field, word in words.items()
        if getattr(exported, field) != getattr(here, field)
    ]
    if not differences and exported.devices != here.devices:
        differences.append("this version of sdnlab gives machines other devices")
    return "; ".join(differences)
