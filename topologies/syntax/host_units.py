"""Parsers for the values of hosts: memory, processors, host names, modes of files.

As in ``topologies.syntax.units``, each takes text and returns the value, or raises ``BadValue``.
"""

from __future__ import annotations

import re

from topologies.syntax.problem import shown
from topologies.syntax.units import BadValue

MOST_VCPUS = 64
_MEMORY = {
    "kB": 1000,
    "KB": 1000,
    "KiB": 1 << 10,
    "MB": 10**6,
    "MiB": 1 << 20,
    "GB": 10**9,
    "GiB": 1 << 30,
}
_LEAST, _MOST = 4 << 20, 1 << 40
_MEMORIES = "4MiB to 1TiB, written like 256MiB or 1GiB (bytes)"
_CPUS = "0.01 to 1024, written like 0.5 or 2"


def memory(text: str) -> int:
    """Bytes of memory."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([A-Za-z]+)", text)
    if match is None or match.group(2) not in _MEMORY:
        remedy = f"write {text}MiB if mebibytes are meant" if re.fullmatch(r"[0-9]{1,9}", text) else ""
        raise BadValue(f"{shown(text)} is no amount of memory", _MEMORIES, remedy)
    octets = int(float(match.group(1)) * _MEMORY[match.group(2)])
    if not _LEAST <= octets <= _MOST:
        raise BadValue(f"memory {shown(text)} is out of range", _MEMORIES)
    return octets


def cpus(text: str) -> float:
    """A number of processors, which may be a fraction."""
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,6})?", text):
        raise BadValue(f"{shown(text)} is no number of processors", _CPUS)
    if not 0.01 <= float(text) <= 1024:
        raise BadValue(f"number of processors {shown(text)} is out of range", _CPUS)
    return float(text)


def hostname(text: str) -> str:
    """A host name that the kernel takes: 1 to 64 bytes (sethostname(2)), with the letters of RFC 1123."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?", text):
        raise BadValue(
            f"{shown(text)} is no host name", "up to 64 letters, digits, '-' and '.', like www.example.org"
        )
    return text


CONGESTION = r"^[a-z][a-z0-9_]{0,14}$"


def congestion_control(text: str) -> str:
    """The name of a congestion control of TCP: up to 15 letters and digits (the kernel's TCP_CA_NAME_MAX)."""
    if not re.fullmatch(CONGESTION, text):
        allowed = "a name in Linux, like cubic, reno or bbr"
        raise BadValue(f"{shown(text)} is no congestion control", allowed)
    return text


def mode(text: str) -> int:
    """The mode of a file, in octal digits (chmod(1))."""
    if not re.fullmatch(r"0?[0-7]{3,4}", text) or int(text, 8) > 0o7777:
        raise BadValue(f"{shown(text)} is no mode", "three or four octal digits, like 0644")
    return int(text, 8)
