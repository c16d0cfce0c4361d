"""Addresses and ports in rule headers: variables, lists, negation, ranges (user guide "Rules Format")."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from nfv.ids.language.text import Problem

ADDRESS_GROUPS: Mapping[str, str] = {
    "HOME_NET": "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]",
    "EXTERNAL_NET": "!$HOME_NET",
    "HTTP_SERVERS": "$HOME_NET",
    "SMTP_SERVERS": "$HOME_NET",
    "SQL_SERVERS": "$HOME_NET",
    "DNS_SERVERS": "$HOME_NET",
    "TELNET_SERVERS": "$HOME_NET",
    "AIM_SERVERS": "$EXTERNAL_NET",
    "DC_SERVERS": "$HOME_NET",
    "DNP3_SERVER": "$HOME_NET",
    "DNP3_CLIENT": "$HOME_NET",
    "MODBUS_CLIENT": "$HOME_NET",
    "MODBUS_SERVER": "$HOME_NET",
    "ENIP_CLIENT": "$HOME_NET",
    "ENIP_SERVER": "$HOME_NET",
}
"""Default values of the address variables (those of Suricata's shipped configuration)."""

PORT_GROUPS: Mapping[str, str] = {
    "HTTP_PORTS": "80",
    "SHELLCODE_PORTS": "!80",
    "ORACLE_PORTS": "1521",
    "SSH_PORTS": "22",
    "DNP3_PORTS": "20000",
    "MODBUS_PORTS": "502",
    "FILE_DATA_PORTS": "[$HTTP_PORTS,110,143]",
    "FTP_PORTS": "21",
    "GENEVE_PORTS": "6081",
    "VXLAN_PORTS": "4789",
    "TEREDO_PORTS": "3544",
    "SIP_PORTS": "[5060, 5061]",
}

Ranges = list[tuple[int, int]]


class Ports:
    """A set of ports; None in a rule stands for any."""

    __slots__ = ("_bounds",)

    def __init__(self, ranges: Ranges) -> None:
        self._bounds = [edge for low, high in ranges for edge in (low, high + 1)]

    def __contains__(self, port: int) -> bool:
        return bisect_right(self._bounds, port) & 1 == 1

    @property
    def ranges(self) -> Ranges:
        """(first, last) of each run."""
        return [(a, b - 1) for a, b in zip(self._bounds[::2], self._bounds[1::2], strict=True)]


class Addresses:
    """A set of addresses of both families; look-ups use packed addresses."""

    __slots__ = ("_four", "_six", "negated")

    def __init__(self, four: Ranges, six: Ranges, negated: bool = False) -> None:
        self._four = [edge for low, high in four for edge in (low, high + 1)]
        self._six = [edge for low, high in six for edge in (low, high + 1)]
        self.negated = negated

    def __contains__(self, address: bytes) -> bool:
        number = int.from_bytes(address, "big")
        return bisect_right(self._four if len(address) == 4 else self._six, number) & 1 == 1


def _merge(ranges: Ranges) -> Ranges:
    merged: Ranges = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _minus(ranges: Ranges, without: Ranges) -> Ranges:
    result = []
    for low, high in ranges:
        for first, last in without:
            if last < low or first > high:
                continue
            if first > low:
                result.append((low, first - 1))
            low = last + 1
        if low <= high:
            result.append((low, high))
    return result


def split(text: str) -> list[str]:
    """The parts of a list, split at its commas, but not at commas of nested lists."""
    parts, part, depth = [], "", 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            raise Problem("", f"brackets don't match in {text!r}")
        if character == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += character
    if depth:
        raise Problem("", f"brackets don't match in {text!r}")
    return [part.strip() for part in [*parts, part]]


def _terms(
    text: str, groups: Mapping[str, str], what: str, depth: int = 0, not_: bool = False
) -> list[tuple[bool, str]]:
    """(negated, single term) of a nested list with variables."""
    text = text.strip()
    if depth > 32:
        raise Problem("", f"{what} are nested too deeply (a variable that names itself?)")
    if text.startswith("!"):
        return _terms(text[1:], groups, what, depth + 1, not not_)
    if text.startswith("["):
        if not text.endswith("]"):
            raise Problem("", f"a bracket is missing in {text!r}")
        inner = text[1:-1].strip()
        if not inner:
            raise Problem("", f"an empty list of {what}")
        return [term for part in split(inner) for term in _terms(part, groups, what, depth + 1, not_)]
    if text.startswith("$"):
        name = text[1:]
        if name not in groups:
            raise Problem("", f"the variable ${name} is not defined; known: {', '.join(sorted(groups)[:20])}")
        return _terms(groups[name], groups, what, depth + 1, not_)
    if "," in text:
        return [term for part in split(text) for term in _terms(part, groups, what, depth + 1, not_)]
    if not text:
        raise Problem("", f"an empty element in a list of {what}")
    return [(not_, text)]


def ports(text: str, groups: Mapping[str, str]) -> Ports | None:
    """The ports of a header's field; None for any."""
    yes: Ranges = []
    no: Ranges = []
    for negated, term in _terms(text, groups, "ports"):
        if term == "any":
            if negated:
                raise Problem("", "!any matches no port")
            yes.append((0, 65535))
            continue
        low_text, colon, high_text = term.partition(":")
        try:
            low = int(low_text) if low_text else 0
            high = (int(high_text) if high_text else 65535) if colon else low
        except ValueError:
            raise Problem(
                "", f"{term!r} is no port; allowed are 80, 1:1024, :1024, 1024:, lists in []"
            ) from None
        if not 0 <= low <= high <= 65535:
            raise Problem("", f"ports {term!r} are not between 0 and 65535 in rising order")
        (no if negated else yes).append((low, high))
    result = _minus(_merge(yes) if yes else [(0, 65535)], _merge(no))
    if not result:
        raise Problem("", f"{text!r} matches no port")
    return None if result == [(0, 65535)] else Ports(result)


_LAST = {4: (1 << 32) - 1, 6: (1 << 128) - 1}


def addresses(text: str, groups: Mapping[str, str]) -> Addresses | None:
    """The addresses of a header's field; None for any."""
    yes: dict[int, Ranges] = {4: [], 6: []}
    no: dict[int, Ranges] = {4: [], 6: []}
    for negated, term in _terms(text, groups, "addresses"):
        target = no if negated else yes
        if term == "any":
            if negated:
                raise Problem("", "!any matches no address")
            yes[4].append((0, _LAST[4]))
            yes[6].append((0, _LAST[6]))
            continue
        version, low, high = _range(term)
        target[version].append((low, high))
    if not (yes[4] or yes[6]):
        yes = {4: [(0, _LAST[4])], 6: [(0, _LAST[6])]}
    result = {v: _minus(_merge(yes[v]), _merge(no[v])) for v in (4, 6)}
    if not (result[4] or result[6]):
        raise Problem("", f"{text!r} matches no address")
    if result == {4: [(0, _LAST[4])], 6: [(0, _LAST[6])]}:
        return None
    return Addresses(result[4], result[6], bool(no[4] or no[6]))


def _range(term: str) -> tuple[int, int, int]:
    try:
        if "-" in term:
            low, high = (ip_address(part.strip()) for part in term.split("-", 1))
            if low.version != high.version or int(low) > int(high):
                raise ValueError
            return low.version, int(low), int(high)
        net: IPv4Network | IPv6Network = ip_network(term, strict=False)
        first: IPv4Address | IPv6Address = net.network_address
        return net.version, int(first), int(net.broadcast_address)
    except ValueError:
        raise Problem(
            "",
            f"{term!r} is no address; allowed are 10.0.0.1, 10.0.0.0/8, fd00::/8, 10.0.0.1-10.0.0.9, [lists]",
        ) from None
