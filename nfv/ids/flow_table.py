"""The table of flows: finds and creates the flow of a packet, and ends flows.

Policy: the table holds ``limit`` flows; when it is full, the flow that was created first ends (reason
``forced``). A flow ends when no packet comes for its timeout (Suricata's defaults, user guide
"Flow-timeouts"). Time is that of the packets, so a capture always gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from nfv.ids.decode.packet import Packet
from nfv.ids.flow import ESTABLISHED, NEW, Flow, Key
from wire.protocol import ESP, ICMP, ICMPV6, IP_IN_IP, IPV6, SCTP, TCP, UDP

_PAIRS = {8: 0, 13: 14, 15: 16, 17: 18, 10: 9}
_PAIRS_V6 = {128: 129, 133: 134, 135: 136, 144: 145, 146: 147}
_REPLIES = {
    **{(ICMP, reply): request for request, reply in _PAIRS.items()},
    **{(ICMPV6, reply): request for request, reply in _PAIRS_V6.items()},
}
_WITH_FLOW = frozenset((TCP, UDP, ICMP, ICMPV6, SCTP, ESP, IP_IN_IP, IPV6))


class FlowTable:
    """Finds and creates the flow of a packet, and ends expired flows (``ended`` is called for each)."""

    def __init__(self, ended: Callable[[Flow, str], None], limit: int = 100_000) -> None:
        self._flows: dict[Key, Flow] = {}
        self._reverse: dict[Key, Flow] = {}
        self._oldest: list[Flow] = []  # those created first, the very first at the end
        self._ended = ended
        self._limit = limit
        self._swept = 0.0
        self.created = 0
        self.forced = 0

    def __len__(self) -> int:
        return len(self._flows)

    def find(self, packet: Packet) -> Flow | None:
        """The packet's flow, with updated counters; None for packets without a flow (GRE, invalid)."""
        proto, ts = packet.proto, packet.ts
        if proto not in _WITH_FLOW or packet.version == 0 or packet.fragment:
            return None
        key: Key
        if packet.kind == 3 and proto == ICMP:
            about = self._about(packet)
            if about is not None:
                return about
        if packet.kind >= 0 and (proto in (ICMP, ICMPV6)):
            kind = _REPLIES.get((proto, packet.kind))
            key = (
                packet.src,
                packet.dst,
                packet.icmp_id,
                packet.kind if kind is None else kind,
                proto,
                packet.vlan,
            )
            packet.sp = packet.dp = 0
        else:
            key = (packet.src, packet.dst, packet.sp, packet.dp, proto, packet.vlan)
        flow = self._flows.get(key)
        if flow is not None:
            toserver = True
        else:
            flow = self._reverse.get(key)
            toserver = False
        if flow is not None and (
            (ts - flow.last > 30 and ts - flow.last > flow.timeout())
            or (packet.flags & 18 == 2 and self._reused(flow, packet))
        ):
            self.end(flow, "timeout" if ts - flow.last > flow.timeout() else "tcp_reuse")
            flow = None
        if flow is None:
            flow, toserver = self._make(packet, key), True
        packet.flow = flow
        packet.toserver = toserver
        if ts > flow.last:
            flow.last = ts
        if toserver:
            flow.pkts_ts += 1
            flow.bytes_ts += packet.size
            flow.seen_ts = True
        else:
            flow.pkts_tc += 1
            flow.bytes_tc += packet.size
            flow.seen_tc = True
            if packet.kind >= 0:
                flow.icmp_reply = (packet.kind, packet.code)
        if flow.state is not NEW:
            packet.established = flow.state is ESTABLISHED or proto == TCP
        elif proto != TCP and flow.seen_ts and flow.seen_tc:
            flow.state = ESTABLISHED
            packet.established = True
        return flow

    def _about(self, packet: Packet) -> Flow | None:
        """The flow that an ICMP "unreachable" (RFC 792) quotes; the ICMP packet then belongs to it."""
        data, at = packet.data, packet.pay
        if packet.end < at + 28 or data[at] >> 4 != 4:
            return None
        proto, ports = data[at + 9], at + (data[at] & 15) * 4
        if proto not in (TCP, UDP) or packet.end < ports + 4:
            return None
        sp, dp = data[ports] << 8 | data[ports + 1], data[ports + 2] << 8 | data[ports + 3]
        key: Key = (data[at + 12 : at + 16], data[at + 16 : at + 20], sp, dp, proto, packet.vlan)
        flow, toserver = self._flows.get(key), False
        if flow is None:
            flow, toserver = self._reverse.get(key), True
        if flow is None:
            return None
        packet.flow, packet.toserver = flow, toserver
        packet.sp = packet.dp = 0
        packet.established = flow.state == ESTABLISHED
        flow.last = max(flow.last, packet.ts)
        if toserver:
            flow.pkts_ts, flow.bytes_ts, flow.seen_ts = flow.pkts_ts + 1, flow.bytes_ts + packet.size, True
        else:
            flow.pkts_tc, flow.bytes_tc, flow.seen_tc = flow.pkts_tc + 1, flow.bytes_tc + packet.size, True
        return flow

    def _make(self, packet: Packet, key: Key) -> Flow:
        if len(self._flows) >= self._limit:
            self.end(self._first(), "forced")
            self.forced += 1
        proto = packet.proto
        if packet.kind >= 0 and (proto in (ICMP, ICMPV6)):
            rkey = (packet.dst, packet.src, key[2], key[3], proto, packet.vlan)
        else:
            rkey = (packet.dst, packet.src, packet.dp, packet.sp, proto, packet.vlan)
        self.created += 1
        flow = Flow(packet, self.created, key, rkey)
        self._flows[key] = flow
        self._reverse[rkey] = flow
        return flow

    def _first(self) -> Flow:
        """The flow that was created first.

        A dictionary takes long to find its first entry after many deletions, so several are fetched together.
        """
        while True:
            while self._oldest:
                flow = self._oldest.pop()
                if self._flows.get(flow.key) is flow:
                    return flow
            self._oldest = list(islice(self._flows.values(), 256))[::-1]

    @staticmethod
    def _reused(flow: Flow, packet: Packet) -> bool:
        """Whether this SYN begins another connection between the same ports."""
        session = flow.session
        return session is not None and session.over and packet.seq != session.client.isn

    def swap(self, flow: Flow) -> None:
        """Exchange a flow's client and server (see ``Flow.swap``)."""
        self._flows.pop(flow.key, None)
        self._reverse.pop(flow.rkey, None)
        flow.swap()
        self._flows[flow.key] = flow
        self._reverse[flow.rkey] = flow

    def end(self, flow: Flow, reason: str) -> None:
        """Remove a flow and report its end."""
        if self._flows.get(flow.key) is flow:
            del self._flows[flow.key]
        if self._reverse.get(flow.rkey) is flow:
            del self._reverse[flow.rkey]
        self._ended(flow, reason)

    def sweep(self, now: float, every: float = 5.0) -> None:
        """End expired flows, at most once in ``every`` seconds of the packets' time."""
        if now - self._swept < every:
            return
        self._swept = now
        over = [flow for flow in self._flows.values() if now - flow.last > flow.timeout()]
        for flow in over:
            self.end(flow, "timeout")

    def end_all(self, reason: str = "shutdown") -> None:
        """End all flows, in the order in which they began."""
        for flow in list(self._flows.values()):
            self.end(flow, reason)
