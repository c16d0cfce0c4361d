"""The addresses that netlab gives to a topology. Pure.

As https://netlab.tools/addressing/ and links/ tell: a VLAN and each link that has no prefix of its own take
the next one of a pool, ``p2p`` for two routers and ``lan`` for all else. On a LAN the host part is the
number of the node; on a point-to-point link it counts in the order of the link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from topologies.importers.reading import entries, text
from topologies.syntax.document import Node
from topologies.syntax.problem import Report, shown

Net = IPv4Network | IPv6Network
_POOLS: dict[str, tuple[str, int]] = {"lan": ("172.16.0.0/16", 24), "p2p": ("10.1.0.0/16", 30)}
_LENGTHS = {4: {"lan": 24, "p2p": 30}, 6: {"lan": 64, "p2p": 64}}


class Addressing:
    """Gives prefixes from pools. ``pools``: those of the file."""

    def __init__(self, pools: Mapping[str, Node], report: Report) -> None:
        self.report = report
        self.ids: dict[str, int] = {}
        self.vlans: dict[str, list[Net]] = {}
        self._free: dict[str, list[Iterator[Net]]] = {}
        for name in {**_POOLS, **pools}:
            self._free[name] = self._pool(name, pools.get(name))

    def number(self, given: Mapping[str, str]) -> None:
        """Number the nodes from 1; ``given``: node -> the number that the file gives, or an empty text."""
        taken = {int(text) for text in given.values() if text.isdecimal() and len(text) < 6}
        free = (number for number in range(1, 1 << 16) if number not in taken)
        for node, text_ in given.items():
            self.ids[node] = int(text_) if text_.isdecimal() and len(text_) < 6 else next(free, 0)

    def vlan(self, name: str, prefix: Node | None, named: Mapping[str, Node]) -> None:
        """Give a VLAN its prefixes."""
        pool = "vlan" if "vlan" in self._free else "lan"
        self.vlans[name] = self._prefixes(prefix, named) if prefix is not None else self._next(pool)

    def in_vlan(self, name: str, nodes: Sequence[str]) -> dict[str, list[str]]:
        """The addresses of nodes in a VLAN."""
        return {node: self._by_number(node, self.vlans.get(name, [])) for node in nodes}

    def on_link(
        self,
        nodes: Sequence[str],
        kind: str,
        keys: Mapping[str, Node],
        lan: bool,
        named: Mapping[str, Node],
        line: int,
    ) -> dict[str, list[str]]:
        """The addresses of the nodes of a link. ``lan``: it is no point-to-point link by what is at it."""
        direct = kind == "p2p" or (not kind and len(nodes) == 2 and not lan)
        if "prefix" in keys:
            prefixes = self._prefixes(keys["prefix"], named)
        else:
            wanted = text(keys.get("pool")) or text(keys.get("role"))
            prefixes = self._next(wanted if wanted in self._free else "p2p" if direct else "lan")
        if not direct:
            return {node: self._by_number(node, prefixes) for node in nodes}
        counted: dict[str, list[str]] = {}
        for index, node in enumerate(nodes):
            first = 0 if all(net.num_addresses <= 2 for net in prefixes) else 1
            counted[node] = [at for net in prefixes if (at := _address(net, index + first))]
        return counted

    def _by_number(self, node: str, prefixes: Sequence[Net]) -> list[str]:
        return [at for net in prefixes if (at := _address(net, self.ids.get(node, 0)))]

    def _pool(self, name: str, node: Node | None) -> list[Iterator[Net]]:
        """The prefixes of a pool, by family, in their order."""
        keys = entries(node, f"addressing.{name}", self.report)
        standard = _POOLS.get(name)
        texts = {family: text(keys.get(f"ipv{family}")) for family in (4, 6)}
        if node is None and standard is not None:
            texts[4] = standard[0]
        pools: list[Iterator[Net]] = []
        for family, given in texts.items():
            pool = self._net(given, node.line if node else 1) if given else None
            if pool is None:
                continue
            key = "prefix" if family == 4 else "prefix6"
            own = text(keys.get(key))
            usual = _LENGTHS[family].get(name, 24 if family == 4 else 64)
            length = int(own) if own.isdecimal() and len(own) < 4 else usual
            if pool.prefixlen <= length <= pool.max_prefixlen:
                pools.append(pool.subnets(new_prefix=length))
        return pools

    def _next(self, pool: str) -> list[Net]:
        return [net for free in self._free.get(pool, []) if (net := next(free, None)) is not None]

    def _prefixes(self, node: Node, named: Mapping[str, Node]) -> list[Net]:
        given = text(node)
        if given in named:
            node, given = named[given], text(named[given])
        if given.lower() in ("false", "true"):
            return []
        texts = [given] if given else []
        if isinstance(node.value, dict):
            texts = [text(node.value.get(family)) for family in ("ipv4", "ipv6")]
        nets = [self._net(value, node.line) for value in texts if "/" in value]
        return [net for net in nets if net is not None]

    def _net(self, given: str, line: int) -> Net | None:
        try:
            return ip_network(given, strict=False)
        except ValueError:
            self.report.note(f"{shown(given)} is no prefix: left out", line)
            return None


def _address(net: Net, offset: int) -> str:
    """The address with this host part; empty when the prefix has none."""
    first, last = (0, net.num_addresses - 1) if net.num_addresses <= 2 else (1, net.num_addresses - 2)
    return f"{net[offset]}/{net.prefixlen}" if first <= offset <= last else ""
