"""Counters under Suricata's names, as the ``stats`` record prints them."""

from __future__ import annotations

from typing import Any


class Counters(dict[str, int]):
    """Dotted names to numbers; a name that was never counted is 0."""

    def __missing__(self, key: str) -> int:
        return 0

    def nested(self) -> dict[str, Any]:
        """The same as nested objects: ``decoder.ipv4`` becomes ``{"decoder": {"ipv4": …}}``."""
        tree: dict[str, Any] = {}
        for name in sorted(self):
            at = tree
            *path, last = name.split(".")
            for part in path:
                below = at.setdefault(part, {})
                if not isinstance(below, dict):
                    below = at[part] = {"total": below}
                at = below
            at[last] = self[name]
        return tree


_DECODER_TABLE = """
pkts bytes invalid ipv4 ipv6 ethernet arp chdlc raw null sll tcp udp sctp esp icmpv4 icmpv6 ppp pppoe geneve
gre vlan vlan_qinq vlan_qinqinq vxlan nsh ieee8021ah teredo ipv4_in_ipv4 ipv4_in_ipv6 ipv6_in_ipv4
ipv6_in_ipv6 mpls erspan etag vntag
"""
DECODERS = _DECODER_TABLE.split()
"""Counters of layers that are always printed, also when they are 0."""

_OTHER_TABLE = """
decoder.max_pkt_size decoder.avg_pkt_size tcp.sessions tcp.syn tcp.synack tcp.rst tcp.invalid_checksum
tcp.midstream_pickups tcp.pkt_on_wrong_thread tcp.reassembly_gap tcp.overlap tcp.segment_memcap_drop
tcp.stream_depth_reached tcp.active_sessions flow.memcap flow.total flow.active flow.tcp flow.udp flow.icmpv4
flow.icmpv6 detect.alert detect.alert_queue_overflow detect.alerts_suppressed defrag.ipv4.fragments
defrag.ipv4.reassembled defrag.ipv6.fragments defrag.ipv6.reassembled defrag.max_frag_hits
app_layer.flow.http app_layer.tx.http app_layer.flow.tls app_layer.tx.tls app_layer.flow.dns_udp
app_layer.tx.dns_udp app_layer.flow.dns_tcp app_layer.tx.dns_tcp app_layer.flow.ssh app_layer.tx.ssh
app_layer.flow.failed_tcp app_layer.flow.failed_udp
"""
OTHERS = _OTHER_TABLE.split()

DROP_REASONS = (
    "decode_error",
    "defrag_error",
    "flow_drop",
    "applayer_error",
    "rules",
    "stream_error",
    "tunnel_packet_drop",
)
"""Counters of reasons for drops."""

IPS = ["ips.accepted", "ips.blocked", "ips.rejected", "ips.replaced"]


def fresh(ips: bool = False) -> Counters:
    """All counters at 0."""
    counters = Counters()
    for name in DECODERS:
        counters[f"decoder.{name}"] = 0
    for name in OTHERS + (IPS if ips else []):
        counters[name] = 0
    for name in DROP_REASONS if ips else ():
        counters[f"ips.drop_reason.{name}"] = 0
    return counters
