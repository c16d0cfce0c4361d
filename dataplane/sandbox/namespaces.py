"""Hundreds of network namespaces without a process for each, named below /run/netns as iproute2 does.

A thread can be in a network namespace of its own, so a few threads make all of them.  Each thread enters a
new one, opens it, binds it to a name, and opens a netlink socket that stays in it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dataplane.netlink.route import Socket
from linux import syscalls

RUN_NETNS = Path("/run/netns")
LOOPBACK = 1
QUIET = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}
"""Devices of a switch are wires: they must not send router solicitations or MLD of their own."""
DEAF = {
    **QUIET,
    "ipv4/ip_forward": "0",  # a new namespace takes the machine's value
    "ipv4/conf/all/rp_filter": "1",
    "ipv4/conf/default/rp_filter": "1",
    "ipv4/conf/all/arp_ignore": "0",
    "ipv4/conf/default/arp_ignore": "8",
    "ipv4/conf/all/proxy_arp": "0",
    "ipv4/conf/default/proxy_arp": "0",
    "ipv4/conf/all/accept_local": "0",
    "ipv4/conf/default/accept_local": "0",
    "ipv4/conf/all/route_localnet": "0",
    "ipv4/conf/default/route_localnet": "0",
}
"""Kernel parameters of a namespace that tenants' frames pass.

No device answers ARP for any address (arp_ignore), accepts packets whose source is not reached through it
(rp_filter, RFC 3704; without an address it accepts none), or forwards.  Kernel's
Documentation/networking/ip-sysctl.rst.
"""
ATTACHED = {
    "ipv6/conf/all/accept_ra": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/all/accept_redirects": "0",
    "ipv6/conf/default/accept_redirects": "0",
    "ipv4/conf/all/accept_redirects": "0",
    "ipv4/conf/default/accept_redirects": "0",
    "ipv4/conf/all/arp_ignore": "1",
}
"""Kernel parameters of a function with addresses in a tenant's network: only the file decides its addresses
and routes, not hosts by router advertisements (RFC 4861, 6.2.3) and redirects."""
IN_A_CROWD = {
    "ipv6/conf/default/router_solicitations": "0",
    "ipv6/conf/default/dad_transmits": "0",
    "ipv6/conf/default/mldv1_unsolicited_report_interval": "3600000",
    "ipv6/conf/default/mldv2_unsolicited_report_interval": "3600000",
}
"""Kernel parameters of a host among many: it says less to all by itself when it starts.

By default a kernel sends some six multicasts in its first seconds: it asks for routers three times, asks
whether anybody has its link-local address, and tells twice which groups it is in. Each goes to all members of
the network. A thousand hosts would make six million copies, which take the switch half a minute. Link-local
addresses need no question: they follow from MAC addresses, which the file makes unique. The intervals are
milliseconds; kernel's Documentation/networking/ip-sysctl.rst.
"""
ROUTING = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv6/conf/default/forwarding": "1",
    # A packet may come by another way than the answer goes (RFC 3704, 2.4).
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    # Hosts keep the routes that the file gives them; the switches drop redirects of IPv6 (RFC 6105).
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    # It asks for neighbours from its link-local addresses, which would be tentative for a second (RFC 4862).
    "ipv6/conf/default/dad_transmits": "0",
}
"""Kernel parameters of a host that is a router."""
T = TypeVar("T")


@dataclass
class Namespace:
    """An open network namespace: its nsfs descriptor and a netlink socket inside it."""

    name: str
    fd: int
    netlink: Socket

    def close(self) -> None:
        """Close the descriptors."""
        self.netlink.close()
        os.close(self.fd)


def create(
    names: Sequence[str],
    settings: Mapping[str, str] | None = None,
    workers: int = 2,
    owner: int | None = None,
) -> dict[str, Namespace]:
    """Make and name network namespaces, with kernel parameters (below /proc/sys/net) set in all of them.

    Their lo is down: to set it up takes as long as all the rest, and can be done while others work.
    ``owner``: a user namespace (an open descriptor), whose root has the capabilities over them.

    Raises the first error of any worker; namespaces that exist by then end with the sandbox.
    """
    RUN_NETNS.mkdir(parents=True, exist_ok=True)
    created: dict[str, Namespace] = {}

    def create_plain(share: Sequence[str]) -> None:
        for name in share:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            created[name] = _prepare(name, fd, settings or {})

    def create_owned(share: Sequence[str]) -> None:
        for name, fd in zip(share, _create_owned(owner or 0, len(share)), strict=True):
            syscalls.setns(fd, syscalls.CLONE_NEWNET)
            created[name] = _prepare(name, fd, settings or {})

    job = create_plain if owner is None else create_owned
    shares = [share for share in (names[i::workers] for i in range(workers)) if share]
    in_threads([lambda share=share: job(share) for share in shares])  # type: ignore[misc]
    return {name: created[name] for name in names}


def _prepare(name: str, fd: int, settings: Mapping[str, str]) -> Namespace:
    """Set up and name the network namespace that the calling thread is in."""
    netlink = Socket()
    write_settings(settings)
    target = RUN_NETNS / name
    os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    syscalls.mount(f"/proc/self/fd/{fd}", str(target), None, syscalls.MS_BIND)
    return Namespace(name, fd, netlink)


def _create_owned(owner: int, count: int) -> list[int]:
    """Descriptors of ``count`` new network namespaces that belong to the user namespace ``owner``.

    Only a process in ``owner`` can make them. A process with several threads can't enter a user namespace, so
    a child enters it, and hands them over.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        try:
            syscalls.setns(owner, syscalls.CLONE_NEWUSER)
            for _ in range(count):
                syscalls.unshare(syscalls.CLONE_NEWNET)
                fd = os.open("/proc/self/ns/net", os.O_RDONLY)
                socket.send_fds(theirs, [b"!"], [fd])
                os.close(fd)
        except OSError as error:
            theirs.send((error.errno or 0).to_bytes(4, "big"))
        finally:
            os._exit(0)
    theirs.close()
    received: list[int] = []
    try:
        while len(received) < count:
            data, fds, _, _ = socket.recv_fds(ours, 16, 1)
            received += fds
            if not fds:
                errno = int.from_bytes(data, "big")
                raise OSError(errno, f"make a host's network namespace: {os.strerror(errno)}")
        return received
    finally:
        ours.close()
        os.waitpid(child, 0)


def write_settings(settings: Mapping[str, str]) -> None:
    """Set kernel parameters of the calling thread's network namespace; parameters that this kernel lacks are
    skipped."""
    for name, value in settings.items():
        with contextlib.suppress(OSError):
            Path(f"/proc/sys/net/{name}").write_text(value)


def remove(space: Namespace) -> None:
    """End every process in a namespace, and remove its name: this ends the namespace and its devices."""
    for pid in occupants(space.fd):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    target = RUN_NETNS / space.name
    with contextlib.suppress(OSError):
        syscalls.umount(str(target), syscalls.MNT_DETACH)
    target.unlink(missing_ok=True)
    space.close()


def occupants(fd: int) -> list[int]:
    """The processes whose first thread is in the network namespace ``fd``."""
    if Path("/proc/self").readlink().name != str(os.getpid()):
        return []  # another process namespace's /proc: its numbers are not ours
    inode = os.fstat(fd).st_ino
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if (entry / "ns" / "net").stat().st_ino == inode:
                    pids.append(int(entry.name))
    return pids


def in_threads(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Run jobs in parallel, one thread each, and raise the first error when all have ended."""
    futures = [start_thread(job) for job in jobs]
    for future in futures:
        future.exception()
    return [future.result() for future in futures]


def start_thread(job: Callable[[], T]) -> Future[T]:
    """Run a job in a thread of its own. The thread ends with the job, so it may enter any namespace."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def run_in(fd: int, job: Callable[[], T]) -> T:
    """Run a job in the network namespace ``fd``, in a thread, so that the caller stays where it is."""

    def enter() -> T:
        syscalls.setns(fd, syscalls.CLONE_NEWNET)
        return job()

    return start_thread(enter).result()
