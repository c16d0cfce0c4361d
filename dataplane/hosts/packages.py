"""Packages of Debian and Ubuntu with programs that users often run in a host."""

from __future__ import annotations

PACKAGES = {
    "ab": "apache2-utils",
    "arp": "net-tools",
    "arping": "iputils-arping",
    "bridge": "iproute2",
    "curl": "curl",
    "dig": "bind9-dnsutils",
    "ethtool": "ethtool",
    "haproxy": "haproxy",
    "host": "bind9-host",
    "hping3": "hping3",
    "ifconfig": "net-tools",
    "ip": "iproute2",
    "iperf": "iperf",
    "iperf3": "iperf3",
    "mtr": "mtr-tiny",
    "nano": "nano",
    "nc": "netcat-openbsd",
    "ncat": "ncat",
    "netcat": "netcat-openbsd",
    "netstat": "net-tools",
    "nft": "nftables",
    "nmap": "nmap",
    "nslookup": "bind9-dnsutils",
    "openssl": "openssl",
    "ovs-appctl": "openvswitch-switch",
    "ovs-dpctl": "openvswitch-switch",
    "ovs-ofctl": "openvswitch-switch",
    "ovs-vsctl": "openvswitch-switch",
    "ping": "iputils-ping",
    "route": "net-tools",
    "scapy": "python3-scapy",
    "socat": "socat",
    "ss": "iproute2",
    "ssh": "openssh-client",
    "strace": "strace",
    "tcpdump": "tcpdump",
    "telnet": "telnet",
    "tracepath": "iputils-tracepath",
    "traceroute": "traceroute",
    "tshark": "tshark",
    "vim": "vim",
    "wget": "wget",
    "wireshark": "wireshark",
    "xterm": "xterm",
}


def how_to_install(program: str) -> str:
    """``sudo apt-get install PACKAGE`` for a missing program; empty if the package is not known here."""
    package = PACKAGES.get(program.rpartition("/")[2])
    return f"sudo apt-get install {package}" if package else ""
