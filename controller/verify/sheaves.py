"""All packets of one sort from one host to all others of its network, decided at once. Pure.

The class has any destination. Where the host's switch does the same with all of it before table FORWARD, and
writes nothing into its packets, those to one destination go on as a shape that
``controller.verify.certain`` knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from controller.simulate.fragments import PIPELINE
from controller.verify.apart import Apart
from controller.verify.certain import Certain
from controller.verify.delivery import Sheaf
from controller.verify.lab import Lab
from controller.verify.outcomes import Fabric
from controller.verify.states import Branch, State
from topologies.model.topology import Host
from wire.mac import mac_number

_MAC = (1 << 48) - 1


class Proven(NamedTuple):
    """The destinations of a sheaf to which all packets certainly get: by shape. ``beyond``: the state that
    they go on as."""

    sheaf: Sheaf
    parts: Mapping[int, int]
    beyond: State

    @property
    def all(self) -> int:
        """All of these destinations."""
        mask = 0
        for some in self.parts.values():
            mask |= some
        return mask


def proven(fabric: Fabric, certain: Certain, sheaf: Sheaf, targets: Targets) -> Proven | None:
    """What is certain of a sheaf; None: nothing."""
    branches = fabric.branches(sheaf.start)
    onward = [branch for branch in branches if branch.way.onward]
    if len(onward) != 1 or len(onward[0].sends) != 1:
        return None
    if not all(targets.misses(branch, sheaf.family) for branch in branches if branch is not onward[0]):
        return None
    send = onward[0].sends[0]
    before = sheaf.start.packets.frame
    if any(not name.startswith(PIPELINE) and before.get(name) != value for name, value in send.frame.items()):
        return None
    if send.state is None or "eth_dst" in send.state.packets.frame:
        return None
    wanted = targets.of(sheaf.source, sheaf.family)
    parts = {}
    for shape, mask in certain.opened(send.state).items():
        mask &= wanted & certain.good[shape]
        if mask:
            parts[shape] = mask
    return Proven(sheaf, parts, send.state) if parts else None


class Targets:
    """The hosts of each network that a sheaf is for, as destinations."""

    def __init__(self, lab: Lab, certain: Certain) -> None:
        numbers = {port: number for number, port in enumerate(certain.to.ports)}
        self.host: dict[int, Host] = {}
        self._mine: dict[str, int] = {}
        self._of: dict[tuple[str, int], int] = {}
        self._addresses: dict[int, set[int]] = {4: set(), 6: set()}
        self._macs = certain.to.bit
        self._together: dict[tuple[Apart, bool, str], int] = {}
        for host in lab.hosts:
            number = numbers.get(host.at)
            if number is None or certain.to.macs[number] != mac_number(host.mac):
                continue
            self.host[number] = host
            self._mine[host.name] = 1 << number
            for family, address in ((4, host.ipv4), (6, host.ipv6)):
                if address is not None:
                    key = host.network, family
                    self._of[key] = self._of.get(key, 0) | 1 << number
                    self._addresses[family].add(int(address.ip))

    def of(self, source: Host, family: int) -> int:
        """Those that a host can send packets of an address family to."""
        return self._of.get((source.network, family), 0) & ~self._mine.get(source.name, 0)

    def together(self, source: Host, apart: Apart, converged: bool) -> int:
        """Those that a cut does not part from a host."""
        if apart.whole:
            return -1
        mine = source.at.switch
        key = apart, converged, mine
        if key in self._together:
            return self._together[key]
        if not any(apart is known for known, _, _ in self._together):
            self._together.clear()
        mask = 0
        for number, host in self.host.items():
            there = host.at.switch
            if not (apart.may_be_cut_off(mine, there) if converged else apart.are(mine, there)):
                mask |= 1 << number
        self._together[key] = mask
        return mask

    def misses(self, branch: Branch, family: int) -> bool:
        """Whether the packets of a branch are to none of the hosts."""
        address = branch.known.get("ip_dst" if family == 4 else "ipv6_dst")
        mac = branch.known.get("eth_dst")
        full = (1 << (32 if family == 4 else 128)) - 1
        return (
            address is not None and address.mask == full and address.value not in self._addresses[family]
        ) or (mac is not None and mac.mask == _MAC and mac.value not in self._macs)
