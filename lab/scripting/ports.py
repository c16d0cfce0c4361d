"""Packet sockets at the ports of hosts, for a program that is outside of the lab.

A socket is opened in the namespace of the host's port by a short process (``lab.cli.opener``), several at a
time, and then used again and again: between two uses a filter lets nothing in.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import NamedTuple
from urllib.parse import quote

from lab.access.client import Client
from lab.failure import Exit, Failure, unknown
from lab.messages.lab import Status
from lab.scripting import programs

EACH = 3
"""Sockets that are opened for a host at once: to send, to listen, and one more."""
_SPARE = 16
_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23  # packet(7)
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27  # socket(7)
_NOTHING = b"\x06\0\0\0\0\0\0\0"  # BPF: ret #0
_MEMORY = 60.0
"""Seconds for which the MAC address of a next hop is remembered."""


class Station(NamedTuple):
    """What a host sends with, and where to. ``gateway4`` and ``gateway6``: of its network's router."""

    name: str
    mac: str
    ipv4: IPv4Interface | None
    ipv6: IPv6Interface | None
    gateway4: str | None
    gateway6: str | None

    def next_hop(self, destination: str) -> str:
        """The address to which a packet for ``destination`` is sent: its own, or that of the router."""
        address = ip_address(destination)
        own, gateway = (self.ipv4, self.gateway4) if address.version == 4 else (self.ipv6, self.gateway6)
        if own is None or gateway is None or address in own.network or address.is_link_local:
            return destination
        return gateway


def stations(status: Status) -> dict[str, Station]:
    """The stations of all hosts."""
    networks = {network["name"]: network for network in status["networks"]}
    by_name: dict[str, Station] = {}
    for host in status["hosts"]:
        network = networks[host["network"]]
        ipv4 = None if host["ipv4"] is None else ip_interface(host["ipv4"])
        ipv6 = None if host["ipv6"] is None else ip_interface(host["ipv6"])
        assert ipv4 is None or isinstance(ipv4, IPv4Interface)
        assert ipv6 is None or isinstance(ipv6, IPv6Interface)
        routed = network["router"] is not None
        by_name[host["name"]] = Station(
            host["name"],
            host["mac"],
            ipv4,
            ipv6,
            network["gateway4"] if routed else None,
            network["gateway6"] if routed else None,
        )
    return by_name


@dataclass
class _Place:
    netns: str
    device: str
    idle: list[socket.socket] = field(default_factory=list)


class Ports:
    """Sockets at the ports of a lab's hosts. Any thread may use it."""

    def __init__(self, lab: str) -> None:
        self.lab = lab
        self._lock = threading.RLock()
        self._places: dict[str, _Place] = {}
        self._macs: dict[tuple[str, str], tuple[str, float]] = {}
        self._stations: dict[str, Station] = {}
        self._closed = False

    def station(self, host: str) -> Station:
        """The addresses of a host. Raises Failure for an unknown one."""
        with self._lock:
            if host not in self._stations:
                self._stations = stations(Client(self.lab).get("/status"))
            if host not in self._stations:
                raise unknown("host", host, sorted(self._stations), "hosts", " in this lab")
            return self._stations[host]

    def hosts(self) -> list[str]:
        """Names of all hosts."""
        with self._lock:
            self._stations = stations(Client(self.lab).get("/status"))
            return list(self._stations)

    def open(self, hosts: Iterable[str]) -> None:
        """Open sockets at these hosts, all at once: one by one takes longer. Raises Failure."""
        with self._lock:
            lacking = [host for host in dict.fromkeys(hosts) if not self._idle(host)]
            for begin in range(0, len(lacking), _SPARE):
                self._open(lacking[begin : begin + _SPARE])

    def take(self, host: str, *, outgoing: bool = False, filter: str = "") -> tuple[socket.socket, str]:
        """A socket at a host's port, which sees what the host receives from now on, and its device's name.

        ``outgoing``: also what the host sends. ``filter``: as in pcap-filter(7). Raises Failure.
        """
        with self._lock:
            if self._closed:
                raise Failure(f"lab {self.lab} was stopped", "", Exit.LOST)
            program = _compiled(filter) if filter else None
            for again in (False, True):
                self.open([host])
                place = self._places[host]
                taken = place.idle.pop()
                try:
                    _listen(taken, place.device, outgoing, program)
                    return taken, place.device
                except OSError as error:
                    taken.close()
                    self._forget(host)  # it has moved, and its port is a new device
                    if again:
                        raise Failure(
                            f"can't use the port of {host}: {error.strerror}", "was the host removed?"
                        ) from None
            raise AssertionError

    def give_back(self, host: str, taken: socket.socket) -> None:
        """The socket is not used any more."""
        with self._lock:
            place = self._places.get(host)
            if self._closed or place is None or len(place.idle) >= EACH:
                taken.close()
                return
            try:
                _attach(taken, _NOTHING)
            except OSError:
                taken.close()
                return
            place.idle.append(taken)

    def remembered(self, host: str, address: str) -> str | None:
        """The MAC address that a host has learned for an address, if that was not long ago."""
        with self._lock:
            mac, until = self._macs.get((host, address), ("", 0.0))
        return mac if time.monotonic() < until else None

    def remember(self, host: str, address: str, mac: str) -> None:
        """Note a MAC address that a host has learned."""
        with self._lock:
            self._macs[host, address] = mac, time.monotonic() + _MEMORY

    def close(self) -> None:
        """Close all sockets: an open one keeps its namespace alive after the lab's end."""
        with self._lock:
            self._closed = True
            for host in list(self._places):
                self._forget(host)

    def _idle(self, host: str) -> bool:
        return host in self._places and bool(self._places[host].idle)

    def _forget(self, host: str) -> None:
        place = self._places.pop(host, None)
        for idle in place.idle if place is not None else ():
            idle.close()

    def _open(self, hosts: list[str]) -> None:
        places = {}
        for host in hosts:
            self.station(host)  # an unknown one is told here
            places[host] = self._places.get(host) or self._place(host)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            process = subprocess.Popen(
                programs.words("lab.cli.opener"),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=programs.environment(),
                start_new_session=True,
            )
            theirs.close()
            order = {"lab": self.lab, "sockets": [(place.netns, EACH) for place in places.values()]}
            with process, contextlib.suppress(ConnectionError):
                ours.send(json.dumps(order).encode())
                for host, place in places.items():
                    message, descriptors, _, _ = socket.recv_fds(ours, 1 << 16, EACH)
                    place.idle += [socket.socket(fileno=number) for number in descriptors]
                    if not descriptors:
                        raise self._refused(message, process)
                    self._places[host] = place
        if process.returncode and any(not self._idle(host) for host in hosts):
            raise Failure(f"no sockets could be opened in lab {self.lab}", "see: sdnlab status", Exit.LOST)

    def _refused(self, message: bytes, process: subprocess.Popen[bytes]) -> Failure:
        if message:
            told = json.loads(message)
            return Failure(told["failed"], told["remedy"], Exit(told["code"]))
        assert process.stderr is not None
        return programs.failure_of(process.stderr.read().decode(errors="replace"), process.wait())

    def _place(self, host: str) -> _Place:
        stream = Client(self.lab).stream(f"/capture/{quote(host, safe='')}")
        try:
            where = next(stream, None)
        finally:
            stream.close()
        if where is None:
            raise Failure(f"lab {self.lab} ended before it answered", "", Exit.LOST)
        return _Place(where["netns"], where["device"])


def _listen(taken: socket.socket, device: str, outgoing: bool, program: bytes | None) -> None:
    """Let the socket see what passes the device from now on, and nothing of before."""
    _attach(taken, _NOTHING)
    taken.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 0 if outgoing else 1)
    taken.bind((device, _ETH_P_ALL))
    taken.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            taken.recv(1)
    taken.setblocking(True)
    if program is None:
        taken.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    else:
        _attach(taken, program)


class _Filter(ctypes.Structure):
    """``struct sock_fprog`` of linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def _attach(taken: socket.socket, program: bytes) -> None:
    """Let a socket receive only what passes a program of classic BPF."""
    taken.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(_Filter(len(program) // 8, program)))


def _compiled(expression: str) -> bytes:
    """The program of an expression (pcap-filter(7)) for Ethernet. Raises Failure."""
    from dataplane import pcap

    try:
        return pcap.compiled(pcap.library(), expression)
    except pcap.CannotCapture as error:
        raise Failure(
            f"the filter {expression!r} can't be used: {error}",
            "see pcap-filter(7), for example 'icmp or arp'",
        ) from None
