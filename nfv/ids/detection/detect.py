"""Detection: finds the rules that match a packet, its part of the stream, and the transactions of its flow.

As in Suricata (user guide "Rule Types and Categorization"): packets first, then transactions in the packet's
direction; matches are sorted in the order of the rules, and a pass ends the list (``verdict``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nfv.ids.app.base import Tx
from nfv.ids.decode.packet import Packet
from nfv.ids.detection.bits import Bits
from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.flow import Flow
from nfv.ids.language.buffers import BUFFERS, GROWING, transformed
from nfv.ids.language.rule import TO_CLIENT, TO_SERVER, BufferPart, Rule
from nfv.ids.match.conditions import Buffer, matches
from nfv.ids.match.ops import ByteExtract, ByteMath
from nfv.ids.match.work import Exhausted, Work
from wire.protocol import ICMP, ICMPV6, TCP, UDP

Match = tuple[Rule, Tx | None, bool]
"""A rule, its transaction if any, and whether it applies to the stream or flow instead of the packet."""

OVERLAP = 512
"""Bytes of a stream's previous chunk that are searched again with the next one (more if a pattern is longer).

So a pattern that lies across two chunks is found.
"""


class TxState:
    """Detection's state of a transaction in one direction."""

    __slots__ = ("begun", "dead", "done", "pending", "scanned")

    def __init__(self) -> None:
        self.begun = False
        self.scanned: set[int] = set()
        self.pending: dict[int, int] = {}  # rule to the mask of parts that matched
        self.done: set[int] = set()
        self.dead: set[int] = set()

    def restart(self) -> None:
        """The inspected message was an interim one: inspect the next one from its beginning."""
        self.begun = False
        self.scanned.clear()
        self.pending.clear()
        self.dead.clear()


class Detector:
    """Evaluates the rules; holds the bits that rules set."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.bits = Bits()
        self.work = Work()

    # ------------------------------------------------------------ headers

    def header(self, rule: Rule, packet: Packet) -> bool:
        """Protocol, addresses, ports, direction, flow and the tests of header fields."""
        protocols = rule.protocols
        if protocols is not None and packet.proto not in protocols:
            return False
        if rule.version and packet.version != rule.version:
            return False
        if packet.version == 0 and rule.protocol != "pkthdr":  # not IP
            return False
        flow = packet.flow
        directions = rule.directions
        side = TO_SERVER if packet.toserver else TO_CLIENT
        if directions != 3 and (flow is None or not directions & side):
            return False
        if rule.flow:
            wanted = rule.flow
            if "established" in wanted and not packet.established:
                return False
            if "not_established" in wanted and packet.established:
                return False
        if not self._ends(rule, packet):
            return False
        if rule.app_layer and not self._app_layer(rule, packet):
            return False
        return all(test(packet) for test in rule.tests)

    @staticmethod
    def _ends(rule: Rule, packet: Packet) -> bool:
        src, dst, sp, dp = rule.source, rule.destination, rule.source_ports, rule.destination_ports
        if (sp is not None or dp is not None) and packet.proto not in (TCP, UDP, 132):
            return False
        if (sp is not None or dp is not None) and packet.fragment:
            return False
        if (
            (sp is None or packet.sp in sp)
            and (dp is None or packet.dp in dp)
            and (src is None or packet.src in src)
            and (dst is None or packet.dst in dst)
        ):
            return True
        if not rule.both_ways:
            return False
        return (
            (sp is None or packet.dp in sp)
            and (dp is None or packet.sp in dp)
            and (src is None or packet.dst in src)
            and (dst is None or packet.src in dst)
        )

    @staticmethod
    def _app_layer(rule: Rule, packet: Packet) -> bool:
        flow = packet.flow
        if flow is None:
            return False
        for name, negated, mode in rule.app_layer:
            final = flow.app_proto
            if mode == "to_server" or (not mode and packet.toserver):
                have = flow.app_ts or final
            elif mode == "to_client" or not mode:
                have = flow.app_tc or final
            else:
                have = final
            if mode == "either":
                held = name in (flow.app_ts, flow.app_tc)
            elif mode == "original":  # before it changed, as after CONNECT
                held = flow.app_orig == name
            else:
                if not have:
                    if name == "unknown" and not negated:
                        continue
                    return False
                held = have == name
            if held == negated:
                return False
        return True

    # ------------------------------------------------------------ packets and streams

    def packet(self, packet: Packet, chunk: bytes, tail: bytes, rule_matches: list[Match]) -> None:
        """Evaluate rules about packets; ``chunk`` is the part of the stream to inspect now, after
        ``tail``."""
        rules = self.rules
        proto = packet.proto
        hits: list[int] = []
        payload = b""
        has_payload = packet.end > packet.pay and packet.version != 0
        if proto == TCP:
            if chunk:
                hits = rules.stream_db.scan(tail + chunk if tail else chunk)
            if has_payload and not packet.pseudo:
                if rules.placed_db.size:
                    data, at = packet.data, packet.pay
                    hits = hits + rules.placed_db.scan(data[at : min(packet.end, at + rules.placed_db.reach)])
                if rules.free_db.size:
                    hits = hits + rules.free_db.scan(packet.payload)
                if not packet.stream_add and rules.stream_db.size:
                    hits = hits + rules.stream_db.scan(packet.payload)
        elif has_payload and rules.datagram_db.size:
            hits = rules.datagram_db.scan(packet.payload)
        flow = packet.flow
        candidates: Iterable[int | Rule] = hits
        if proto != TCP or rules.tcp_always:
            extra = self._always(packet, flow)
            if extra:
                candidates = {*hits, *(rule.order for rule in extra)}
            elif not hits:
                candidates = ()
        once: list[Rule] = []
        if packet.events and rules.by_event:
            once = [rule for event in {*packet.events} for rule in rules.by_event.get(event, ())]
        if rules.ip_only and not packet.pseudo:
            once = once + self._ip_only(packet, flow)
        if rules.proto_only and flow is not None:
            once = once + self._proto_only(packet, flow)
        if rule_matches and candidates:  # in a text of the same stream
            candidates = {*candidates} - {rule.order for rule, _, _ in rule_matches}
        if not candidates and not once:
            return
        if has_payload:
            payload = packet.payload
        orders: list[int] = sorted({*candidates, *(rule.order for rule in once)})  # type: ignore[arg-type]
        self._ask(orders, packet, payload, chunk, tail, rule_matches)

    def text(self, packet: Packet, chunk: bytes, tail: bytes, rule_matches: list[Match]) -> None:
        """Rules about a text of the stream that ended at a hole; ``packet`` stands for it."""
        hits = {*self.rules.stream_db.scan(tail + chunk)} - {rule.order for rule, _, _ in rule_matches}
        if hits:
            self._ask(sorted(hits), packet, b"", chunk, tail, rule_matches)

    def _always(self, packet: Packet, flow: Flow | None) -> list[Rule]:
        rules = self.rules
        extra: list[Rule] = []
        if not packet.pseudo:
            extra += rules.always.get(packet.proto, ())
            extra += rules.always_any
        else:
            extra += [r for r in rules.always.get(TCP, ()) if r.payload and not r.tests]
            extra += [r for r in rules.always_any if r.payload and not r.tests]
        known = flow is not None and (packet.proto != TCP or packet.stream_est)
        if rules.by_app and flow is not None and known and flow.app_proto in rules.by_app:
            extra += [r for r in rules.by_app[flow.app_proto] if not packet.pseudo or not r.tests]
        return extra

    def _ip_only(self, packet: Packet, flow: Flow | None) -> list[Rule]:
        """Evaluate rules about addresses only, once for each direction of a flow."""
        if flow is not None:
            mark = 1 if packet.toserver else 2
            if flow.ip_only & mark:
                return []
            flow.ip_only |= mark
        return self.rules.ip_only

    def _proto_only(self, packet: Packet, flow: Flow) -> list[Rule]:
        mark = 4 if packet.toserver else 8
        if flow.ip_only & mark or not flow.app_proto:
            return []
        flow.ip_only |= mark
        return self.rules.proto_only

    def _ask(
        self,
        orders: list[int],
        packet: Packet,
        payload: bytes,
        chunk: bytes,
        tail: bytes,
        rule_matches: list[Match],
    ) -> None:
        rules = self.rules.rules
        flow = packet.flow
        buffers: dict[str, Buffer] = {}
        for order in orders:
            rule = rules[order]
            if rule.app_protos and (flow is None or flow.app_proto not in rule.app_protos):
                continue
            if rule.app_protos and packet.proto == TCP and not packet.stream_est:
                continue
            if packet.pseudo and (rule.real_packet or (rule.tests and not rule.payload)):
                continue
            if not self.header(rule, packet):
                continue
            in_stream = False
            names: dict[str, int] = {}
            if rule.payload:
                matched, in_stream = self._payload(rule, packet, payload, chunk, tail, buffers, names)
                if not matched:
                    continue
            if rule.header_parts and not self._header_parts(rule, packet, names):
                continue
            if not self.bits.allow(rule, packet):
                continue
            self.bits.set(rule, packet)
            rule_matches.append((rule, None, in_stream or rule.flow_scope))

    def _payload(
        self,
        rule: Rule,
        packet: Packet,
        payload: bytes,
        chunk: bytes,
        tail: bytes,
        buffers: dict[str, Buffer],
        names: dict[str, int],
    ) -> tuple[bool, bool]:
        """(matched, in the stream) for the payload conditions of a rule."""
        if packet.proto == TCP and rule.needs_stream:
            if chunk:
                whole = bool(tail) and self.rules.tail_safe[rule.order]
                key = "whole" if whole else "chunk"
                buffer = buffers.get(key)
                if buffer is None:
                    buffer = buffers[key] = Buffer(
                        tail + chunk if whole else chunk, self.work, len(tail) if whole else 0
                    )
                if matches(rule.payload, buffer, names) and (not whole or buffer.last > len(tail)):
                    return True, True
            if packet.stream_add and not rule.needs_packet:
                return False, False
        if packet.pseudo or (not payload and packet.proto == TCP):
            return False, False
        if "only_stream" in rule.flow:
            return False, False
        buffer = buffers.get("packet")
        if buffer is None:
            buffer = buffers["packet"] = Buffer(payload, self.work)
        return matches(rule.payload, buffer, names), False

    def _header_parts(self, rule: Rule, packet: Packet, names: dict[str, int]) -> bool:
        return all(self._header_part(part, packet, names) for part in rule.header_parts)

    def _header_part(self, part: BufferPart, packet: Packet, names: dict[str, int]) -> bool:
        proto = {"tcp.hdr": TCP, "udp.hdr": UDP, "icmpv4.hdr": ICMP, "icmpv6.hdr": ICMPV6}.get(part.name)
        if part.name in ("ipv4.hdr", "ipv6.hdr"):
            if packet.version != (4 if part.name == "ipv4.hdr" else 6):
                return False
            data = packet.data[packet.l3 : packet.l4]
        elif packet.proto != proto or packet.version == 0:
            return False
        else:
            data = packet.data[packet.l4 : packet.pay]
        return matches(part.ops, Buffer(transformed(data, part.transforms, self.work), self.work), names)

    # ------------------------------------------------------------ transactions

    def transaction(self, tx: Any, packet: Packet, recent: bytes, rule_matches: list[Match]) -> None:
        """Evaluate rules about transactions; ``recent`` are the bytes for their payload conditions."""
        toserver = packet.toserver
        rules = self.rules
        key = (tx.proto, toserver)
        groups, always = rules.tx_groups.get(key, ()), rules.tx_always.get(key, ())
        if not groups and not always:
            return
        state: TxState | None = tx.state_ts if toserver else tx.state_tc
        if state is None:
            state = TxState()
            if toserver:
                tx.state_ts = state
            else:
                tx.state_tc = state
        if not state.begun:
            state.begun = True
            for rule in always:
                if rule.order not in state.done:
                    state.pending[rule.order] = 0
        done = tx.done_ts if toserver else tx.done_tc
        cache: dict[Any, list[Buffer]] = {}
        for at, group in enumerate(groups):
            if at in state.scanned:
                continue
            values = tx.get(group.name, toserver)
            if values is None:
                continue
            if not group.body or done:
                state.scanned.add(at)
            for buffer in self._buffers(cache, group.name, group.transforms, values):
                for order in group.database.scan(buffer.data):
                    if order not in state.pending and order not in state.done and order not in state.dead:
                        state.pending[order] = 0
        if state.pending:
            try:
                self.work.take(len(state.pending))
            except Exhausted:
                return
            for order in sorted(state.pending):
                self._tx_rule(rules.rules[order], tx, packet, state, cache, done, recent, rule_matches)

    def _tx_rule(
        self, rule: Rule, tx: Any, packet: Packet, state: TxState, cache: dict[Any, list[Buffer]], done: bool,
        recent: bytes, rule_matches: list[Match],
    ) -> None:  # fmt: skip
        toserver = packet.toserver
        mask = state.pending[rule.order]
        names: dict[str, int] = {}
        waiting = False
        for at, part in enumerate(rule.tx_parts):
            if mask >> at & 1 and not _uses_names(rule):
                continue
            values = tx.get(part.name, toserver)
            if values is None:
                waiting = True
                continue
            if not values and part.absent:
                mask |= 1 << at
                continue
            if part.absent == "only":
                self._dead(state, rule)
                return
            buffers = self._buffers(cache, part.name, part.transforms, values)
            if any(matches(part.ops, buffer, names) for buffer in buffers):
                mask |= 1 << at
            elif self.work.left < 0:
                waiting = True  # it was not asked; with the next packet it may be
            elif part.name in GROWING and not done:
                waiting = True
            else:
                self._dead(state, rule)
                return
        state.pending[rule.order] = mask
        if waiting:
            return
        for _, _, test in rule.tx_tests:
            if not test(tx):
                if done:
                    self._dead(state, rule)
                return
        if not self.header(rule, packet):
            if done:
                self._dead(state, rule)
            return
        if packet.pseudo and (rule.tests or rule.header_parts):
            return  # these are asked of real packets
        if rule.header_parts and not self._header_parts(rule, packet, names):
            return
        if rule.payload and not matches(rule.payload, Buffer(recent, self.work), names):
            if done and packet.pseudo:
                self._dead(state, rule)
            return
        if not self.bits.allow(rule, packet):
            return
        self.bits.set(rule, packet)
        del state.pending[rule.order]
        state.done.add(rule.order)
        rule_matches.append((rule, tx, True))

    def _buffers(
        self,
        cache: dict[Any, list[Buffer]],
        name: str,
        transforms: tuple[tuple[str, str], ...],
        values: list[bytes],
    ) -> list[Buffer]:
        key = (name, transforms)
        have = cache.get(key)
        if have is None:
            have = cache[key] = [
                Buffer(transformed(v, transforms, self.work) if transforms else v, self.work) for v in values
            ]
        return have

    @staticmethod
    def _dead(state: TxState, rule: Rule) -> None:
        del state.pending[rule.order]
        state.dead.add(rule.order)


def _uses_names(rule: Rule) -> bool:
    return any(isinstance(op, (ByteExtract, ByteMath)) for part in rule.tx_parts for op in part.ops)


__all__ = ["BUFFERS", "OVERLAP", "Detector", "Match"]
