"""Changes of a resolved topology, as functions from one to the next. Pure."""

from __future__ import annotations

from topologies.model import Port, Topology
from topologies.problem import shown


class Impossible(ValueError):
    """The change can't be made: ``what`` is wrong, and the ``remedy``."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def switch_in(topology: Topology, domain: str) -> str:
    """The switch of ``domain`` that a host comes to when none is named: the first."""
    domains = [each.name for each in topology.domains]
    if domain not in domains:
        raise Impossible(f"there is no domain {shown(domain)}", f"there are: {', '.join(domains[:12])}")
    for switch in topology.switches:
        if switch.domain == domain and switch.role == "switch":
            return switch.name
    raise Impossible(f"domain {domain} has no switch for hosts", "move it to another domain")


def move(topology: Topology, host: str, switch: str) -> Topology:
    """The same lab with ``host`` on ``switch``, at its lowest free port; addresses stay.

    A host that is there already stays where it is. Raises ``Impossible``.
    """
    hosts = {each.name: each for each in topology.hosts}
    if host not in hosts:
        some = ", ".join([*hosts][:12])
        raise Impossible(f"there is no host {shown(host)}", f"there are: {some}")
    switches = {each.name: each for each in topology.switches if each.role == "switch"}
    if switch not in switches:
        some = ", ".join([*switches][:12])
        raise Impossible(f"there is no switch {shown(switch)} for hosts", f"there are: {some}")
    moved = hosts[host]
    if moved.port.switch == switch:
        return topology
    used = {each.port.number for each in topology.hosts if each.port.switch == switch}
    used |= {end.number for link in topology.links for end in (link.a, link.b) if end.switch == switch}
    number = next(n for n in range(1, len(used) + 2) if n not in used)
    there = moved.model_copy(update={"port": Port(switch=switch, number=number)})
    made = tuple(there if each is moved else each for each in topology.hosts)
    return topology.model_copy(update={"hosts": made})
