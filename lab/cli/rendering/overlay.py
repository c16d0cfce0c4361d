"""The text about networks, the underlay and tunnels: pure functions from a lab's answers to text."""

from __future__ import annotations

from lab.cli.say import Paint, table
from lab.messages.lab import OverlayState, Status, UnderlayState

_MEMBERS_SHOWN = 6


def networks(lab: Status, paint: Paint) -> str:
    """The networks with their identifiers and members."""
    rows = []
    tags = any(network["vlan"] for network in lab["networks"])
    for network in lab["networks"]:
        subnets = [text for text in (network["subnet4"], network["subnet6"]) if text]
        gateways = [text for text in (network["gateway4"], network["gateway6"]) if text]
        hosts = network["hosts"]
        members = ", ".join(hosts[:_MEMBERS_SHOWN])
        members += f" and {len(hosts) - _MEMBERS_SHOWN} more" if len(hosts) > _MEMBERS_SHOWN else ""
        rows.append(
            [
                network["name"],
                str(network["vni"] or "-"),
                *([str(network["vlan"] or "-")] if tags else []),
                " ".join(subnets) or "-",
                f"{network['router']} {' '.join(gateways)}" if network["router"] else "-",
                members or "-",
                ", ".join(network["domains"]) + (" (over the underlay)" if network["crosses"] else ""),
            ]
        )
    heads = ["NETWORK", "VNI", *(["VLAN"] if tags else []), "SUBNETS", "ROUTER", "MEMBERS", "DOMAINS"]
    return table(heads, rows, paint)


def underlay(under: UnderlayState, paint: Paint) -> str:
    """The tunnel end points and the wires between them."""
    rows = []
    for vtep in under["vteps"]:
        up, all_ = vtep["links_up"], vtep["links"]
        ways = paint(f"{up} of {all_} links up", "green" if up == all_ else "yellow" if up else "red")
        rows.append([vtep["domain"], vtep["address"], vtep["switch"], ways])
    vteps = table(["DOMAIN", "VTEP", "TUNNEL SWITCH", "UNDERLAY"], rows, paint)
    rows = [
        [
            link["name"],
            link["a"],
            link["b"],
            paint("up", "green") if link["up"] else paint("down", "red"),
        ]
        for link in under["links"]
    ]
    links = table(["UNDERLAY LINK", "FROM", "TO", "STATE"], rows, paint)
    return f"{vteps}\n\ntunnels: {under['why'] or under['tunnels']}\n\n{links}"


def overlay(lab: Status, state: OverlayState, paint: Paint) -> str:
    """The page of ``sdnlab overlay``."""
    if lab["underlay"] is None:
        return "this lab has no underlay: all its switches are joined by links. See: sdnlab up two-domains"
    if not state["mesh"]:
        return "no network crosses the underlay"
    addresses = {vtep["domain"]: vtep["address"] for vtep in lab["underlay"]["vteps"]}
    rows = []
    for way in sorted(state["mesh"], key=lambda way: (way["vni"], way["source"], way["target"])):
        rows.append(
            [
                way["network"],
                str(way["vni"]),
                f"{way['source']} {addresses.get(way['source'], '')}",
                f"{way['target']} {addresses.get(way['target'], '')}",
                str(way["packets"]),
                size(way["bytes"]),
            ]
        )
    parts = [table(["NETWORK", "VNI", "FROM", "TO", "PACKETS", "BYTES"], rows, paint, right=(1, 4, 5))]
    rows = [
        [
            copied["network"],
            str(copied["vni"]),
            copied["domain"],
            str(copied["packets"]),
            size(copied["bytes"]),
        ]
        for copied in state["flooded"]
        if copied["packets"]
    ]
    if rows:
        heads = ["NETWORK", "VNI", "TO ALL MEMBERS, FROM", "PACKETS", "BYTES"]
        parts.append(table(heads, rows, paint, right=(1, 3, 4)))
    packets = sum(way["packets"] for way in state["mesh"])
    parts.append(f"{packets} packets, {size(sum(way['bytes'] for way in state['mesh']))} in inner frames")
    return "\n\n".join(parts)


def size(number: int) -> str:
    """Bytes for people: ``812 B``, ``1.4 kB``, ``3.2 GB`` (powers of ten)."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{number} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
