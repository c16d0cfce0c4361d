"""The agent's steps to configure its machine: addresses, files, clock, random numbers.

All by system calls in the agent's process: where a processor is emulated, a program such as ``ip`` takes 30
ms to start.  The module ``socket`` would take longer to import than all the rest: the agent uses the part
of it that is written in C.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import struct
import time

from linux import netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RTM_NEWLINK, RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 16, 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
IFLA_ADDRESS, IFLA_MTU = 1, 4
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
IFF_UP = 0x1
IFA_F_NODAD = 0x02
RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_LINK, RT_SCOPE_UNIVERSE, RTN_UNICAST = 254, 4, 253, 0, 1
NLM_F_DUMP = 0x300
NLMSG_DONE = 3
LOOPBACK = 1
RNDADDENTROPY, RNDRESEEDCRNG = 0x40085203, 0x5207
"""random(4), linux/random.h."""

NET = "/sys/class/net"


class Steps:
    """Does steps, one after the other. ``environment`` is what commands get, changed by steps."""

    def __init__(self, environment: dict[bytes, bytes]) -> None:
        self._environment = environment
        self._index = 0
        self._sequence = 0
        self._do: dict[bytes, Callable[..., None]] = {
            b"device": self._device,
            b"mac": self._mac,
            b"mtu": self._mtu,
            b"up": self._up,
            b"clear": self._clear,
            b"address": self._address,
            b"route": self._route,
            b"hostname": self._hostname,
            b"file": self._file,
            b"append": self._append,
            b"directory": self._directory,
            b"clock": self._clock,
            b"entropy": self._entropy,
            b"environment": self._set_environment,
        }

    def run(self, steps: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Do them all; a text for each that failed, which names the step and the reason."""
        failures = []
        self._index = 0
        for step in steps:
            word, arguments = (step[0], step[1:]) if step else (b"", [])
            try:
                self._do[word](*arguments)
            except KeyError:
                failures.append(word + b": this agent has no such step")
            except (OSError, ValueError, TypeError) as error:
                why = getattr(error, "strerror", None) or str(error)
                shown = b" ".join([word, *arguments[:2]]) if word != b"entropy" else word
                failures.append(shown[:200] + b": " + why.encode())
        return failures

    def _device(self, mac: bytes = b"") -> None:
        """``device [MAC]``: the next steps are for this device; without a MAC address, for the only one."""
        names = [name for name in sorted(os.listdir(NET)) if os.path.exists(f"{NET}/{name}/device")]
        names = names or [name for name in sorted(os.listdir(NET)) if not _is_loopback(name)]
        if mac:
            names = [name for name in names if _read(f"{NET}/{name}/address") == mac.decode().lower()]
        if len(names) != 1:
            raise ValueError("no such network device" if not names else f"several: {' '.join(names)}")
        self._index = int(_read(f"{NET}/{names[0]}/ifindex"))

    def _only(self) -> int:
        if not self._index:
            self._device()
        return self._index

    def _mac(self, mac: bytes) -> None:
        """``mac MAC``: a device that is up and can't change is set down before; ``up`` sets it up again."""
        address = bytes.fromhex(mac.decode().replace(":", ""))
        attributes = netlink.attribute(IFLA_ADDRESS, address)
        index = self._only()
        try:
            self._ask(RTM_NEWLINK, _link(index) + attributes)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            self._ask(RTM_NEWLINK, _link(index, 0, IFF_UP))
            self._ask(RTM_NEWLINK, _link(index) + attributes)

    def _mtu(self, mtu: bytes) -> None:
        """``mtu OCTETS``."""
        self._ask(RTM_NEWLINK, _link(self._only()) + netlink.u32(IFLA_MTU, int(mtu)))

    def _up(self) -> None:
        """``up``: the device and the loopback."""
        self._ask(RTM_NEWLINK, _link(LOOPBACK, IFF_UP, IFF_UP))
        self._ask(RTM_NEWLINK, _link(self._only(), IFF_UP, IFF_UP))

    def _clear(self) -> None:
        """``clear``: remove the device's addresses but for link-local ones, and the routes of ``route``."""
        index = self._only()
        for family in (_socket.AF_INET, _socket.AF_INET6):
            for payload in self._dump(RTM_GETROUTE, struct.pack("=B11x", family)):
                has = dict(netlink.attributes(payload[12:]))
                device = has.get(RTA_OIF)
                if (
                    payload[5] == RTPROT_STATIC
                    and device is not None
                    and struct.unpack("=I", device)[0] == index
                ):
                    parts = [(kind, has[kind]) for kind in (RTA_DST, RTA_OIF, RTA_GATEWAY) if kind in has]
                    attributes = b"".join(netlink.attribute(kind, value) for kind, value in parts)
                    self._ask(RTM_DELROUTE, payload[:12] + attributes)
            for payload in self._dump(RTM_GETADDR, struct.pack("=BBBBI", family, 0, 0, 0, 0)):
                of, prefix, _, scope, device_of = struct.unpack_from("=BBBBI", payload)
                has = dict(netlink.attributes(payload[8:]))
                local = has.get(IFA_LOCAL, has.get(IFA_ADDRESS, b""))
                if device_of == index and scope != RT_SCOPE_LINK:
                    header = struct.pack("=BBBBI", of, prefix, 0, 0, index)
                    self._ask(RTM_DELADDR, header + netlink.attribute(IFA_LOCAL, local))

    def _address(self, text: bytes) -> None:
        """``address ADDRESS/PREFIX``, IPv4 or IPv6; without duplicate address detection."""
        family, packed, prefix = _parse(text)
        flags = IFA_F_NODAD if family == _socket.AF_INET6 else 0
        payload = struct.pack("=BBBBI", family, prefix, flags, 0, self._only())
        payload += netlink.attribute(IFA_LOCAL, packed) + netlink.attribute(IFA_ADDRESS, packed)
        if family == _socket.AF_INET and prefix < 31:
            (number,) = struct.unpack("!I", packed)
            payload += netlink.attribute(IFA_BROADCAST, struct.pack("!I", number | 0xFFFFFFFF >> prefix))
        self._ask(RTM_NEWADDR, payload, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE)

    def _route(self, text: bytes, gateway: bytes = b"") -> None:
        """``route DESTINATION/PREFIX [GATEWAY]``; an older route there is replaced."""
        family, packed, prefix = _parse(text)
        scope = RT_SCOPE_UNIVERSE if gateway or family == _socket.AF_INET6 else RT_SCOPE_LINK
        payload = struct.pack(
            "=BBBBBBBBI", family, prefix, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0
        )
        payload += netlink.attribute(RTA_DST, packed) if prefix else b""
        if gateway:
            via, next_hop, _ = _parse(gateway)
            if via != family:
                raise ValueError("the gateway is of the other IP version")
            payload += netlink.attribute(RTA_GATEWAY, next_hop)
        payload += netlink.u32(RTA_OIF, self._only())
        self._ask(RTM_NEWROUTE, payload, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE)

    def _hostname(self, name: bytes) -> None:
        """``hostname NAME``."""
        _socket.sethostname(name.decode())

    def _file(self, path: bytes, mode: bytes, content: bytes) -> None:
        """``file PATH MODE CONTENT``: the mode is octal; missing directories are made."""
        self._directory(os.path.dirname(path), b"755")
        self._write(path, os.O_TRUNC, content, int(mode, 8))

    def _append(self, path: bytes, content: bytes) -> None:
        """``append PATH CONTENT``: for what does not fit into one frame."""
        self._write(path, os.O_APPEND, content)

    @staticmethod
    def _write(path: bytes, how: int, content: bytes, mode: int | None = None) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
        try:
            if mode is not None:
                os.fchmod(fd, mode)
            while content:
                content = content[os.write(fd, content) :]
        finally:
            os.close(fd)

    @staticmethod
    def _directory(path: bytes, mode: bytes) -> None:
        """``directory PATH MODE``: make it, with those above it, if it is missing."""
        if path:
            os.makedirs(path, int(mode, 8), exist_ok=True)

    @staticmethod
    def _clock(nanoseconds: bytes) -> None:
        """``clock NS``: the time of day, since 1970."""
        time.clock_settime_ns(time.CLOCK_REALTIME, int(nanoseconds))

    @staticmethod
    def _entropy(seed: bytes) -> None:
        """``entropy OCTETS``: a machine that was restored must not draw the same numbers as its twin."""
        fd = os.open("/dev/urandom", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, RNDADDENTROPY, struct.pack("=ii", len(seed) * 8, len(seed)) + seed)
            fcntl.ioctl(fd, RNDRESEEDCRNG)
        finally:
            os.close(fd)

    def _set_environment(self, name: bytes, value: bytes) -> None:
        """``environment NAME VALUE``: for commands that are started from now on."""
        self._environment[name] = value

    def _ask(self, kind: int, payload: bytes, flags: int = 0) -> None:
        """Send one rtnetlink request and wait for the answer. Raises OSError."""
        self._sequence += 1
        with _Route() as route:
            request = netlink.NLM_F_REQUEST | netlink.NLM_F_ACK | flags
            route.send(netlink.message(kind, request, self._sequence, payload))
            while True:
                for sequence, error, words in netlink.answers(route.recv(1 << 16)):
                    if sequence == self._sequence:
                        if error:
                            raise OSError(error, words or os.strerror(error))
                        return

    def _dump(self, kind: int, payload: bytes) -> list[bytes]:
        self._sequence += 1
        entries: list[bytes] = []
        with _Route() as route:
            route.send(netlink.message(kind, netlink.NLM_F_REQUEST | NLM_F_DUMP, self._sequence, payload))
            while True:
                for answer, _, sequence, entry in netlink.messages(route.recv(1 << 18)):
                    if sequence != self._sequence:
                        continue
                    if answer in (NLMSG_DONE, netlink.NLMSG_ERROR):
                        return entries
                    entries.append(entry)


class _Route:
    """A route netlink socket of this namespace."""

    def __enter__(self) -> _socket.socket:
        kind = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC
        self._socket = _socket.socket(_socket.AF_NETLINK, kind, _socket.NETLINK_ROUTE)
        self._socket.setsockopt(netlink.SOL_NETLINK, netlink.NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(netlink.SOL_NETLINK, netlink.NETLINK_EXT_ACK, 1)
        return self._socket

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _link(index: int, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


def _parse(text: bytes) -> tuple[int, bytes, int]:
    """(family, address, prefix length) of ``10.0.0.1/24`` or ``fd00::1``. Raises OSError or ValueError."""
    address, slash, prefix = text.decode().partition("/")
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    packed = _socket.inet_pton(family, address)
    length = int(prefix) if slash else 8 * len(packed)
    if not 0 <= length <= 8 * len(packed):
        raise ValueError("no such prefix length")
    return family, packed, length


def _is_loopback(name: str) -> bool:
    return bool(int(_read(f"{NET}/{name}/flags"), 16) & 0x8)  # IFF_LOOPBACK


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096).decode().strip()
    finally:
        os.close(fd)
