"""The northbound API's answer about service chains."""

from __future__ import annotations

from typing import Any

from controller.answers import ChainState, HopState
from controller.api.counters import Counters, Present
from controller.compiler.sff.encapsulation import encapsulation
from controller.counters.chain_counters import arrived, switches_with_chains, taken
from topologies.model.functions import Chain
from topologies.model.overlay import membership, reach
from topologies.model.service_paths import Hop, service
from topologies.model.transit import senders


def chain_states(
    present: Present, chains: list[Chain], counters: Counters, failed: frozenset[str]
) -> list[ChainState]:
    """The states of these chains. ``failed``: names of instances and backends."""
    topology, tables = present.topology, present.tables
    paths = service(topology)
    starts = senders(topology, membership(topology), reach(topology)) if paths.hops else {}
    known = any(name in counters for name in switches_with_chains(tables))
    states = []
    for chain in chains:
        way, why = encapsulation(topology, chain, starts)
        hops = [hop for hop in paths.hops.values() if hop.chain == chain.name and not hop.ends]
        back = any(not hop.forward for hop in hops)
        forward = taken(paths, chain.name, True, tables, counters).packets if known else None
        backward = taken(paths, chain.name, False, tables, counters).packets if known and back else None
        states.append(
            ChainState(
                **chain.model_dump(
                    include={
                        "name", "path", "network", "far_network", "direction",
                        "symmetric", "priority", "on_failure", "implicit",
                    }
                ),
                classifier=classifier_text(chain),
                functions=list(chain.functions),
                encapsulation=way,
                why=why,
                forward=forward,
                backward=backward,
                hops=[_hop(hop, present, counters, failed) for hop in hops],
            )
        )  # fmt: skip
    return states


def _hop(hop: Hop, present: Present, counters: Counters, failed: frozenset[str]) -> HopState:
    tables = present.tables
    function = next(function for function in present.topology.functions if function.name == hop.function)
    works = not function.instances or any(instance.name not in failed for instance in function.instances)
    counted = None
    if hop.switch in tables and hop.switch in counters:
        counted = arrived(hop, tables[hop.switch], counters[hop.switch])
    return HopState(
        number=hop.number,
        direction="forward" if hop.forward else "backward",
        place=hop.place,
        function=hop.function,
        switch=hop.switch,
        next=hop.next,
        policy="open" if hop.open else "closed",
        state="live" if works else "skipped" if hop.open else "dropped",
        packets=counted.packets if counted is not None else None,
        bytes=counted.bytes if counted is not None else None,
    )


def classifier_text(chain: Chain) -> str:
    """A chain's classifier in words: ``tcp from 10.0.0.1/32 to 10.0.1.0/24 port 80,8000-8080``."""
    words: list[str] = [chain.protocol or "everything"]
    if chain.source or chain.source_ports:
        words += ["from", *_end(chain.source, chain.source_ports)]
    if chain.destination or chain.destination_ports:
        words += ["to", *_end(chain.destination, chain.destination_ports)]
    return " ".join(words)


def _end(prefixes: Any, ports: Any) -> list[str]:
    ranges = [str(first) if first == last else f"{first}-{last}" for first, last in ports]
    words = [",".join(map(str, prefixes)) or "anywhere"]
    return [*words, "port", ",".join(ranges)] if ranges else words
