"""Decides alerts and actions from matches: order, pass, thresholds, drops (user guide "Action-order", "Rule
Types").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nfv.ids.counters import Counters
from nfv.ids.decode.packet import Packet
from nfv.ids.detection.detect import Match
from nfv.ids.detection.thresholds import SILENT, TELL, Thresholds
from nfv.ids.language.rule import Rule


@dataclass(slots=True)
class Alert:
    """One alert."""

    rule: Rule
    tx: Any
    stream: bool
    action: str


def decide(
    rule_matches: list[Match],
    packet: Packet,
    thresholds: Thresholds,
    counters: Counters,
    ips: bool,
    most: int = 15,
) -> list[Alert]:
    """Alerts in the rules' order; marks the packet and its flow as passed, dropped or rejected.

    ``most``: limit of a packet's alerts; more are counted as overflow (Suricata's ``packet-alert-max``).
    """
    rule_matches.sort(key=lambda match: (match[0].order, match[1].number if match[1] is not None else -1))
    alerts: list[Alert] = []
    flow = packet.flow
    for rule, tx, in_flow in rule_matches:
        action = rule.action
        if action == "pass":
            if packet.dropped:  # by a rule that comes before, as the order of actions may say
                break
            packet.passed = True
            if in_flow and flow is not None:
                flow.passed = True
                flow.action = flow.action or "pass"
            break
        told = thresholds.check(rule, packet)
        if told == SILENT:
            continue
        blocked = False
        if action != "alert":
            rejects = action.startswith("reject")
            if ips or rejects:
                blocked = ips or rejects
            if ips:
                packet.dropped = True
                packet.drop_reason = packet.drop_reason or "rules"
                packet.reject = packet.reject or rejects
                packet.blocked_by = packet.blocked_by or Alert(rule, tx, in_flow, "blocked")
                if in_flow and flow is not None:
                    flow.drop = True
                    flow.action = "drop"
        if told != TELL:
            counters["detect.alerts_suppressed"] += 1
            continue
        if rule.noalert:
            continue
        if len(alerts) >= most:
            counters["detect.alert_queue_overflow"] += 1
            continue
        alerts.append(Alert(rule, tx, in_flow, "blocked" if blocked else "allowed"))
    if alerts:
        counters["detect.alert"] += len(alerts)
        if flow is not None:
            flow.alerted = True
    return alerts
