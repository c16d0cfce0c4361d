"""What holds for every resolved topology, whatever it was made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from topologies import Topology
from topologies.model import names
from topologies.resolve.allocate import capacity


def assert_sound(topology: Topology) -> None:
    """Names, ports, addresses, MACs and datapath ids are unique, in range, and refer to something."""
    parts: Sequence[Sequence[object]] = (
        topology.domains, topology.networks, topology.switches, topology.links, topology.hosts,
    )  # fmt: skip
    for part in parts:
        listed = [item.name for item in part]  # type: ignore[attr-defined]
        assert listed == sorted(listed, key=names.natural)
        unique(listed)
    switches = {switch.name for switch in topology.switches}
    networks = {network.name: network for network in topology.networks}
    assert {switch.domain for switch in topology.switches} <= {domain.name for domain in topology.domains}
    assert not switches & {host.name for host in topology.hosts}
    unique([switch.dpid for switch in topology.switches])
    assert all(0 < switch.dpid < 2**64 for switch in topology.switches)

    ports = [host.at for host in topology.attached]
    for link in topology.links:
        ports += [link.a, link.b]
        assert link.a.switch != link.b.switch
        assert names.natural(link.a.switch) <= names.natural(link.b.switch)
    unique(ports)
    assert all(port.switch in switches and 1 <= port.number <= 65279 for port in ports)

    unique([host.mac for host in topology.hosts])
    for family in ("4", "6"):
        unique([(host.network, ip.ip) for host in topology.hosts if (ip := getattr(host, f"ipv{family}"))])
        for host in topology.hosts:
            subnet = getattr(networks[host.network], f"subnet{family}")
            address = getattr(host, f"ipv{family}")
            assert (subnet is None) == (address is None)
            if subnet is not None:
                assert address.network == subnet
                first, count = capacity(subnet)
                assert first <= int(address.ip) - int(subnet.network_address) < first + count


def unique(values: Iterable[object]) -> None:
    assert not [value for value, count in Counter(values).items() if count > 1]
