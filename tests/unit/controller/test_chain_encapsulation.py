"""Which way a chain's frames travel, and who must not offload; NSH's actions for os-ken's users."""

from __future__ import annotations

import pytest
from os_ken.ofproto import ofproto_v1_5_parser as their

from controller.compiler.sff.encapsulation import Way, encapsulation
from controller.flow.tables import DecapNsh, EncapNsh
from controller.openflow import actions
from controller.runtime.osken.nsh import NSH, add_nsh_actions
from tests.unit.controller.made_chains import Asked, chain, with_functions
from tests.unit.controller.made_labs import lab
from topologies.model.attachment import Flows, Inline, Tap
from topologies.model.functions import Balancer, Ids, Nat, Script
from topologies.model.kinds import function_of
from topologies.model.overlay import membership, reach
from topologies.model.topology import Port, Topology
from topologies.model.transit import senders, without_offloads


def chained(where: int, kind: str) -> Topology:
    base = with_functions(lab(2, [(0, 1)], [0, 0, 1]), [Asked("inline", where)])
    h1, h2, _ = base.hosts
    return chain(base, h1, h2, ("f1",), encapsulation=kind)  # type: ignore[arg-type]


def way(topology: Topology) -> tuple[Way, str]:
    starts = senders(topology, membership(topology), reach(topology))
    return encapsulation(topology, topology.chains[0], starts)


@pytest.mark.parametrize(("kind", "wanted"), [("auto", "vlan"), ("vlan", "vlan"), ("nsh", "nsh")])
def test_auto_is_vlan_and_what_is_asked_for_is_done(kind: str, wanted: str) -> None:
    got, why = way(chained(1, kind))
    assert got == wanted and why


def test_what_never_leaves_its_switch_carries_nothing() -> None:
    topology = chained(0, "nsh")
    # h3 of the same network is on the other switch, so its switch is one that frames may start from
    alone = topology.model_copy(update={"hosts": topology.hosts[:2]})
    assert way(alone)[0] == "none" and way(topology)[0] == "nsh"


def test_who_sends_into_nsh_must_not_offload() -> None:
    assert without_offloads(chained(1, "nsh")) == {"h1", "h2", "h3", "f1"}
    assert not without_offloads(chained(1, "auto"))


MAC = "02:00:00:00:00:99"
PARTS: dict[str, dict[str, object]] = {
    "load-balancer": {
        "balancer": Balancer(
            network="elsewhere", at=Port(switch="s1", number=99), mac=MAC, port=80, backends=()
        )
    },
    "nat": {"nat": Nat(network="n1", mac=MAC, ipv4="10.1.0.200/24")},
    "python": {"script": Script(file="a.py", source="pass")},
    "ids": {"ids": Ids(rules="")},
}


@pytest.mark.parametrize("kind", ["load-balancer", "nat"])
@pytest.mark.parametrize(("other", "engine"), [("python", "python"), ("ids", "suricata")])
def test_who_sends_to_a_translator_and_a_function_that_finishes_checksums_must_not_offload(
    kind: str, other: str, engine: str
) -> None:
    whole = chained(1, "auto")

    def with_kinds(kinds: list[tuple[str, str, type[Inline | Tap | Flows]]]) -> Topology:
        functions = tuple(
            function_of(
                **dict(whole.functions[0])
                | {"name": f"f{number}", "kind": kind, "engine": engine, "attachment": attached(switch="s2")}
                | PARTS.get(kind, {})
            )
            for number, (kind, engine, attached) in enumerate(kinds, 1)
        )
        chain = whole.chains[0].model_copy(
            update={"functions": tuple(function.name for function in functions)}
        )
        return whole.model_copy(update={"functions": functions, "chains": (chain,)})

    translator = (kind, "openflow", Flows)
    for order in ([(other, engine, Inline), translator], [translator, (other, engine, Inline)]):
        name = f"f{1 + order.index((other, engine, Inline))}"
        assert without_offloads(with_kinds(order)) == {"h1", "h2", "h3", name}
    # neither alone does, nor one that gets copies or passes frames on as they are
    assert not without_offloads(with_kinds([(other, engine, Inline)]))
    assert not without_offloads(with_kinds([translator]))
    assert not without_offloads(
        with_kinds([("ids", "builtin", Inline), ("bridge", "kernel", Inline), translator])
    )
    if other == "ids":
        assert not without_offloads(with_kinds([(other, engine, Tap), translator]))


def test_os_ken_gets_the_nsh_actions_that_it_lacks() -> None:
    with pytest.raises(NameError):
        their.NXActionEncapNsh()
    add_nsh_actions(their)
    packed = bytearray()
    for action in (
        their.NXActionEncap(NSH, 2),
        their.NXActionEncap(0),
        their.NXActionDecap(),
        their.NXActionDecap(),
    ):
        action.serialize(packed, len(packed))
    whole = actions.encode(EncapNsh(1, 255, 2, 3))
    assert bytes(packed[:24]) == whole[:24]
    assert bytes(packed[24:40]) in whole
    assert bytes(packed[40:]) == actions.encode(DecapNsh())
    parsed = [their.OFPAction.parser(bytes(packed), at) for at in (0, 24, 40)]
    assert [type(action).__name__ for action in parsed] == ["NXActionEncap", "NXActionEncap", "NXActionDecap"]
    assert (parsed[0].new_pkt_type, parsed[0].md_type, parsed[1].md_type) == (NSH, 2, None)
