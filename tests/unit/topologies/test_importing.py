"""Files of other tools become labs; what a lab can't have is a note with its line.

Whole files with all that they say are in tests/golden/topologies.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import topologies
from tests.unit.topologies.topology_invariants import assert_sound
from topologies.importers import registry
from topologies.model.topology import Topology


def notes(topology: Topology) -> list[str]:
    return [f"{note.line}: {note.what}" for note in topology.notes]


def host(topology: Topology, name: str) -> topologies.Host:
    return next(host for host in topology.hosts if host.name == name)


def address(topology: Topology, name: str) -> str:
    return str(host(topology, name).ipv4)


def kathara(folder: Path, lab: str, **startups: str) -> Topology:
    folder.joinpath("lab.conf").write_text(lab)
    for name, script in startups.items():
        folder.joinpath(f"{name}.startup").write_text(script)
    return topologies.load(folder / "lab.conf")


def commands(topology: Topology, name: str) -> list[str]:
    return [" ".join(command.words) for command in host(topology, name).own.run]


PAIR = 'h1[0]="A"\nh2[0]="A"\n'


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("ip address add 10.1.0.5/24 dev eth0", "10.1.0.5/24"),
        ("/sbin/ip -4 a a 10.1.0.5/24 brd + dev eth0", "10.1.0.5/24"),
        ("ip addr replace dev eth0 10.1.0.5/24", ""),
        ("ip addr add local 10.1.0.5/24 dev eth0", "10.1.0.5/24"),
        ("sudo ip addr add 10.1.0.5/24 dev eth0", "10.1.0.5/24"),
        ("ifconfig eth0 10.1.0.5/24 up", "10.1.0.5/24"),
        ("ifconfig eth0 10.1.0.5 netmask 255.255.255.0 broadcast 10.1.0.255 up", "10.1.0.5/24"),
        ("ifconfig eth0 10.1.0.5", "10.1.0.5/8"),
        ("ifconfig eth0 inet 192.168.7.5 up", "192.168.7.5/24"),
        ("ip link set eth0 up && ip addr add 10.1.0.5/24 dev eth0 && echo ready", "10.1.0.5/24"),
        ('ip addr add "10.1.0.5/24" dev eth0', "10.1.0.5/24"),
        ("ip addr add \\\n  10.1.0.5/24 dev eth0", "10.1.0.5/24"),
        ("if true; then\n  ip addr add 10.1.0.5/24 dev eth0\nfi", "10.1.0.5/24"),
    ],
)
def test_an_address_that_a_command_gives(tmp_path: Path, script: str, wanted: str) -> None:
    topology = kathara(tmp_path, PAIR, h1=script)
    if wanted:
        assert address(topology, "h1") == wanted
    else:
        assert commands(topology, "h1") == [f"/bin/sh -c {script.replace('eth0', 'h1-eth0')}"]


def test_what_no_topology_says_runs_with_the_name_of_the_interface_here(tmp_path: Path) -> None:
    topology = kathara(
        tmp_path,
        PAIR,
        h1="""\
            #!/bin/sh
            ip addr add 10.1.0.5/24 dev eth0
            ip route add default via 10.1.0.1 dev eth0
            tcpdump -i eth0 -w /tmp/eth0.pcap &
            """,
    )
    (script,) = commands(topology, "h1")
    assert "ip route add default via 10.1.0.1 dev h1-eth0" in script and "address" not in script
    assert "tcpdump -i h1-eth0" in script and ":" not in script.replace("/bin/sh -c", "").split("via")[0]
    assert not topology.notes


@pytest.mark.parametrize(
    ("script", "lost"),
    [
        (
            "ip route add 10.9.0.0/16 via 10.2.0.1 dev eth1",
            "h1: ip route add 10.9.0.0/16 via 10.2.0.1 dev eth1",
        ),
        ("systemctl start frr", "h1: systemctl start frr"),
        ("service nginx restart", "h1: service nginx restart"),
        ("/etc/init.d/apache2 start", "h1: /etc/init.d/apache2 start"),
        ("ip addr add 10.7.0.1/24 dev eth1", "10.7.0.1/24 of h1"),
        ("ip addr add 10.1.0.6/33 dev eth0", "address of h1: '10.1.0.6/33' is not an IPv4 address"),
        ("ip addr add 127.9.0.1/8 dev eth0", "127.9.0.1/8 of h1: '127.0.0.0/8' overlaps loopback"),
        ("ip addr add 10.1.0.0/24 dev eth0", "10.1.0.0/24 of h1: it is the address of the network"),
        ("ip addr add 10.1.0.255/24 dev eth0", "10.1.0.255/24 of h1: it is the broadcast address"),
        ("ip addr add 10.1.0.2/24 dev eth0", "10.1.0.2/24 of h1: h2 has it already"),
        ("ip addr add 10.1.0.7/32 dev eth0", "10.1.0.7/32 of h1: a subnet with one address connects nobody"),
    ],
)
def test_what_a_host_cannot_have_is_a_note(tmp_path: Path, script: str, lost: str) -> None:
    lab = 'h2[0]="A"\nh1[0]="A"\n'
    topology = kathara(tmp_path, lab, h1=script, h2="ip addr add 10.1.0.2/24 dev eth0")
    (note,) = topology.notes
    assert note.file.endswith("h1.startup") and note.line == 1
    assert note.what.startswith(lost) and note.what.endswith(": left out")
    assert address(topology, "h2") == "10.1.0.2/24"


def test_a_text_in_a_here_document_is_no_command(tmp_path: Path) -> None:
    script = "cat > /tmp/x <<EOF\nip addr add 10.1.0.5/24 dev eth1\nEOF\n"
    topology = kathara(tmp_path, PAIR, h1=script)
    assert commands(topology, "h1") == [f"/bin/sh -c {script.rstrip()}"] and not topology.notes


def test_all_interfaces_of_a_host_are_there_and_it_forwards(tmp_path: Path) -> None:
    topology = kathara(
        tmp_path, 'r[10]="C"\nr[2]="A"\nr[3]="B"\nh[0]="A"\n', r="ip addr add 10.3.0.1/24 dev eth3"
    )
    assert [
        (entry.name, entry.interface, entry.at.switch) for entry in topology.hosts if entry.node == "r"
    ] == [
        ("r", "eth2", "A"),
        ("r-eth3", "eth3", "B"),
        ("r-eth10", "eth10", "C"),
    ]
    assert host(topology, "r").kind == "router" and address(topology, "r-eth3") == "10.3.0.1/24"
    assert not topology.notes
    assert [switch.name for switch in topology.switches] == ["A", "B", "C"]


def test_a_link_between_two_nodes_of_containerlab_is_a_wire_between_hosts() -> None:
    text = (
        "name: x\ntopology:\n  nodes:\n    r1: {kind: linux, exec: [ip addr add 10.0.12.1/30 dev eth1, "
        "ip route add default via 10.0.12.2 dev eth1]}\n"
        "    r2: {kind: linux, exec: [ip addr add 10.0.12.2/30 dev eth1]}\n"
        "    pc: {kind: linux}\n  links:\n    - endpoints: ['r1:eth1', 'r2:eth1']\n"
        "    - endpoints: ['r2:eth2', 'pc:eth1']\n"
    )
    topology = topologies.loads(text, "x.clab.yml")
    assert not topology.switches
    ends = {entry.name: (entry.interface, entry.peer, entry.network, entry.kind) for entry in topology.hosts}
    assert ends == {
        "pc": ("pc-eth0", "r2-eth2", "r2-pc", "namespace"),
        "r1": ("r1-eth0", "r2", "r1-r2", "namespace"),
        "r2": ("eth1", "r1", "r1-r2", "router"),
        "r2-eth2": ("eth2", "pc", "r2-pc", "router"),
    }
    assert commands(topology, "r1") == ["ip route add default via 10.0.12.2 dev r1-eth0"]


def test_interfaces_in_networks_with_the_same_addresses_are_not_both_there() -> None:
    text = (
        "name: x\ntopology:\n  nodes:\n    r: {kind: linux, exec: [ip addr add 10.0.0.1/24 dev eth1, "
        "ip addr add 10.0.0.9/24 dev eth2]}\n    a: {kind: linux}\n    b: {kind: linux}\n  links:\n"
        "    - endpoints: ['r:eth1', 'a:eth1']\n    - endpoints: ['r:eth2', 'b:eth1']\n"
    )
    topology = topologies.loads(text, "x.clab.yml")
    assert "9: eth2 of r: eth1 is in another network with its addresses: left out" in notes(topology)
    assert {entry.name for entry in topology.hosts} == {"a", "b", "r"}


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret", "~/secret", "link", "\0"])
def test_no_file_outside_of_the_folder_is_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    tmp_path.joinpath("secret").write_text("secret")
    folder.joinpath("link").symlink_to(tmp_path / "secret")
    binds = '["' + name.replace("\0", "\\0") + ':/etc/motd"]'
    text = f"topology:\n  nodes:\n    h1: {{kind: linux, binds: {binds}}}\n    s1: {{kind: bridge}}\n"
    folder.joinpath("x.clab.yml").write_text(f"{text}  links: [{{endpoints: ['h1:eth1', 's1:x']}}]\n")
    topology = topologies.load(folder / "x.clab.yml")
    assert host(topology, "h1").own.files == ()
    assert len(topology.notes) == 1 and "left out" in notes(topology)[0]


def test_a_folder_that_is_a_link_out_of_the_lab_is_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "etc"
    outside.mkdir(parents=True)
    outside.joinpath("passwd").write_text("secret")
    lab = tmp_path / "lab"
    lab.mkdir()
    lab.joinpath("h1").symlink_to(tmp_path / "outside")
    assert host(kathara(lab, PAIR), "h1").own.files == ()


def test_a_lab_of_kathara_has_the_name_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "My lab"
    folder.mkdir()
    assert kathara(folder, PAIR).name == "my-lab"


def test_hosts_that_share_wires_and_subnets_are_one_network(tmp_path: Path) -> None:
    lab = 'a[0]="A"\nb[0]="A"\nc[0]="A"\nd[0]="B"\ne[0]="A"\n'
    topology = kathara(
        tmp_path,
        lab,
        a="ip addr add 10.1.0.1/24 dev eth0",
        b="ip addr add 10.2.0.1/24 dev eth0",
        c="ip addr add 10.1.0.2/24 dev eth0",
        d="ip addr add 10.1.0.1/24 dev eth0",
    )
    networks = {entry.name: entry.network for entry in topology.hosts}
    assert networks["a"] == networks["c"] == networks["e"]
    assert len(set(networks.values())) == 3
    assert host(topology, "e").ipv4 in IPv4Interface("10.1.0.0/24").network


CLAB = "topology:\n  nodes: {h1: {kind: linux}, h2: {kind: linux}, b: {kind: bridge}}\n  links:\n"


@pytest.mark.parametrize(
    ("link", "note"),
    [
        ('[["h1:eth1", "h2:eth1"]]', "a link is no mapping"),
        ('[{endpoints: ["h1:eth1", "h2:eth1", "b:x"]}]', "a link has two ends"),
        ('[{endpoints: ["h1", "h2:eth1"]}]', "a link has two ends"),
        ('[{endpoints: ["h1:eth1", "host:veth"]}]', "a link to 'host': it leads out of the lab"),
        (
            '[{endpoints: ["h1:eth1", "h3:eth1"]}]',
            "a link ends at 'h3', which is no node: left out",
        ),
        ("[{type: macvlan, endpoint: {node: h1, interface: eth1}}]", "a link to 'macvlan'"),
        ('[{endpoints: ["b:x", "b:y"]}]', "a link from a switch to itself"),
        ("7", "a link is no mapping"),
    ],
)
def test_a_link_that_cannot_be_stops_nothing(link: str, note: str) -> None:
    good = '    - endpoints: ["h1:eth9", "b:p1"]\n    - endpoints: ["h2:eth9", "b:p2"]\n'
    text = (
        CLAB.replace("  links:\n", f"  links: {link}\n")
        if link == "7"
        else f"{CLAB}{good}    - {link[1:-1]}\n"
    )
    topology = topologies.loads(text, "x.clab.yml")
    assert any(note in what for what in notes(topology)), notes(topology)
    assert [switch.name for switch in topology.switches if switch.name != "mgmt"] == ["b"]


def test_addresses_in_the_links_of_containerlab() -> None:
    text = f'{CLAB}    - endpoints: ["h1:eth1", "h2:eth1"]\n      ipv4: ["10.5.0.1/30", "10.5.0.2/30"]\n'
    topology = topologies.loads(text, "x.clab.yml")
    assert address(topology, "h1") == "10.5.0.1/30" and address(topology, "h2") == "10.5.0.2/30"


@pytest.mark.parametrize(
    "script",
    [
        "ip link add br0 type bridge\nip link set dev eth0 master br0\nip link set eth1 up master br0\n",
        "brctl addbr br0\nbrctl addif br0 eth0 eth1\n",
        "ovs-vsctl add-br br0\novs-vsctl add-port br0 eth0\novs-vsctl add-port br0 eth1\n",
    ],
)
def test_a_device_that_bridges_its_interfaces_is_a_switch(tmp_path: Path, script: str) -> None:
    lab = 'b[0]="A"\nb[1]="B"\nb[2]="C"\nh1[0]="A"\nh2[0]="B"\n'
    topology = kathara(tmp_path, lab, b=script, h1="ip addr add 10.1.0.1/24 dev eth0")
    assert [entry.name for entry in topology.hosts] == ["h1", "h2"]
    assert [link.name for link in topology.links] == ["A-b", "B-b"]
    assert host(topology, "h2").ipv4 in IPv4Interface("10.1.0.0/24").network
    assert notes(topology) == [
        "1: b: its bridge br0 becomes a switch, all else of it is left out",
        "3: eth2 of b: its bridge br0 has it not: left out",
    ]


FRR = """\
hostname h1
interface lo
 ip address 10.9.9.9/32
interface eth1
 ip address 10.6.0.1/24
!
line vty
"""


def test_addresses_in_a_configuration_of_frr(tmp_path: Path) -> None:
    tmp_path.joinpath("frr.conf").write_text(FRR)
    text = CLAB.replace("h1: {kind: linux}", 'h1: {kind: linux, binds: ["frr.conf:/etc/frr/frr.conf"]}')
    vtysh = "vtysh -c 'conf t' -c 'interface eth1' -c 'ip address 10.6.0.2/24'"
    text = text.replace("h2: {kind: linux}", f'h2: {{kind: linux, exec: ["{vtysh}"]}}')
    tmp_path.joinpath("x.clab.yml").write_text(f"{text}    - endpoints: ['h1:eth1', 'h2:eth1']\n")
    topology = topologies.load(tmp_path / "x.clab.yml")
    assert address(topology, "h1") == "10.6.0.1/24" and address(topology, "h2") == "10.6.0.2/24"
    (note,) = topology.notes
    assert note.what == "h2: vtysh: its addresses are taken, FRR doesn't run: left out"


def test_addresses_in_a_file_of_ifupdown(tmp_path: Path) -> None:
    tmp_path.joinpath("h1/etc/network").mkdir(parents=True)
    tmp_path.joinpath("h1/etc/network/interfaces").write_text(
        "auto eth0 lo\niface lo inet loopback\niface eth0 inet static\n  address 10.6.0.1\n"
        "  netmask 255.255.255.0\n  gateway 10.6.0.254 # the router\niface eth1 inet dhcp\n"
    )
    topology = kathara(tmp_path, PAIR, h1="/etc/init.d/networking restart")
    assert address(topology, "h1") == "10.6.0.1/24"
    assert commands(topology, "h1") == ["ip route add default via 10.6.0.254"]


def test_variables_of_containerlab_have_their_defaults() -> None:
    text = CLAB.replace("h1: {kind: linux}", "h1: {kind: ${KIND:=linux}, env: {A: '${B}'}}")
    topology = topologies.loads(f"{text}    - endpoints: ['h1:eth1', 'h2:${{PORT:-eth1}}']\n", "x.clab.yml")
    assert notes(topology) == ["2: variable B has no default: it stays as it is"]
    assert host(topology, "h1").own.environment == (("A", "${B}"),)


def test_a_template_of_go_is_told_to_be_one() -> None:
    with pytest.raises(topologies.Invalid, match=r"x\.clab\.yml:2: it is a template of Go"):
        topologies.loads("topology:\n{{- range $i := until 3 }}\n{{ end }}", "x.clab.yml")


def test_lines_of_netkit_and_windows_are_read(tmp_path: Path) -> None:
    lab = 'LAB_DESCRIPTION=Without quotes\r\nmachines="a b"\r\na[0] = A\r\nb[0]="A"\r\n'
    lab += "b[1]=tap,10.0.0.1,10.0.0.2\r\n"
    topology = kathara(tmp_path, lab, a="ip a add 10.1.0.1/24 dev eth0\r\n")
    assert topology.description == "Without quotes" and address(topology, "a") == "10.1.0.1/24"
    assert notes(topology) == [
        "2: machines: it is not known: left out",
        "5: eth1 of b: it leads out of the lab: left out",
    ]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("1", "h-1"),
        ("10.1", "h-10-1"),
        ("localhost", "h-localhost"),
        ("R 1", "r-1"),
        ("A", "A-2"),
        ("\u00e9", "e"),
    ],
)
def test_a_name_that_no_host_can_have_is_another_one(name: str, wanted: str) -> None:
    text = f'topology:\n  nodes: {{a: {{kind: linux}}, "{name}": {{kind: linux}}}}\n'
    topology = topologies.loads(
        f"{text}  links: [{{endpoints: ['a:eth1', \"{name}:eth1\"]}}]\n", "x.clab.yml"
    )
    assert {entry.name for entry in topology.hosts} == {"a", wanted}
    assert f"can't be its name here: it is {wanted}" in notes(topology)[0]


NETLAB = "defaults.device: linux\nnodes: [a, b, c, d-e]\nlinks:\n"


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("- a-b", {"a": "172.16.0.1/24", "b": "172.16.0.2/24"}),
        ("- [a, b, c]", {"a": "172.16.0.1/24", "b": "172.16.0.2/24", "c": "172.16.0.3/24"}),
        ("- a-d-e", {"a": "172.16.0.1/24", "d-e": "172.16.0.4/24"}),
        ("- a:\n  b:\n", {"a": "172.16.0.1/24", "b": "172.16.0.2/24"}),
        ("- {a: , b: , type: p2p}", {"a": "10.1.0.1/30", "b": "10.1.0.2/30"}),
        ("- {a: {ipv4: 10.3.0.9/24}, b: , prefix: 10.3.0.0/24}", {"a": "10.3.0.9/24", "b": "10.3.0.2/24"}),
        (
            "- interfaces: [{node: a}, b]\n  prefix.ipv4: 10.4.0.0/24",
            {"a": "10.4.0.1/24", "b": "10.4.0.2/24"},
        ),
    ],
)
def test_the_forms_of_netlabs_links(link: str, wanted: dict[str, str]) -> None:
    topology = topologies.loads(f"{NETLAB}{link}\n", "topology.yml")
    assert {entry.name: str(entry.ipv4) for entry in topology.hosts} == wanted


@pytest.mark.parametrize(
    ("file", "raw", "name"),
    [
        ("x.mn", b"", "MiniEdit"),
        ("x.json", b'{"hosts": [{"opts": {"nodeNum": 1}}]}', "MiniEdit"),
        ("x", b"{b'hosts': [{b'number': 1}]}", "MiniEdit"),
        ("x.yaml", b'{"switches": ["s1"], "hosts": {"h1": "s1"}}', None),
        ("x.clab.yml", b"a: 1", "containerlab"),
        ("x.yml", b"name: a\ntopology:\n  nodes: {}\n", "containerlab"),
        ("x.yml", b'{"name": "a", "topology": {"nodes": {}}}', "containerlab"),
        ("lab.conf", b"", "Kathar\u00e1"),
        ("other.conf", b'pc1[0]="A"\n', "Kathar\u00e1"),
        ("topology.yml", b"nodes: [a]\n", "netlab"),
        ("x.yml", b"---\nnodes.r1.id: 3\nlinks: []\n", "netlab"),
        ("x.yml", b"switches: [s1]\nnodes: [a]\n", None),
        ("topology.yml", b"switches: [s1]\nhosts: {h1: s1}\n", None),
        ("topology.yml", b"hosts:\n  h1: s1\nlinks: []\n", None),
        ("x.yml", b"description: |\n  topology:\nswitches: [s1]\n", None),
    ],
)
def test_no_format_is_taken_for_another(file: str, raw: bytes, name: str | None) -> None:
    importer = registry.importer_of(file, raw)
    assert (importer.name if importer else None) == name


def test_a_file_that_is_none_of_them_is_told_what_is_allowed() -> None:
    with pytest.raises(topologies.Invalid) as caught:
        topologies.loads(b"services: {web: {image: nginx}}\n", "compose.yml")
    assert "MiniEdit, containerlab, Kathar\u00e1 or netlab file" in str(caught.value)


WORDS = [
    "topology", "nodes", "links", "kinds", "defaults", "groups", "h1", "h2", "linux", "bridge", "exec",
    "binds", "endpoints", "h2:eth1", "kind", "ip addr add 10.0.0.1/24 dev eth1", "vlan.access", "vlans",
    "members", "prefix", "10.0.0.0/8", "hosts", "switches", "opts", "hostname", "src", "dest", "9" * 400,
    "group", "addressing", "lan", "ipv4", "id", "-1", "1e999", "labels", "env", "sysctls", "memory", "cpu",
]  # fmt: skip
words = st.sampled_from(WORDS) | st.text(max_size=8)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5),
    max_leaves=30,
)


def loads_or_invalid(raw: bytes | str, file: str) -> None:
    try:
        topology = topologies.loads(raw, file)
    except topologies.Invalid as invalid:
        assert invalid.problems and all(str(problem).isprintable() for problem in invalid.problems)
    else:
        assert_sound(topology)
        assert all(str(note).isprintable() for note in topology.notes)


@given(st.dictionaries(words, trees, max_size=6), st.dictionaries(words, trees, max_size=6))
def test_nothing_but_invalid_comes_of_any_tree(some: object, others: object) -> None:
    text = json.dumps(some)
    loads_or_invalid(text, "x.mn")
    loads_or_invalid(json.dumps({"hosts": [some, others], "switches": [others], "links": [some]}), "x.mn")
    loads_or_invalid(json.dumps({"topology": some}), "x.clab.yml")
    loads_or_invalid(json.dumps({"topology": {"nodes": some, "links": [others, some]}}), "x.clab.yml")
    loads_or_invalid(f"nodes: {text}\nlinks: {json.dumps([others])}\n", "topology.yml")


lines = st.lists(
    st.sampled_from(['a[0]="A"', "b[1]=B", "c[x]=1", 'a[mem]="1g"', "LAB_NAME=x", "# x", 'a[env]="A=1"'])
    | st.text(max_size=20)
)


@given(lines, st.binary(max_size=60))
def test_nothing_but_invalid_comes_of_any_lines(some: list[str], raw: bytes) -> None:
    loads_or_invalid("\n".join(some).encode("utf-8", "surrogatepass"), "lab.conf")
    for file in ("lab.conf", "x.mn", "x.clab.yml", "topology.yml"):
        loads_or_invalid(raw, file)
        loads_or_invalid(b'a[0]="A"\nnodes: ' + raw, file)


@given(st.text(alphabet="ip adr0123./ethx-=;&|'\"\\\n$(){}<>#", max_size=120))
def test_no_script_is_too_odd(script: str) -> None:
    text = f"{CLAB}    - endpoints: ['h1:eth1', 'h2:eth1']\n"
    exec_ = json.dumps([script, f"sh -c {script!r}"])
    loads_or_invalid(text.replace("h1: {kind: linux}", f"h1: {{kind: linux, exec: {exec_}}}"), "x.clab.yml")


GRAPH = """\
<graphml><key id="k" for="node" attr.name="kind"/><key id="a" for="node" attr.name="ipv4"/>
<graph><node id="s1"><data key="k">switch</data></node>
<node id="h1"><data key="k">host</data><data key="a">10.0.0.1</data></node>
<node id="r1"><data key="k">router</data></node>
<edge source="h1" target="s1"/>
<edge source="h1" target="s1"/>
<edge source="r1" target="s1"/>
</graph></graphml>"""


def test_a_graph_that_says_what_its_nodes_are_is_that_lab() -> None:
    topology = topologies.loads(GRAPH, "x.graphml")
    assert [entry.name for entry in topology.hosts] == ["h1", "h1-eth1"] and len(topology.switches) == 1
    assert notes(topology) == [
        "3: 10.0.0.1 of h1: its prefix length is not known: left out",
        "4: 'r1': a router is no switch and no host: left out",
        "7: an edge of 'r1' and 's1' joins no switch to a switch or a host: left out",
    ]
