"""``python -m bench.kernel_cost HOSTS``: what the kernel alone takes for that many hosts.

Makes HOSTS network namespaces and a veth pair into each, both ends up, with as little else as Python can:
no process each, one netlink socket, messages in batches (rtnetlink(7)). Prints the seconds. Run it in a
network namespace of its own; everything it makes ends with it.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import threading
import time

_NEWNET = 0x40000000  # CLONE_NEWNET, sched.h
_RTM_NEWLINK, _NLMSG_ERROR = 16, 2
_REQUEST_ACK, _CREATE_EXCL = 0x1 | 0x4, 0x400 | 0x200
_IFF_UP = 1
_IFNAME, _LINKINFO, _INFO_KIND, _INFO_DATA, _VETH_PEER, _NET_NS_FD = 3, 18, 1, 2, 1, 28
_BATCH = 32
_WORKERS = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _namespace() -> int:
    """Enter a new network namespace and give a descriptor of it."""
    if _libc.unshare(_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)


def namespaces(count: int) -> list[int]:
    """That many network namespaces, made by threads (each thread has a namespace of its own)."""
    descriptors: list[int] = []

    def work(share: int) -> None:
        descriptors.extend(_namespace() for _ in range(share))

    shares = [count // _WORKERS + (worker < count % _WORKERS) for worker in range(_WORKERS)]
    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return descriptors


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _message(sequence: int, flags: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), _RTM_NEWLINK, flags, sequence, 0) + body


def _name(name: str) -> bytes:
    return _attribute(_IFNAME, name.encode() + b"\0")


def _veth(number: int, namespace: int) -> bytes:
    """Make a pair whose end in the host is up at once; the kernel refuses that for the other (the peer)."""
    near = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + _name(f"s1-eth{number}")
    info = _attribute(_INFO_KIND, b"veth") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, near))
    far = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, _IFF_UP, _IFF_UP) + _name(f"h{number}-eth0")
    far += _attribute(_NET_NS_FD, struct.pack("=i", namespace)) + _attribute(_LINKINFO, info)
    return _message(number, _REQUEST_ACK | _CREATE_EXCL, far)


def _set_up(number: int) -> bytes:
    header = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, _IFF_UP, _IFF_UP)
    return _message(number, _REQUEST_ACK, header + _name(f"s1-eth{number}"))


def _send(link: socket.socket, messages: list[bytes]) -> None:
    for start in range(0, len(messages), _BATCH):
        batch = messages[start : start + _BATCH]
        link.send(b"".join(batch))
        acknowledged = 0
        while acknowledged < len(batch):
            data = link.recv(65536)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _NLMSG_ERROR:
                    (error,) = struct.unpack_from("=i", data, 16)
                    if error:
                        raise OSError(-error, os.strerror(-error))
                    acknowledged += 1
                data = data[(length + 3) & ~3 :]


def pairs(targets: list[int]) -> None:
    """A veth pair into each namespace, both ends up; OSError when the kernel refuses one."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
        _send(link, [_veth(number, target) for number, target in enumerate(targets, 1)])
        _send(link, [_set_up(number) for number in range(1, len(targets) + 1)])


if __name__ == "__main__":
    begin = time.monotonic()
    pairs(namespaces(int(sys.argv[1])))
    print(f"{time.monotonic() - begin:.6f}")
