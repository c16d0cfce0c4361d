"""Actions and instructions of OpenFlow 1.0 to 1.5, and the most common of Nicira's, as texts. Pure.

A text is in the form of Open vSwitch (ovs-actions(7)) where that has one: ``output:2``, ``goto_table:1``.
"""

from __future__ import annotations

from ipaddress import ip_address

from lab.openflow.fields import oxm_field, oxm_name, port_text
from lab.openflow.types import NICIRA

_EXPERIMENTER = 0xFFFF
_CONTROLLER = (0xFFFD, 0xFFFFFFFD)
_PLAIN = {
    11: "copy_ttl_out", 12: "copy_ttl_in", 16: "dec_mpls_ttl", 18: "pop_vlan", 24: "dec_nw_ttl",
    27: "pop_pbb",
}  # fmt: skip
_PUSH = {17: "push_vlan", 19: "push_mpls", 20: "pop_mpls", 26: "push_pbb"}
_NX = {
    1: "resubmit", 2: "set_tunnel", 4: "set_queue", 5: "pop_queue", 6: "move", 7: "load", 8: "note",
    9: "set_tunnel64", 10: "multipath", 12: "bundle", 13: "bundle_load", 14: "resubmit", 15: "output_reg",
    16: "learn", 17: "exit", 18: "dec_ttl", 19: "fin_timeout", 20: "controller", 21: "dec_ttl",
    22: "write_metadata", 27: "stack_push", 28: "stack_pop", 29: "sample", 32: "output", 33: "load",
    34: "conjunction", 35: "ct", 36: "nat", 37: "controller", 39: "output", 42: "clone", 43: "ct_clear",
    44: "resubmit", 45: "learn", 46: "encap", 47: "decap", 48: "dec_nsh_ttl", 49: "check_pkt_larger",
}  # fmt: skip


def pieces(data: bytes, least: int) -> list[bytes]:
    """The TLVs of a list of actions or instructions: type, length of the whole, body. Raises ValueError."""
    some, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if size < least or at + size > len(data):
            raise ValueError(f"a length of {size} in actions")
        some.append(data[at : at + size])
        at += size
    return some


def actions(version: int, data: bytes) -> list[str]:
    """The texts of a list of actions. Raises ValueError when it is cut off."""
    one = _ten if version == 1 else _later
    return [one(piece) for piece in pieces(data, 8 if version > 1 else 4)]


def _number(piece: bytes, at: int, size: int) -> int:
    return int.from_bytes(piece[at : at + size], "big")


def _output(port: int, most: int) -> str:
    return f"CONTROLLER:{most}" if port in _CONTROLLER and most < 0xFFE5 else _send(port)


def _send(port: int) -> str:
    text = port_text(port)
    return f"output:{text}" if text.isdigit() else text


def _ten(piece: bytes) -> str:
    """An action of OpenFlow 1.0 (5.2.4)."""
    kind = _number(piece, 0, 2)
    value16 = _number(piece, 4, 2)
    if kind == 0:
        return _output(value16, _number(piece, 6, 2))
    if kind in (1, 6, 7):
        return (
            {1: "set_vlan_vid", 6: "set_ip_src", 7: "set_ip_dst"}[kind]
            + ":"
            + (str(value16) if kind == 1 else str(ip_address(piece[4:8])))
        )
    if kind in (2, 8):
        return f"{'set_vlan_pcp' if kind == 2 else 'set_ip_tos'}:{_number(piece, 4, 1)}"
    if kind == 3:
        return "strip_vlan"
    if kind in (4, 5):
        return f"{'set_eth_src' if kind == 4 else 'set_eth_dst'}:{piece[4:10].hex(':')}"
    if kind in (9, 10):
        return f"{'set_tp_src' if kind == 9 else 'set_tp_dst'}:{value16}"
    if kind == 11:
        return f"enqueue:{port_text(value16)}:{_number(piece, 12, 4)}"
    return _experimenter(piece) if kind == _EXPERIMENTER else f"action_{kind}"


def _later(piece: bytes) -> str:
    """An action of OpenFlow 1.2 and later (1.3.5, 7.2.5)."""
    kind, value32 = _number(piece, 0, 2), _number(piece, 4, 4)
    if kind == 0:
        return _output(value32, _number(piece, 8, 2))
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _PUSH:
        return f"{_PUSH[kind]}:{_number(piece, 4, 2):#06x}"
    if kind in (15, 23):
        return f"{'set_mpls_ttl' if kind == 15 else 'set_nw_ttl'}:{piece[4]}"
    if kind in (21, 22, 29):
        return f"{({21: 'set_queue', 22: 'group', 29: 'meter'})[kind]}:{value32}"
    if kind == 25:
        name, text, _ = oxm_field(piece, 4)
        return f"set_field:{text}->{name}"
    if kind == 28:
        return f"copy_field:{oxm_name(_number(piece, 12, 4))}->{oxm_name(_number(piece, 16, 4))}"
    return _experimenter(piece) if kind == _EXPERIMENTER else f"action_{kind}"


def _experimenter(piece: bytes) -> str:
    if _number(piece, 4, 4) != NICIRA or len(piece) < 10:
        return f"experimenter:{_number(piece, 4, 4):#x}"
    kind = _number(piece, 8, 2)
    name = _NX.get(kind, f"nicira_{kind}")
    if kind == 1:
        return f"resubmit:{port_text(_number(piece, 10, 2))}"
    if kind in (14, 44) and len(piece) >= 13:
        return f"resubmit({port_text(_number(piece, 10, 2))},{piece[12]})"
    if kind == 6 and len(piece) >= 24:
        return f"move:{oxm_name(_number(piece, 16, 4))}->{oxm_name(_number(piece, 20, 4))}"
    if kind == 7 and len(piece) >= 24:
        return f"load:{_number(piece, 16, 8):#x}->{oxm_name(_number(piece, 12, 4))}"
    return name if kind in (17, 18, 28, 43, 47, 48) else f"{name}(…)"


def instructions(version: int, data: bytes) -> dict[str, object]:
    """The instructions of OpenFlow 1.2 and later by name, the actions among them as lists of texts.

    Raises ValueError when they are cut off.
    """
    some: dict[str, object] = {}
    for piece in pieces(data, 4):
        kind = _number(piece, 0, 2)
        if kind == 1:
            some["goto_table"] = piece[4] if len(piece) > 4 else None
        elif kind == 2:
            value, mask = _number(piece, 8, 8), _number(piece, 16, 8)
            some["write_metadata"] = f"{value:#x}" + ("" if mask == (1 << 64) - 1 else f"/{mask:#x}")
        elif kind in (3, 4):
            some["actions" if kind == 4 else "write_actions"] = actions(version, piece[8:])
        elif kind == 5:
            some["clear_actions"] = True
        elif kind == 6:
            some["meter"] = _number(piece, 4, 4)
        else:
            some[f"instruction_{kind}"] = True
    return some
