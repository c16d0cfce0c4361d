"""One user-space network stack (slirp4netns): started by the door, asked by its socket.

It makes the device ``tap0`` in a gateway's namespace, and does with sockets in the machine's network what the
packets there want.  slirp4netns(1) describes its socket.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from dataplane import facts
from dataplane.netlink.overlay import Hop, delete_route, set_route
from dataplane.netlink.route import Request, Socket, add_address, set_index
from dataplane.outside.plan import (
    EVERYWHERE,
    OWN4,
    OWN6,
    PROGRAM,
    SETTINGS,
    STACK4,
    STACK6,
    TAP,
    Forward,
    GatewayPlan,
    arguments,
    rules,
)
from dataplane.sandbox.door import LOOPBACK, Door, DoorError
from dataplane.sandbox.namespaces import LOOPBACK as LOOPBACK_DEVICE
from dataplane.sandbox.namespaces import run_in, write_settings
from linux.readiness import readable

START_PATIENCE = 10.0
END_PATIENCE = 5.0
ANSWER_PATIENCE = 5.0
"""Timeouts in seconds."""
GONE = frozenset({errno.ESRCH})
SAME = "choose another port in publish:"


class OutsideError(Exception):
    """A way out does not work; ``remedy``: what helps."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


class Stack:
    """The running stack of a gateway. ``pid``: its process; ``forwards``: what is published by it."""

    def __init__(self, door: Door, gateway: GatewayPlan, netns: int, folder: Path) -> None:
        """Start it, and join the gateway (its namespace is ``netns``) to it. Raises OutsideError; then
        nothing of it is left."""
        self.gateway = gateway
        self.pid = 0
        self._door, self._netns = door, netns
        self._api = folder / f"{gateway.netns}.api"
        self._log = folder / f"{gateway.netns}.log"
        self._ids: dict[Forward, int] = {}
        folder.mkdir(exist_ok=True)
        try:
            run_in(netns, lambda: write_settings(SETTINGS))
            self._filter(gateway)
            self._start(folder)
            run_in(netns, self._configure)
            run_in(netns, lambda: self._route((), gateway))
        except (DoorError, OSError) as error:
            self.end()
            raise OutsideError(
                f"the way out of {gateway.network} does not start: {error}", _remedy(error)
            ) from None
        except OutsideError:
            self.end()
            raise

    @property
    def forwards(self) -> frozenset[Forward]:
        """What is published."""
        return frozenset(self._ids)

    def _start(self, folder: Path) -> None:
        self._api.unlink(missing_ok=True)
        ready, told = os.pipe()
        place = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            words = arguments(self.gateway, self._api.name)
            self.pid = self._door.start(PROGRAM, words, [self._netns, told, place, log])
            os.close(told)
            told = -1
            answered = bool(readable([ready], START_PATIENCE)) and os.read(ready, 1) == b"1"
        finally:
            for file in (ready, told, place, log):
                if file >= 0:
                    os.close(file)
        if not answered:
            raise OutsideError(
                f"the way out of {self.gateway.network} does not start: {PROGRAM} says: {self._last_words()}",
                "see: sdnlab doctor",
            )

    def _last_words(self) -> str:
        lines = (
            self._log.read_text(encoding="utf-8", errors="replace").split("\n") if self._log.exists() else []
        )
        return "; ".join([line.strip() for line in lines if line.strip()][-3:]) or "nothing"

    def _configure(self) -> None:
        """Address and routes of the device. The calling thread is in the gateway's namespace."""
        with contextlib.closing(Socket()) as netlink:
            device = netlink.index_of(TAP)
            requests: list[Request] = [
                set_index(LOOPBACK_DEVICE, True),
                set_index(device, True),
                add_address(device, OWN4),
                set_route(EVERYWHERE[4], [Hop(device, STACK4)]),
            ]
            if self.gateway.ipv6:
                requests += [add_address(device, OWN6), set_route(EVERYWHERE[6], [Hop(device, STACK6)])]
            netlink.run(requests)

    def _route(self, old: Sequence[IPv4Network | IPv6Network], gateway: GatewayPlan) -> None:
        """Set the routes to networks that a router joins. The calling thread is in the gateway's
        namespace."""
        with contextlib.closing(Socket()) as netlink:
            device = netlink.index_of(gateway.device)
            wanted = [set_route(subnet, [Hop(device, router)]) for subnet, router in gateway.routes]
            netlink.run([delete_route(subnet) for subnet in old], GONE)
            netlink.run(wanted)

    def become(self, gateway: GatewayPlan) -> None:
        """Change the gateway's packet filter and routes to those of ``gateway``, whose addresses are there.
        Raises OutsideError."""
        old = [subnet for subnet, _ in self.gateway.routes if subnet not in dict(gateway.routes)]
        self._filter(gateway)
        try:
            run_in(self._netns, lambda: self._route(old, gateway))
        except OSError as error:
            raise OutsideError(f"the way out of {gateway.network} has no routes: {error}") from None
        self.gateway = gateway

    def _filter(self, gateway: GatewayPlan) -> None:
        """Set the packet filter. Raises OutsideError."""
        done = run_in(
            self._netns,
            lambda: subprocess.run(
                ["nft", "-f", "-"], input=rules(gateway).encode(), capture_output=True, timeout=START_PATIENCE
            ),
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().split("\n")[0]
            raise OutsideError(
                f"the way out of {gateway.network} has no packet filter: {said}", "see: sdnlab doctor"
            )

    def publish(self, forward: Forward) -> None:
        """Publish a port. Raises OutsideError, which names who has the port."""
        answer = self._ask(
            "add_hostfwd",
            proto="tcp",
            host_addr=LOOPBACK,
            host_port=forward.port,
            guest_addr=str(OWN4.ip),
            guest_port=forward.port,
        )
        if "error" in answer:
            raise _not_to_be_had(self._door, forward, answer["error"].get("desc", ""))
        self._ids[forward] = int(answer["return"]["id"])

    def withdraw(self, forward: Forward) -> None:
        """Publish a port no more. Raises OutsideError."""
        answer = self._ask("remove_hostfwd", id=self._ids[forward])
        if "error" in answer:
            said = answer["error"].get("desc", "")
            raise OutsideError(f"port {forward.port} is still published for {forward.host}: {said}")
        del self._ids[forward]

    def retarget(self, old: Forward, new: Forward) -> None:
        """The same port leads elsewhere by the gateway's packet filter."""
        self._ids[new] = self._ids.pop(old)

    def _ask(self, command: str, **words: Any) -> Mapping[str, Any]:
        request = json.dumps({"execute": command, "arguments": words}).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
                stream.settimeout(ANSWER_PATIENCE)
                stream.connect(str(self._api))
                stream.sendall(request)
                said = b""
                while data := stream.recv(4096):
                    said += data
            answer: Mapping[str, Any] = json.loads(said)
        except (OSError, ValueError) as error:
            raise OutsideError(
                f"{PROGRAM} of network {self.gateway.network} does not answer: {error}", "see: sdnlab events"
            ) from None
        return answer

    def end(self) -> None:
        """End it, and the gateway's packet filter's openness with it: without the stack nothing gets out."""
        if not self.pid:
            return
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(self.pid)
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                readable([pidfd], END_PATIENCE)
            finally:
                os.close(pidfd)
        self.pid = 0
        self._ids = {}
        self._api.unlink(missing_ok=True)


def check(door: Door, forward: Forward) -> None:
    """Raise OutsideError if a port can't be published now."""
    number, holder = _why_not(door, forward)
    if number:
        raise _refusal(forward, number, holder)


def _why_not(door: Door, forward: Forward) -> tuple[int, str]:
    try:
        return door.why_not(forward.port)
    except DoorError as error:
        raise OutsideError(f"port {forward.port} can't be published: {error}") from None


def _not_to_be_had(door: Door, forward: Forward, said: str) -> OutsideError:
    number, holder = _why_not(door, forward)
    if number:
        return _refusal(forward, number, holder)
    return OutsideError(
        f"port {forward.port} can't be published for {forward.host}: {PROGRAM} says: {said}", SAME
    )


def _refusal(forward: Forward, number: int, holder: str) -> OutsideError:
    what = f"port {forward.port} of {LOOPBACK} can't be published for {forward.host}"
    if number == errno.EADDRINUSE:
        owner = holder or "another program of this machine"
        remedy = f"{SAME}, or stop what has it" + (
            "" if holder else f" (see: ss -lntp sport = :{forward.port})"
        )
        return OutsideError(f"{what}: {owner} has it", remedy)
    if number == errno.EACCES:
        return OutsideError(
            f"{what}: this user may not have it",
            "choose a port from 1024 up, run sdnlab as root, or "
            f"sudo sysctl -w net.ipv4.ip_unprivileged_port_start={forward.port}",
        )
    return OutsideError(f"{what}: {os.strerror(number)}", SAME)


def _remedy(error: Exception) -> str:
    return facts.remedy(PROGRAM) if "not installed" in str(error) else "see: sdnlab doctor"
