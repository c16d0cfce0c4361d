"""The shapes that are measured, as sdnlab's topology files and as ``mn --topo`` arguments. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """A network with Mininet's names (h1, s1, …). ``at``: each host's switch; ``links`` between switches."""

    name: str
    mn: str
    switches: int
    at: tuple[int, ...]
    links: tuple[tuple[int, int], ...]

    @property
    def hosts(self) -> int:
        return len(self.at)

    def write(self, folder: Path) -> Path:
        """Write it as a topology file (JSON is YAML, too) and return the path."""
        path = folder / f"{self.name}.yaml"
        document = {
            "name": self.name,
            "switches": [f"s{n}" for n in range(1, self.switches + 1)],
            "hosts": {f"h{n}": f"s{switch}" for n, switch in enumerate(self.at, 1)},
            "links": [f"s{a} -- s{b}" for a, b in self.links],
        }
        path.write_text(json.dumps(document, indent=1))
        return path


def single(hosts: int) -> Shape:
    """One switch."""
    return Shape(f"single-{hosts}", f"single,{hosts}", 1, (1,) * hosts, ())


def linear(switches: int) -> Shape:
    """A row of switches with a host each."""
    links = tuple((n, n + 1) for n in range(1, switches))
    return Shape(f"linear-{switches}", f"linear,{switches}", switches, tuple(range(1, switches + 1)), links)


def tree(depth: int, fanout: int) -> Shape:
    """A tree whose leaves are hosts, level by level."""
    inner = [fanout**level for level in range(depth)]
    count = sum(inner)
    links = tuple(((child - 2) // fanout + 1, child) for child in range(2, count + 1))
    bottom = range(count - inner[-1] + 1, count + 1)
    at = tuple(switch for switch in bottom for _ in range(fanout))
    return Shape(f"tree-{depth}-{fanout}", f"tree,depth={depth},fanout={fanout}", count, at, links)
