"""Hosts that route in a running lab: reached across them, changed, and held to their addresses."""

from __future__ import annotations

from pathlib import Path

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether

from tests.system.tenants_lab import TOPOLOGIES, capturing, packets, running
from tests.waiting import until

ROUTING = TOPOLOGIES / "routing.yaml"
SEND = (
    "import socket, sys\n"
    "raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
    "raw.bind((sys.argv[1], 0))\n"
    "for line in sys.stdin: raw.send(bytes.fromhex(line))\n"
)


def test_routes_change_while_packets_pass_and_forged_ones_do_not(tmp_path: Path) -> None:
    text = ROUTING.read_text(encoding="utf-8")
    with running(ROUTING) as lab:
        assert "all 48 of 48 reached" in lab("ping").stdout
        lab("exec", "pc", "--", "ping", "-6", "-c", "1", "-W", "5", "till")
        lab("exec", "r1-core", "--", "sh", "-c", "cat /proc/sys/net/ipv4/ip_forward | grep 1")

        # what r1 may send to pc: from what is behind it, not from elsewhere
        hosts = {host["name"]: host for host in lab.json("status")["hosts"]}
        assert hosts["r1-core"]["routes"] == ["10.4.0.0/24 via 10.3.0.2", "fd04::/64 via fd03::2"]
        sources = ["10.4.0.9", "10.1.0.9", "192.0.2.9", "10.2.0.9"]
        forged = [
            Ether(src=hosts["r1"]["mac"], dst=hosts["pc"]["mac"])
            / IP(src=source, dst="10.1.0.1")
            / ICMP(id=9)
            for source in sources
        ]
        stdin = "\n".join(bytes(frame).hex() for frame in forged)
        with capturing(lab, "pc", tmp_path / "pc.pcap"):
            lab("exec", "r1", "--", "python3", "-c", SEND, "office", stdin=stdin)

            def came() -> set[str]:
                seen = [Ether(bytes(packet)) for packet in packets(tmp_path / "pc.pcap")]
                return {packet[IP].src for packet in seen if ICMP in packet and packet[ICMP].id == 9}

            until(lambda: "10.2.0.9" in came(), "the last frame arrived")
        assert came() - {"10.1.0.1"} == {"10.4.0.9", "10.2.0.9"}

        # a route goes and comes; a router dies and returns
        less = tmp_path / "less.yaml"
        less.write_text(text.replace("    routes: {branch: r2}\n", ""), encoding="utf-8")
        assert "no route to 10.4.0.0/24" in lab("apply", str(less)).stdout
        lab("exec", "pc", "--", "ping", "-c", "1", "-W", "1", "till", code=1)
        assert "reached" in lab("ping").stdout
        lab("apply", str(ROUTING))
        lab("exec", "pc", "--", "ping", "-c", "1", "-W", "5", "till")
        less.write_text(text.replace("kind: router\n    interfaces:\n      core", "interfaces:\n      core"))
        gone = (
            less.read_text(encoding="utf-8").replace("routes: {branch: r2}", "").replace(", gateway: r2", "")
        )
        less.write_text(gone, encoding="utf-8")
        lab("apply", str(less))
        lab("exec", "pc", "--", "ping", "-c", "1", "-W", "1", "10.4.0.1", code=1)
        lab("apply", str(ROUTING))
        assert "all 48 of 48 reached" in lab("ping").stdout
        saved = tmp_path / "saved.yaml"
        lab("save", "-o", str(saved))
        assert "nothing to do" in lab("apply", str(saved)).stdout
