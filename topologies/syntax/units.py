"""Parsers for the values in a topology file: bandwidth, delay, loss, addresses, MACs, ports.

Each function takes the text of the file and returns the value, or raises ``BadValue``. It takes text, never a
number: YAML 1.1 reads ``52:54:00:12:34:56`` as a number of base 60, and ``1_000`` as 1000.
"""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_network
from typing import NamedTuple

from topologies.model.values import MAX_VLAN, MAX_VNI
from topologies.model.wires import Queue
from topologies.syntax.problem import shown

MAX_PORT = 65279  # OpenFlow 1.0's OFPP_MAX is 0xff00; Open vSwitch keeps to it in every version


class BadValue(ValueError):
    """A text is no value of its kind: ``what`` is wrong, what is ``allowed``, and the ``remedy``."""

    def __init__(self, what: str, allowed: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.allowed, self.remedy = what, allowed, remedy


class End(NamedTuple):
    """``s1`` or ``s1:4``: a switch, and the port on it when the file names one."""

    switch: str
    port: int | None = None


class Serving(NamedTuple):
    """``http`` or ``http:8080``: a server of a host, and its port when the file names one."""

    protocol: str
    port: int | None = None


SERVED = {"http": 80, "echo": 7, "discard": 9}
"""The servers that a host can run, and the standard port of each (RFC 9110, RFC 862, RFC 863)."""

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-zµμ/%]*)")
_SI = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BANDWIDTH_UNIT = re.compile(r"([kmgt]?)(?:bit|bits|bit/s|bits/s|bps|b/s|b)|([kmgt])", re.IGNORECASE)
_DELAY = {"us": 1, "µs": 1, "μs": 1, "ms": 1000, "s": 1000_000}
_BANDWIDTHS = "1kbit to 1tbit, written like 100mbit, 1gbit or 10M (bits per second)"
_DELAYS = "0 to 60s, written like 5ms or 200us (whole microseconds)"
_BYTES = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "KiB": 1 << 10,
    "MB": 10**6,
    "MiB": 1 << 20,
    "GB": 10**9,
    "GiB": 1 << 30,
}
_QUEUES = "1 to 1000000 packets, 2kB to 1GiB, or 1us to 60s, written like 100packets, 64kB or 50ms"
_LOSSES = "0% to 100%, written like 1% or 0.01"
_DPIDS = "1 to 0xffffffffffffffff, written like 7, 0x7 or as 16 hexadecimal digits"


def _quantity(text: str, kind: str, allowed: str) -> tuple[Decimal, str]:
    match = _QUANTITY.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        remedy = (
            f"write {shown(text.replace('_', ''))}" if re.fullmatch(r"[0-9][0-9_.]*[A-Za-z%/]*", text) else ""
        )
        raise BadValue(f"{shown(text)} is not a {kind}", allowed, remedy)
    return Decimal(match.group(1)), match.group(2)


def bandwidth(text: str) -> int:
    """Bits per second, with SI prefixes. A number without a unit is refused: its unit is not clear."""
    number, unit = _quantity(text, "bandwidth", _BANDWIDTHS)
    if not unit:
        raise BadValue(f"{shown(text)} has no unit", _BANDWIDTHS, f"write {text}mbit if megabits are meant")
    match = _BANDWIDTH_UNIT.fullmatch(unit)
    if match is None or re.search(r"B(ps|/s)?$", unit):
        remedy = "count bits, not bytes" if "b" in unit.lower() else ""
        raise BadValue(f"{shown(text)} has an unknown unit {shown(unit)}", _BANDWIDTHS, remedy)
    bits = number * _SI[(match.group(1) or match.group(2) or "").lower()]
    if not 1000 <= bits <= 10**12:
        raise BadValue(f"bandwidth {shown(text)} is out of range", _BANDWIDTHS)
    return int(bits)


def delay(text: str) -> int:
    """One-way delay in microseconds."""
    number, unit = _quantity(text, "delay", _DELAYS)
    if not unit and number:
        raise BadValue(f"{shown(text)} has no unit", _DELAYS, f"write {text}ms if milliseconds are meant")
    if unit and unit not in _DELAY:
        raise BadValue(f"{shown(text)} has an unknown unit {shown(unit)}", _DELAYS)
    micros = number * _DELAY[unit or "s"]
    if micros > 60_000_000:
        raise BadValue(f"delay {shown(text)} is out of range", _DELAYS)
    if micros != int(micros):
        raise BadValue(f"delay {shown(text)} is finer than a microsecond", _DELAYS)
    return int(micros)


def loss(text: str) -> float:
    """The fraction 0..1 of frames that are lost. A plain 1 is refused: it may mean 1% or all frames."""
    number, unit = _quantity(text, "loss", _LOSSES)
    if unit not in ("", "%"):
        raise BadValue(f"{shown(text)} has an unknown unit {shown(unit)}", _LOSSES)
    if not unit and number >= 1:
        raise BadValue(f"loss {shown(text)} may mean a percentage or a fraction", _LOSSES, f"write {text}%")
    fraction = number / 100 if unit else number
    if fraction > 1:
        raise BadValue(f"loss {shown(text)} is more than 100%", _LOSSES)
    return float(fraction)


def queue(text: str) -> Queue:
    """How much may wait: ``100packets``, ``64kB``, ``50ms``."""
    number, unit = _quantity(text, "queue", _QUEUES)
    if not unit:
        raise BadValue(f"{shown(text)} has no unit", _QUEUES, f"write {text}packets if packets are meant")
    if unit in _DELAY:
        micros = number * _DELAY[unit]
        if not 1 <= micros <= 60_000_000 or micros != int(micros):
            raise BadValue(f"queue {shown(text)} is out of range", _QUEUES)
        return Queue(amount=int(micros), unit="us")
    if unit.lower() in ("p", "packet", "packets"):
        if not 1 <= number <= 1_000_000 or number != int(number):
            raise BadValue(f"queue {shown(text)} is out of range", _QUEUES)
        return Queue(amount=int(number), unit="packets")
    if unit not in _BYTES:
        raise BadValue(f"{shown(text)} has an unknown unit {shown(unit)}", _QUEUES)
    octets = number * _BYTES[unit]
    if not 2000 <= octets <= 1 << 30 or octets != int(octets):
        raise BadValue(f"queue {shown(text)} is out of range", _QUEUES)
    return Queue(amount=int(octets), unit="bytes")


def end(text: str) -> End:
    """A switch, or a switch and a port number: ``s1``, ``s1:4``."""
    switch, colon, number = text.partition(":")
    if not switch or (colon and not number):
        raise BadValue(f"{shown(text)} is no switch", "a switch or switch:port, like s1 or s1:4")
    if not colon:
        return End(switch)
    if not re.fullmatch(r"[0-9]{1,6}", number) or not 1 <= int(number) <= MAX_PORT:
        raise BadValue(f"{shown(number)} is not a port number", f"1 to {MAX_PORT}, like {switch[:40]}:4")
    return End(switch, int(number))


def serving(text: str) -> Serving:
    """A server of a host: ``http``, ``echo:7007``."""
    allowed = f"{', '.join(SERVED)}; with a port, like http:8080"
    protocol, colon, number = text.partition(":")
    if protocol not in SERVED:
        raise BadValue(f"{shown(protocol)} is nothing that a host serves", allowed)
    if not colon:
        return Serving(protocol)
    if not re.fullmatch(r"[0-9]{1,5}", number) or not 1 <= int(number) <= 65535:
        raise BadValue(f"{shown(number)} is not a port", "1 to 65535, like http:8080")
    return Serving(protocol, int(number))


def dpid(text: str) -> int:
    """A datapath id: decimal, 0x…, 16 hexadecimal digits, or 8 pairs of them with colons."""
    value = 0
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", text):
        value = int(text[2:], 16)
    elif re.fullmatch(r"[0-9a-fA-F]{16}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){7}", text):
        value = int(text.replace(":", ""), 16)
    elif re.fullmatch(r"[1-9][0-9]{0,19}", text):
        value = int(text)
    elif re.fullmatch(r"0[0-9]{1,14}", text):
        raise BadValue(
            f"{shown(text)} may be decimal, octal or hexadecimal", _DPIDS, f"write {text.lstrip('0') or '1'}"
        )
    if not 1 <= value < 2**64:
        raise BadValue(f"{shown(text)} is not a datapath id", _DPIDS)
    return value


def mac(text: str) -> str:
    """A unicast MAC address, in lower case with colons."""
    allowed = "a unicast address like 02:00:00:00:00:01"
    if not re.fullmatch(r"[0-9a-fA-F]{2}(?:([:-])[0-9a-fA-F]{2})(?:\1[0-9a-fA-F]{2}){4}", text):
        raise BadValue(f"{shown(text)} is not a MAC address", allowed)
    plain = text.lower().replace("-", ":")
    if int(plain[:2], 16) & 1:
        raise BadValue(f"{shown(text)} is a multicast MAC address", allowed, "make the first byte even")
    if plain == "00:00:00:00:00:00":
        raise BadValue(f"{shown(text)} is not the address of a station", allowed)
    return plain


def _interface(text: str, version: int, example: str) -> tuple[str, int | None]:
    allowed = f"an IPv{version} address like {example}"
    other = 10 - version
    if len(text) > 64 or not re.fullmatch(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", text):
        raise BadValue(f"{shown(text)} is not an IPv{version} address", allowed)
    try:
        address = ip_network(text.partition("/")[0])
        prefix = int(text.partition("/")[2]) if "/" in text else None
        if prefix is not None and prefix > address.max_prefixlen:
            raise ValueError
    except ValueError:
        raise BadValue(f"{shown(text)} is not an IPv{version} address", allowed) from None
    if address.version != version:
        raise BadValue(f"{shown(text)} is an IPv{other} address", allowed, f"move it to ipv{other}")
    return text, prefix


class Static4(NamedTuple):
    """An address in the file; ``prefixed``: the file also gives its prefix length."""

    interface: IPv4Interface
    prefixed: bool


class Static6(NamedTuple):
    """An address in the file; ``prefixed``: the file also gives its prefix length."""

    interface: IPv6Interface
    prefixed: bool


def ipv4(text: str) -> Static4:
    plain, prefix = _interface(text, 4, "10.0.0.5 or 10.0.0.5/16")
    return Static4(IPv4Interface(plain), prefix is not None)


def ipv6(text: str) -> Static6:
    plain, prefix = _interface(text, 6, "fd00::5 or fd00::5/64")
    return Static6(IPv6Interface(plain), prefix is not None)


# Addresses that no host can have (RFC 6890 and its registry)
_RESERVED: dict[str, IPv4Network | IPv6Network] = {
    "'this network'": IPv4Network("0.0.0.0/8"),
    "loopback": IPv4Network("127.0.0.0/8"),
    "multicast": IPv4Network("224.0.0.0/4"),
    "reserved": IPv4Network("240.0.0.0/4"),
    "unspecified and loopback": IPv6Network("::/127"),
    "link-local": IPv6Network("fe80::/10"),
    "multicast ": IPv6Network("ff00::/8"),
}


def _subnet(text: str, version: int, example: str) -> IPv4Network | IPv6Network:
    allowed = f"an IPv{version} subnet like {example}"
    if len(text) > 64 or not re.fullmatch(r"[0-9A-Fa-f:.]+/[0-9]{1,3}", text):
        hint = "add the prefix length" if re.fullmatch(r"[0-9A-Fa-f:]*[.:][0-9A-Fa-f:.]*", text) else ""
        raise BadValue(f"{shown(text)} is not an IPv{version} subnet", allowed, hint)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise BadValue(f"{shown(text)} is not an IPv{version} subnet", allowed) from None
    if network.version != version:
        other = 10 - version
        raise BadValue(f"{shown(text)} is an IPv{other} subnet", allowed, f"move it to subnet{other}")
    if int(network.network_address) != int(ip_network(text.partition("/")[0]).network_address):
        raise BadValue(f"{shown(text)} has host bits set", allowed, f"write {network}")
    for kind, reserved in _RESERVED.items():
        if reserved.version == network.version and network.overlaps(reserved):
            raise BadValue(
                f"{shown(text)} overlaps {kind.strip()} addresses ({reserved})",
                allowed,
                "take another subnet",
            )
    return network


def subnet4(text: str) -> IPv4Network:
    network = _subnet(text, 4, "10.0.0.0/16")
    assert isinstance(network, IPv4Network)
    return network


def subnet6(text: str) -> IPv6Network:
    network = _subnet(text, 6, "fd00::/64")
    assert isinstance(network, IPv6Network)
    return network


LEAST_MTU, MOST_MTU = 1330, 65535
LEAST_WIRE_MTU, MOST_WIRE_MTU = 576, 65000
"""IPv4's least (RFC 791), and the most that leaves room for tunnels and chains in the kernel's 65,535."""
_VNIS = f"1 to {MAX_VNI} (RFC 7348: 24 bits)"
_VLANS = f"1 to {MAX_VLAN} (IEEE 802.1Q: 12 bits, 0 and 4095 are reserved)"
_MTUS = f"{LEAST_MTU} to {MOST_MTU} bytes (IPv6 in a tunnel needs {LEAST_MTU})"


def _whole(text: str, kind: str, low: int, high: int, allowed: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise BadValue(f"{shown(text)} is not a {kind}", allowed)
    if not low <= int(text) <= high:
        raise BadValue(f"{kind} {shown(text)} is out of range", allowed)
    return int(text)


def vni(text: str) -> int:
    """A VXLAN network identifier (RFC 7348, 5)."""
    return _whole(text, "VNI", 1, MAX_VNI, _VNIS)


def vlan(text: str) -> int:
    """A VLAN identifier (IEEE 802.1Q, 9.6)."""
    return _whole(text, "VLAN id", 1, MAX_VLAN, _VLANS)


def wire_mtu(text: str) -> int:
    """The largest IP packet on a wire, in bytes."""
    return _whole(text, "MTU", LEAST_WIRE_MTU, MOST_WIRE_MTU, f"{LEAST_WIRE_MTU} to {MOST_WIRE_MTU} bytes")


def mtu(text: str) -> int:
    """The largest IP packet on an underlay link, in bytes."""
    return _whole(text, "MTU", LEAST_MTU, MOST_MTU, _MTUS)


def switch_on(text: str) -> bool:
    """``true`` or ``false``, as YAML 1.2 has it."""
    if text.lower() not in ("true", "false"):
        raise BadValue(f"{shown(text)} is neither true nor false", "true, false")
    return text.lower() == "true"


def tunnels(text: str) -> str:
    """Who makes the tunnels: ``kernel``, ``ovs``, or ``auto`` for the faster one."""
    if text not in ("auto", "kernel", "ovs"):
        raise BadValue(f"{shown(text)} is no kind of tunnel", "auto, kernel, ovs")
    return text
