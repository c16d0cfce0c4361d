"""VLANs in a running lab: access ports, trunks with tags, a router on a stick; what no tag gets through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import capturing, packets, running, send
from tests.waiting import until

FILE = """\
name: vlans
networks:
  lan: {{vlan: 10, subnet4: 10.10.0.0/24, subnet6: "fd10::/64"}}
  sales: {{vlan: {sales}, subnet4: 10.20.0.0/24, subnet6: "fd20::/64"}}
  guests: {{vlan: 30, subnet4: 10.30.0.0/24}}
switches: [s1, s2, s3]
links: [s1 -- s2, s2 -- s3, s3 -- s1]
hosts:
  pc: {{switch: s1, vlan: 10, gateway: r1, mac: "02:00:00:00:00:0a"}}
  till: {{switch: s2, network: lan, gateway: r1}}
  desk: {{switch: s2, vlan: {sales}, gateway: r1}}
  shop: {{switch: s3, network: sales, gateway: r1}}
  guest: {{switch: s3, network: guests}}
  r1: {{kind: router, switch: s1, trunk: [lan, sales]}}
  both: {{switch: s3, trunk: {both}}}
"""
BOTH = '{lan: {mac: "02:00:00:00:00:0b"}, sales: {mac: "02:00:00:00:00:0c"}}'
PC, LAN, SALES = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
ALL = "ff:ff:ff:ff:ff:ff"
OURS = 0x88B5


def written(folder: Path, sales: int = 20, both: str = BOTH) -> Path:
    file = folder / "vlans.yaml"
    file.write_text(FILE.format(sales=sales, both=both), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with running(written(tmp_path_factory.mktemp("vlans"))) as line:
        yield line


def tags(packet: Packet) -> list[int]:
    return [layer.vlan for layer in packet.iterpayloads() if isinstance(layer, Dot1Q)]


POINTS = ("pc", "till", "desk", "shop", "guest", "r1-eth0", "both-eth0")
SEEN = f"ether proto {OURS} or vlan or vlan"  # also behind two tags


def heard(
    line: CommandLine, folder: Path, at: str, frames: list[Packet]
) -> dict[str, dict[str, list[list[int]]]]:
    """What is heard where when ``at`` sends these frames: text -> point -> the tags of each copy."""
    files = {name: folder / f"{at}-{name}.pcap" for name in POINTS if name != at}
    with ExitStack() as stack:
        for name, file in files.items():
            stack.enter_context(capturing(line, name, file, "--filter", SEEN))
        send(line, at, frames)
        # what comes after them is heard after them: so nothing more is on its way
        for source, *layers in (
            ("pc", Ether(src=PC, dst=ALL)),
            ("both", Ether(src=LAN, dst=ALL), Dot1Q(vlan=10)),
            ("both", Ether(src=SALES, dst=ALL), Dot1Q(vlan=20)),
        ):
            send(line, source, [ours(*layers, text="last")])
        for name in ("till", "desk", "shop", "r1-eth0"):
            until(
                lambda name=name: any(b"last" in bytes(packet) for packet in packets(files[name])),  # type: ignore[misc]
                f"{name} heard the last",
            )
    copies: dict[str, dict[str, list[list[int]]]] = {}
    for name, file in files.items():
        for packet in packets(file):
            text = bytes(packet.lastlayer()).rstrip(b"\0").decode(errors="replace")
            if text != "last" and packet.lastlayer().underlayer.type == OURS:
                copies.setdefault(text, {}).setdefault(name, []).append(tags(packet))
    return copies


def ours(*layers: Packet, text: str) -> Packet:
    frame = layers[0]
    for layer in layers[1:]:
        frame /= layer
    frame.lastlayer().type = OURS
    return frame / Raw(text.encode())


def test_a_router_on_a_stick_joins_two_vlans(lab: CommandLine, tmp_path: Path) -> None:
    lab("ping")
    with capturing(lab, "r1-eth0", tmp_path / "trunk.pcap", "--filter", "vlan and icmp"):
        for family in ("-4", "-6"):
            lab("exec", "pc", "--", "ping", family, "-c", "1", "-W", "5", "desk")
        until(lambda: len(packets(tmp_path / "trunk.pcap")) >= 4, "the trunk's packets")
    passed = [(packet.src, tags(packet)) for packet in packets(tmp_path / "trunk.pcap")[:4]]
    assert [tag for _, tag in passed] == [[10], [20], [20], [10]]
    lab("exec", "guest", "--", "ping", "-c", "1", "-W", "1", "10.10.0.1", code=2)  # no route to it
    status = lab.json("status")
    assert {network["name"]: network["vlan"] for network in status["networks"]} == {
        "lan": 10, "sales": 20, "guests": 30,
    }  # fmt: skip
    assert "tag 20 on r1-eth0" in lab("status").stdout


def test_a_trunk_gets_one_tagged_copy_and_access_ports_one_without(lab: CommandLine, tmp_path: Path) -> None:
    said = heard(lab, tmp_path, "pc", [ours(Ether(src=PC, dst=ALL), text="from pc")])
    assert said == {
        "from pc": {"till": [[]], "r1-eth0": [[10]], "both-eth0": [[10]]},
    }


def test_raw_frames_of_a_trunk_come_to_their_vlan_only(lab: CommandLine, tmp_path: Path) -> None:
    def lan(*layers: Packet, text: str) -> Packet:
        return ours(Ether(src=LAN, dst=ALL), *layers, text=text)

    def sales(*layers: Packet, text: str) -> Packet:
        return ours(Ether(src=SALES, dst=ALL), *layers, text=text)

    frames = [
        lan(Dot1Q(vlan=10), text="in lan"),
        sales(Dot1Q(vlan=20, prio=5), text="in sales"),
        lan(Dot1AD(vlan=10), text="of a provider"),
        # none of these is carried
        lan(text="without a tag"),
        lan(Dot1Q(vlan=0), text="only a priority"),
        lan(Dot1Q(vlan=30), text="another vlan"),
        lan(Dot1Q(vlan=10), Dot1Q(vlan=20), text="hop"),
        lan(Dot1Q(vlan=10), Dot1Q(vlan=0), text="a priority behind the tag"),
        lan(Dot1Q(vlan=10), Dot1Q(vlan=20), Dot1Q(vlan=10), text="three"),
        lan(Dot1Q(vlan=10), Dot1Q(vlan=20, type=0x88A8), Dot1Q(vlan=10), text="three of two sorts"),
        lan(Dot1AD(vlan=30), text="another vlan of a provider"),
        lan(Dot1Q(vlan=10, type=0x88A8), Dot1Q(vlan=20), text="a provider's behind the tag"),
        sales(Dot1Q(vlan=10), text="mac of another vlan"),
        ours(Ether(src=PC, dst=ALL), Dot1Q(vlan=10), text="forged mac"),
    ]
    said = heard(lab, tmp_path, "both", frames)
    beyond = {
        text: {name: copies for name, copies in at.items() if name != "both-eth0"}
        for text, at in said.items()
    }
    assert {text: at for text, at in beyond.items() if at} == {
        "in lan": {"pc": [[]], "till": [[]], "r1-eth0": [[10]]},
        "of a provider": {"pc": [[]], "till": [[]], "r1-eth0": [[10]]},
        "in sales": {"desk": [[]], "shop": [[]], "r1-eth0": [[20]]},
    }


def test_an_access_port_takes_no_tags(lab: CommandLine, tmp_path: Path) -> None:
    frames = [
        ours(Ether(src=PC, dst=ALL), Dot1Q(vlan=tag), text=f"with {tag}") for tag in (0, 10, 20, 30, 4095)
    ]
    assert heard(lab, tmp_path, "pc", frames) == {}


def test_vlans_come_change_move_and_go_and_the_host_stays(tmp_path: Path) -> None:
    with running(written(tmp_path)) as lab:
        for host in ("both", "r1"):
            lab("exec", host, "--", "sh", "-c", "touch /tmp/there")
        lab("apply", str(written(tmp_path, both="[lan, sales, guests]")))
        lab("ping", "guest", "both-guests")
        lab("exec", "both", "--", "getent", "hosts", "guest")  # it knows the names of its new network
        lab("apply", str(written(tmp_path, sales=21, both="[lan, guests]")))
        lab("ping")  # its exit code says that all are reached
        assert "both-eth0.20" not in lab("exec", "both", "--", "ip", "link").stdout
        assert "r1-eth0.21" in lab("exec", "r1", "--", "ip", "link").stdout
        lab("exec", "pc", "--", "ping", "-c", "1", "-W", "5", "desk")
        lab("move", "both-guests", "d1", "--switch", "s1")
        at = {host["name"]: host["switch"] for host in lab.json("status")["hosts"]}
        assert (at["both"], at["both-guests"]) == ("s1", "s1")
        lab("ping", "guest", "both-guests")
        lab("ping", "pc", "both")
        lab("link", "down", "r1-sales-s1")
        lab("exec", "pc", "--", "ping", "-c", "1", "-W", "1", "desk", code=1)
        lab("ping", "pc", "r1")
        lab("link", "up", "r1-sales-s1")
        lab("exec", "pc", "--", "ping", "-c", "3", "-i", "0.3", "-W", "5", "desk")
        saved = tmp_path / "saved.yaml"
        lab("save", "-o", str(saved))
        assert "nothing to do" in lab("apply", str(saved)).stdout
        # from a trunk to an access port, and back
        text = written(tmp_path).read_text()
        written(tmp_path).write_text(text.replace(f"trunk: {BOTH}", "network: guests"))
        lab("apply", str(tmp_path / "vlans.yaml"))
        lab("ping", "guest", "both")
        assert "both-eth0." not in lab("exec", "both", "--", "ip", "link").stdout
        lab("apply", str(written(tmp_path)))
        lab("ping", "till", "both")
        lab("ping", "shop", "both-sales")
        for host in ("both", "r1"):
            lab("exec", host, "--", "test", "-e", "/tmp/there")
