"""The keyword about errors in packets: decode-event (user guide "Decode Layer Events").

Only events of this engine's decoders are accepted: a rule for another one could never match.
"""

from __future__ import annotations

from nfv.ids.language.builder import Builder
from nfv.ids.language.text import Problem

_BY_LAYER = {
    "chdlc": "pkt_too_small",
    "esp": "pkt_too_small",
    "ethernet": "pkt_too_small unknown_ethertype",
    "gre": "pkt_too_small version0_hdr_too_big version0_malformed_sre_hdr version1_hdr_too_big wrong_version",
    "icmpv4": "pkt_too_small",
    "icmpv6": "pkt_too_small",
    "ieee8021ah": "header_too_small",
    "ipraw": "invalid_ip_version",
    "ipv4": "frag_overlap frag_too_large hlen_too_small iplen_smaller_than_hlen pkt_too_small trunc_pkt"
    " wrong_ip_version",
    "ipv6": "exthdr_dupl_ah exthdr_dupl_eh exthdr_dupl_fh exthdr_dupl_hh exthdr_dupl_rh exthdr_useless_fh"
    " frag_invalid_length frag_overlap frag_pkt_too_large pkt_too_small trunc_exthdr trunc_pkt"
    " wrong_ip_version",
    "ltnull": "pkt_too_small unsupported_type",
    "mpls": "bad_label_implicit_null bad_label_reserved bad_label_router_alert header_too_small"
    " unknown_payload_type",
    "nsh": "bad_header_length header_too_small unknown_payload unsupported_type unsupported_version",
    "ppp": "pkt_too_small unsup_proto vju_pkt_too_small wrong_type",
    "pppoe": "pkt_too_small",
    "sctp": "pkt_too_small",
    "sll": "pkt_too_small",
    "sll2": "pkt_too_small",
    "tcp": "hlen_too_small invalid_hlen opt_invalid_len pkt_too_small",
    "udp": "hlen_too_small len_invalid pkt_too_small",
    "vlan": "header_too_small too_many_layers",
    "vntag": "header_too_small",
}
DECODE = frozenset(
    {"too_many_layers", *(f"{layer}.{name}" for layer, names in _BY_LAYER.items() for name in names.split())}
)
"""The names for ``decode-event``; EVE's anomaly records and counters have them after ``decoder.``."""


def decode_event(b: Builder, value: str | None) -> None:
    """An error that a decoder found in the packet: ``decode-event:ipv4.trunc_pkt``."""
    name = (value or "").strip().lower().removeprefix("decoder.")
    if name not in DECODE:
        raise Problem("decode-event", f"{name!r} is not supported; there are {', '.join(sorted(DECODE))}")
    event = f"decoder.{name}"
    b.rule.events.append(event)
    b.test(lambda p: p.events is not None and event in p.events)
    b.rule.needs_packet = b.rule.real_packet = True


KEYWORDS = {"decode-event": decode_event}
