"""Marks and counters that rules share: flowbits, flowint, xbits (user guide "Flow Keywords", "Xbits")."""

from __future__ import annotations

from nfv.ids.decode.packet import Packet
from nfv.ids.detection.thresholds import AddressBits
from nfv.ids.flow import Flow
from nfv.ids.language.rule import Rule


class Bits:
    """Tests and sets bits. It holds the bits of addresses; a flow holds its own bits."""

    def __init__(self) -> None:
        self.addresses = AddressBits()

    def allow(self, rule: Rule, packet: Packet) -> bool:
        """The conditions on bits and counters."""
        flow = packet.flow
        for bit in rule.bits:
            command = bit.command
            if command == "isset":
                if flow is None or flow.bits is None or not any(name in flow.bits for name in bit.names):
                    return False
            elif command == "isnotset" and (
                flow is None or (flow.bits is not None and all(name in flow.bits for name in bit.names))
            ):
                return False
        for bit in rule.xbits:
            if bit.command == "isset" and not self.addresses.isset(bit, packet):
                return False
            if bit.command == "isnotset" and self.addresses.isset(bit, packet):
                return False
        return not rule.ints or _ints_allow(rule, flow)

    def set(self, rule: Rule, packet: Packet) -> None:
        """Set bits and counters after a match."""
        flow = packet.flow
        for bit in rule.bits:
            if flow is None or bit.command in ("isset", "isnotset"):
                continue
            have = flow.bits
            if have is None:
                have = flow.bits = set()
            name = bit.names[0]
            if bit.command == "set" or (bit.command == "toggle" and name not in have):
                have.add(name)
            else:
                have.discard(name)
        for bit in rule.xbits:
            if bit.command in ("set", "unset", "toggle"):
                self.addresses.apply(bit, packet)
        if rule.ints and flow is not None:
            _ints_set(rule, flow)


def _ints_allow(rule: Rule, flow: Flow | None) -> bool:
    if flow is None:
        return False
    have = flow.ints or {}
    for name, operator, operand in rule.ints:
        if operator in ("+", "-", "="):
            continue
        if operator == "isset":
            if name not in have:
                return False
            continue
        if operator == "isnotset":
            if name in have:
                return False
            continue
        if name not in have:
            return False
        value, other = have[name], have.get(operand, 0) if isinstance(operand, str) else operand
        held = {
            ">": value > other, "<": value < other, ">=": value >= other, "<=": value <= other,
            "==": value == other, "!=": value != other,
        }[operator]  # fmt: skip
        if not held:
            return False
    return True


def _ints_set(rule: Rule, flow: Flow) -> None:
    if flow.ints is None:
        flow.ints = {}
    for name, operator, operand in rule.ints:
        if operator not in ("+", "-", "="):
            continue
        other = flow.ints.get(operand, 0) if isinstance(operand, str) else operand
        value = flow.ints.get(name, 0)
        if operator == "+":
            value += other
        elif operator == "-":
            value = max(value - other, 0)
        else:
            value = other
        if len(flow.ints) < 256 or name in flow.ints:
            flow.ints[name] = value & 0xFFFFFFFF
