"""What every switch holds is what it held before: digests of compiled tables, compared with ``tables.json``.

For all topologies that come with the project, those of the golden tests and thirty made by rule: as the file
says; with a link down, an instance failed, a station learned; and, of those made by rule, all stages of a
change of their chains.  Order and provenance aside.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

import topologies
from controller.compiler.compile import Learned, compile_topology
from controller.flow.tables import Flow, SwitchTables
from controller.flow.text import actions_text, group_text, match_text, meter_text
from controller.update.consistent_update import stages
from tests.golden.controller.made_files import topology_file
from topologies.model.kinds import LoadBalancer
from topologies.model.topology import Topology

HERE = Path(__file__).parent
KNOWN = HERE / "tables.json"
SHIPPED = Path(topologies.__file__).parent
GENERATED = 30
RENEW = "SDNLAB_UPDATE_GOLDEN=1 .venv/bin/pytest tests/golden/controller"
SHOW = f"SDNLAB_SHOW_TABLES=FOLDER .venv/bin/pytest {Path(__file__).relative_to(HERE.parents[2])}"

FILES = {
    str(path.relative_to(HERE.parents[2])): path
    for folder in (SHIPPED, SHIPPED / "exercises", HERE, HERE.parent / "topologies" / "good")
    for path in sorted(folder.glob("*.yaml"))
    if path.name != "mistakes.yaml"  # it shows what is reported of mistakes: there is nothing to compile
}
CASES = [*FILES, *(f"made by rule, {number}" for number in range(GENERATED))]


def case(name: str) -> Topology:
    if name in FILES:
        return topologies.load(FILES[name])
    return topologies.loads(topology_file(int(name.rpartition(" ")[2])))


def troubled(topology: Topology) -> dict[str, Any]:
    """What the compiler is told when something is down, has failed, is avoided, and was learned."""
    host = next(iter(topology.hosts), None)
    learned = [Learned(host.network, 0x02EE00000001, host.port, IPv4Address("10.0.0.250"))] if host else []
    running = [function.instances[0].name for function in topology.functions if function.instances]
    backends = [
        f"{function.name}/{function.balancer.backends[0].host}"
        for function in topology.functions
        if isinstance(function, LoadBalancer)
    ]
    return {
        "down_links": frozenset(link.name for link in topology.links[:1]),
        "avoid": frozenset(switch.name for switch in topology.switches[1:2]),
        "learned": tuple(learned),
        "failed": frozenset(running[:1] + backends[:1]),
    }


@cache
def line(flow: Flow) -> str:
    match = match_text(tuple(sorted(flow.match)))
    return f"{flow.priority} {match} -> {actions_text(flow)} idle {flow.idle_timeout}"


def lines(tables: SwitchTables) -> dict[str, list[str]]:
    """Table -> what it holds, a sorted line for each flow; groups and meters beside."""
    held: dict[str, list[str]] = {"groups": [], "meters": [f"datapath id {tables.dpid}"]}
    for entry in tables.flows:
        held.setdefault(entry.table.name, []).append(line(entry))
    held["groups"] = [group_text(group).partition("  # ")[0] for group in tables.groups]
    weights = [f"{g.id} {b.weight}" for g in tables.groups for b in g.buckets]
    held["groups"] += weights
    held["meters"] += map(meter_text, tables.meters)
    return {table: sorted(some) for table, some in held.items()}


def rerouted(topology: Topology) -> Topology:
    """The same with each chain's functions in reverse order: all of its hops are new."""
    chains = (
        chain.model_copy(update={"path": chain.path + 100, "functions": chain.functions[::-1]})
        for chain in topology.chains
    )
    return topology.model_copy(update={"chains": tuple(chains)})


def states(name: str) -> dict[str, Mapping[str, SwitchTables]]:
    topology = case(name)
    plain = compile_topology(topology)
    tables_by_state: dict[str, Mapping[str, SwitchTables]] = {"as in the file": plain}
    tables_by_state["in trouble"] = compile_topology(topology, **troubled(topology))
    if topology.chains and name not in FILES:
        for number, stage in enumerate(stages(plain, compile_topology(rerouted(topology))), 1):
            tables_by_state[f"stage {number} of a change"] = stage
    return tables_by_state


def digest(some: Iterable[str]) -> str:
    return blake2b("\n".join(some).encode(), digest_size=4).hexdigest()


def digests(name: str) -> dict[str, str]:
    """One for each state, each switch and each table: where those that differ cross is the difference."""
    lines_of: dict[str, list[str]] = {}
    shown: list[str] = []
    for state, tables in states(name).items():
        for switch, own in tables.items():
            for table, some in sorted(lines(own).items()):
                titled = [f"## {state}, {switch}, {table}", *some]
                for key in (state, f"switch {switch}", f"table {table}"):
                    lines_of.setdefault(key, []).extend(titled)
                shown += titled
    if folder := os.environ.get("SDNLAB_SHOW_TABLES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, name.replace("/", "-")).write_text("\n".join(shown) + "\n", encoding="utf-8")
    return {key: digest(some) for key, some in lines_of.items()}


def test_tables_are_those_of_before() -> None:
    got = {name: digests(name) for name in CASES}
    if os.environ.get("SDNLAB_UPDATE_GOLDEN"):
        rows = (f"{json.dumps(name)}: {json.dumps(row)}" for name, row in got.items())
        KNOWN.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    known: dict[str, dict[str, str]] = json.loads(KNOWN.read_text(encoding="utf-8"))
    different = [
        f"{name}: " + ", ".join(sorted({key for key, _ in was.items() ^ now.items()}))
        for name in known.keys() | got.keys()
        if (was := known.get(name, {})) != (now := got.get(name, {}))
    ]
    if different:
        pytest.fail(
            "compiled tables are not those of before:\n  "
            + "\n  ".join(sorted(different))
            + f"\nTo see the flows: {SHOW} here and before the change, then compare the folders."
            + f"\nIf the change is wanted: {RENEW}"
        )
