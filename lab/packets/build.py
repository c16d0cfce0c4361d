"""The octets of a packet that a user described: fields checked against scapy's own, then built by scapy.

Building looks nothing up: scapy asks the machine's routes, ARP and name servers for addresses that are not
there, or that are names. So an address must be an address, and one that the text leaves out comes from
``Defaults``. This module imports scapy (1 s) in its functions only.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

from lab.packets.expression import LAYERS, MOST_OCTETS, Expression, ExpressionError, FieldValue, Layer, Value
from topologies.syntax.problem import nearest, shown


@dataclass(frozen=True)
class Defaults:
    """What a host's packet has where its text says nothing. None: the host has no such address.

    ``mac_dst``: of the gateway, or of the destination where it is on the host's link. A packet to a group or
    to all gets the MAC address that belongs to it (RFC 1112, 6.4; RFC 2464, 7).
    """

    mac_src: str
    mac_dst: str
    ip4_src: str | None = None
    ip4_dst: str | None = None
    ip6_src: str | None = None
    ip6_dst: str | None = None


def packet(expression: Expression, defaults: Defaults) -> bytes:
    """The frame: an Ethernet header is put before a packet without one. Raises ExpressionError."""
    layers = _built(expression, defaults, outer=True)
    try:
        octets = bytes(layers)
    except Exception as error:  # of any class: fields are scapy's code
        raise _wrong(expression, expression.layers[0], f"scapy can't build it: {_said(error)}", "") from None
    if len(octets) > MOST_OCTETS:
        what = f"the packet has {len(octets):,} octets"
        raise _wrong(expression, expression.layers[0], what, f"at most {MOST_OCTETS:,}")
    return octets


def check(expression: Expression) -> None:
    """Check names and values of all fields. Raises ExpressionError."""
    packet(expression, _ANY)


def addressed_to(expression: Expression) -> IPv4Address | IPv6Address | None:
    """The address that the outermost IP header or ARP of the text names as its destination, if there is one.

    Call ``check`` first: an address that is none counts as none.
    """
    for layer in expression.layers:
        if layer.name in ("IP", "IPv6", "ARP"):
            address = layer.get("pdst" if layer.name == "ARP" else "dst")
            try:
                return (IPv6Address if layer.name == "IPv6" else IPv4Address)(address) if address else None
            except (AddressValueError, TypeError):
                return None
    return None


_ANY = Defaults(
    "02:00:00:00:00:01", "02:00:00:00:00:02", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"
)


def layer_class(name: str) -> Any:
    """scapy's class of a layer."""
    module = importlib.import_module(f"scapy.layers.{LAYERS[name]}" if name in LAYERS else "scapy.packet")
    return getattr(module, name)


def fields_of(name: str) -> tuple[str, ...]:
    """The names of a layer's fields, in the order of the header."""
    return tuple(field.name for field in layer_class(name).fields_desc)


def _built(expression: Expression, defaults: Defaults, outer: bool) -> Any:
    """scapy's packet. ``outer``: it is no packet within a field of another."""
    whole: Any = None
    if outer and expression.layers[0].name not in ("Ether", "Dot3"):
        whole = layer_class("Ether")(src=defaults.mac_src, dst=_link_destination(expression, defaults))
    for layer in expression.layers:
        built = _layer(expression, layer, defaults)
        whole = built if whole is None else whole / built
    return whole


def _layer(expression: Expression, layer: Layer, defaults: Defaults) -> Any:
    from scapy.fields import MultipleTypeField

    built = layer_class(layer.name)()
    by_name = {field.name: field for field in built.fields_desc}
    several = [name for name, field in by_name.items() if isinstance(field, MultipleTypeField)]
    # what such a field holds depends on others, so others are set first
    said = [field for field in layer.fields if field.value is not None or field.name not in by_name]
    for field in sorted(said, key=lambda field: field.name in several):
        if field.name not in by_name:
            close = nearest(field.name, by_name)
            allowed = f"did you mean {close}? " if close else ""
            allowed += f"{layer.name} has {', '.join(by_name)}"
            raise _wrong(expression, field, f"{layer.name} has no field {shown(field.name)}", allowed)
        _set(expression, layer, field, built, by_name[field.name], defaults)
    for name, value in _left_out(layer.name, expression, defaults).items():
        if not any(field.name == name for field in said):
            built.setfieldval(name, value)
    return built


def _set(
    expression: Expression, layer: Layer, field: FieldValue, built: Any, kind: Any, defaults: Defaults
) -> None:
    try:
        while hasattr(kind, "fld"):
            kind = kind._find_fld_pkt(built) if hasattr(kind, "_find_fld_pkt") else kind.fld
        allowed = _in_arp(field) if layer.name == "ARP" else ""
        allowed = allowed or _allowed(kind, field.value)
    except Exception as error:  # of any class: conditions of fields are scapy's code
        allowed = f"something that scapy takes ({_said(error)})"
    if allowed:
        what = f"{layer.name}.{field.name} can't be {_shown(field.value)}"
        raise _wrong(expression, field, what, f"allowed is {allowed}")
    try:
        built.setfieldval(field.name, _as_scapy(field.value, defaults))
        kind.addfield(built, b"", built.getfieldval(field.name)) if not _holds_packets(kind) else None
    except ExpressionError:
        raise
    except Exception as error:  # of any class: setting a field is scapy's code
        what = f"{layer.name}.{field.name} can't be {_shown(field.value)}"
        raise _wrong(expression, field, what, f"scapy says: {_said(error)}") from None


def _allowed(kind: Any, value: Value) -> str:
    """What a field may be, if ``value`` is something else; else empty."""
    from scapy import fields

    if isinstance(value, Expression) or (isinstance(value, list) and value and _all_packets(value)):
        return "" if _holds_packets(kind) else "a value: this field holds no layers"
    if value is None:
        return ""
    if isinstance(kind, fields.FieldListField):
        entries = value if isinstance(value, (list, tuple)) else [value]
        return next((allowed for entry in entries if (allowed := _allowed(kind.field, entry))), "")
    if kind.__class__.__name__ == "IP6ListField":
        addresses = isinstance(value, list) and all(_is(IPv6Address, entry) for entry in value)
        return "" if addresses else "a list of IPv6 addresses"
    if _holds_packets(kind):
        return "a layer, or a list of layers"
    if isinstance(value, (list, tuple)) and not kind.islist:
        return "one value: an expression describes one packet"
    if kind.__class__.__name__ == "DHCPOptionsField":
        return _dhcp(value)
    if isinstance(kind, fields.IPField):
        return "" if _is(IPv4Address, value) else "an IPv4 address; neither a name nor a range"
    if isinstance(kind, fields.IP6Field):
        return "" if _is(IPv6Address, value) else "an IPv6 address; neither a name nor a range"
    if isinstance(kind, fields.MACField):
        return (
            "" if isinstance(value, str) and _MAC.fullmatch(value) else "a MAC address like 02:00:00:00:00:01"
        )
    return _number(kind, value)


def _in_arp(field: FieldValue) -> str:
    """What an address of ARP may be, if the value is something else; scapy takes any text."""
    if isinstance(field.value, str) and field.name in ("psrc", "pdst") and not _is(IPv4Address, field.value):
        return "an IPv4 address"
    if isinstance(field.value, str) and field.name in ("hwsrc", "hwdst") and not _MAC.fullmatch(field.value):
        return "a MAC address like 02:00:00:00:00:01"
    return ""


def _number(kind: Any, value: Value) -> str:
    """What a number's field may be, if ``value`` is something else."""
    from scapy import fields

    bits = kind.size if isinstance(kind, fields._BitField) else _BITS.get(kind.fmt.lstrip("!<>@="), 0)
    if isinstance(kind, fields._StrField) or not bits:
        return ""
    limit = f"a number from 0 to {2 ** abs(bits) - 1}"
    if isinstance(value, int):
        signed = kind.fmt[-1:].islower() and not isinstance(kind, fields._BitField)
        least = -(2 ** (bits - 1)) if signed else 0
        return "" if least <= value < 2 ** abs(bits) else limit
    if isinstance(value, str):
        if isinstance(kind, fields.FlagsField):
            names = kind.names if isinstance(kind.names, str) else "+".join(kind.names)
            return f"{limit}, or letters of {names}" if not _flags(kind, value) else ""
        if isinstance(kind, fields._EnumField):
            known = sorted(name for name in getattr(kind, "s2i", None) or () if isinstance(name, str))
            close = nearest(value, known)
            some = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            near = f" (did you mean {close}?)" if close else ""
            return "" if value in known or not known else f"{limit}, or a name{near}: {some}"
    if isinstance(value, float) and "Float" in kind.__class__.__name__:
        return ""
    return limit


_SHOWN = 60
_BITS = {"B": 8, "b": 8, "H": 16, "h": 16, "I": 32, "i": 32, "Q": 64, "q": 64}
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


def _flags(kind: Any, value: str) -> bool:
    if isinstance(kind.names, str):
        return set(value) <= set(kind.names)
    return all(part in kind.names for part in value.split("+"))


def _dhcp(value: Value) -> str:
    """DHCP's options hold values of many kinds: addresses must not be names."""
    from scapy.fields import Field, IPField
    from scapy.layers.dhcp import DHCPRevOptions

    for option in value if isinstance(value, (list, tuple)) else ():
        name, *rest = option if isinstance(option, tuple) and option else (option,)
        if isinstance(name, str) and name not in DHCPRevOptions:
            close = nearest(name, (known for known in DHCPRevOptions if isinstance(known, str)))
            return "options by their names" + (f" (did you mean {close}?)" if close else "")
        kind = DHCPRevOptions[name][1] if isinstance(name, str) else None
        wrong = [entry for entry in rest if isinstance(kind, IPField) and not _is(IPv4Address, entry)]
        if wrong:
            return f"an IPv4 address for {name!r}"
        if isinstance(kind, Field) and any(isinstance(entry, (Expression, list, tuple)) for entry in rest):
            return f"a value for {name!r}"
    return ""


def _is(address: type[IPv4Address] | type[IPv6Address], value: Value) -> bool:
    try:
        address(value)
    except (AddressValueError, TypeError):
        return False
    return isinstance(value, str)


def _holds_packets(kind: Any) -> bool:
    return bool(getattr(kind, "holds_packets", 0))


def _all_packets(values: Iterable[Value]) -> bool:
    return all(isinstance(value, Expression) for value in values)


def _as_scapy(value: Value, defaults: Defaults) -> Any:
    if isinstance(value, Expression):
        return _built(value, defaults, outer=False)
    if isinstance(value, list):
        return [_as_scapy(entry, defaults) for entry in value]
    if isinstance(value, tuple):
        return tuple(_as_scapy(entry, defaults) for entry in value)
    return value


def _left_out(name: str, expression: Expression, defaults: Defaults) -> dict[str, str]:
    """The fields of a layer that scapy would look up, with the values that they have instead."""
    if name in ("Ether", "Dot3"):
        return {"src": defaults.mac_src, "dst": _link_destination(expression, defaults)}
    if name in ("IP", "IPerror"):
        return {"src": defaults.ip4_src or "0.0.0.0", "dst": defaults.ip4_dst or "0.0.0.0"}
    if name == "IPv6":
        return {"src": defaults.ip6_src or "::", "dst": defaults.ip6_dst or "::"}
    if name == "ARP":
        source, target = defaults.ip4_src or "0.0.0.0", defaults.ip4_dst or "0.0.0.0"
        return {"hwsrc": defaults.mac_src, "psrc": source, "pdst": target}
    return {}


def _link_destination(expression: Expression, defaults: Defaults) -> str:
    """The destination MAC address of a packet whose text says none."""
    names = {layer.name for layer in expression.layers}
    to = addressed_to(expression)
    if "STP" in names:
        return "01:80:c2:00:00:00"
    if "ARP" in names and "IP" not in names:
        return "ff:ff:ff:ff:ff:ff"
    if to is not None and to.is_multicast:
        low = to.packed[-4:] if to.version == 6 else bytes((0x5E, to.packed[1] & 0x7F, *to.packed[2:]))
        return (b"\x33\x33" if to.version == 6 else b"\x01\x00").hex(":") + ":" + low.hex(":")
    if to == IPv4Address("255.255.255.255"):
        return "ff:ff:ff:ff:ff:ff"
    return defaults.mac_dst


def _shown(value: Value) -> str:
    if isinstance(value, (list, tuple)) and any(isinstance(entry, Expression) for entry in value):
        return "a list of layers"
    if isinstance(value, Expression):
        return "a layer"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _said(error: Exception) -> str:
    return shown(str(error) or type(error).__name__).strip("'\"")


def _wrong(expression: Expression, at: Layer | FieldValue, what: str, allowed: str) -> ExpressionError:
    return ExpressionError(what, allowed, expression.text, at.line, at.column)
