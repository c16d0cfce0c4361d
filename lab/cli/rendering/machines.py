"""The virtual machines of a lab as a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.cli.say import Paint, table
from lab.messages.lab import HostState

COLOURS = {"running": "green", "off": "red", "panicked": "red", "silent": "red"}


def machines(hosts: Sequence[HostState], paint: Paint) -> list[str]:
    """The table, and a line about the accelerator for each reason; nothing where no host is a machine."""
    own = [host for host in hosts if is_machine(host)]
    if not own:
        return []
    heads = ["VM", "STATE", "ACCELERATOR", "VCPUS", "MEMORY", "NIC", "IMAGE", "UP IN"]
    lines = [table(heads, [_row(host, paint) for host in own], paint, right=(3, 4))]
    for host in own:
        if why := host["detail"].get("why"):
            lines.append(f"{host['name']}: {why}")
    reasons: dict[str, str] = {}
    for host in own:
        if "accelerator_why" in host["detail"]:
            reasons[str(host["detail"]["accelerator"])] = str(host["detail"]["accelerator_why"])
    lines += [f"accelerator {name}: {why}" for name, why in sorted(reasons.items())]
    return ["\n".join(lines)]


def is_machine(host: HostState) -> bool:
    """Whether its driver tells of a virtual machine."""
    return "vcpus" in host["detail"]


def _row(host: HostState, paint: Paint) -> list[str]:
    detail = host["detail"]
    state = str(detail["state"])
    colour = COLOURS.get(state, "yellow")
    way = {"snapshot": "restored", "boot": "booted"}.get(str(detail.get("came_by")), "")
    return [
        host["name"],
        paint(state, colour),
        str(detail.get("accelerator", "-")),
        str(detail["vcpus"]),
        f"{int(detail['memory']) >> 20} MiB",
        str(detail["nic"]),
        str(detail["image"]),
        f"{float(detail['seconds']):.2f} s, {way}" if way else "-",
    ]
