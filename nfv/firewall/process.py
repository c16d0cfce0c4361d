"""The process of a firewall with nftables.

It connects ``in`` and ``out`` by a filtered bridge, loads the rules, answers packets that they reject, and
reports their counters and logs.

Files (see ``nfv.describe``): ``ruleset.nft`` from ``nfv.firewall.ruleset.template``, and ``rules.json`` with
the rules' names and actions, and the default.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time

from nfv import devices
from nfv.firewall.nflog import Log
from nfv.firewall.packets import fields
from nfv.lines import INWARD, OUTWARD, say
from nfv.process import Failed, Loop, command, content, fail, running
from wire.ip import read
from wire.refusal import refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TABLE, LOG_GROUP, REFUSE_GROUP = "sdnlab", 1, 2
REMEDY = (
    "this kernel tracks no connections on a bridge: neither br_netfilter nor nf_conntrack_bridge is there;"
    " load one (as root: modprobe br_netfilter), or give the firewall the engine openflow"
)
WHEN_LISTING_TAKES = 20
"""Counters that take 0.1 s to list are read every 2 s only, so that they cost at most 5 %."""


class Firewall:
    """A running firewall."""

    def __init__(self) -> None:
        # An earlier process has left marks on connections; this one must not take them for its own.
        self._generation = int(time.time() * 4)
        self._text = ""
        self._family = ""
        self._rules: list[dict[str, str]] = []
        self._default = "drop"
        self._next_listing = 0.0
        self._logged, self._refused = Log(LOG_GROUP, 128), Log(REFUSE_GROUP, 1232)
        self._ends = {socket.if_nametoindex(device): _sender(device) for device in (INWARD, OUTWARD)}
        self._names = {socket.if_nametoindex(device): device for device in (INWARD, OUTWARD)}

    def start(self) -> None:
        """Raises ``Failed``."""
        for name, value in (("tcp_loose", 1), ("tcp_be_liberal", 0), ("checksum", 1), ("acct", 0)):
            devices.set_sysctl(f"netfilter/nf_conntrack_{name}", value)
        # Load the rules before the bridge exists, so that no packet passes unfiltered.
        self._load()
        devices.join(filtered=self._family == "inet")

    def _load(self) -> None:
        text = content("ruleset.nft")
        if text != self._text:
            self._generation += 1
            self._family = self._family or _family()
            command(("nft", "-f", "-"), "nftables", completed(text, self._family, self._generation))
            self._text = text
        described = json.loads(content("rules.json"))
        for name in ("udp_timeout", "udp_timeout_stream"):  # before and after an answer
            devices.set_sysctl(f"netfilter/nf_conntrack_{name}", described["udp_timeout"])
        self._rules, self._default = described["rules"], described["default"]

    def replace(self) -> None:
        """Load a changed rule set; if this fails, continue with the old one and report the reason."""
        try:
            self._load()
        except Failed as reason:
            running(f"the changed rules were not taken: {reason}")
        else:
            running()

    def tell(self) -> None:
        """Report the packets that the rules log."""
        for logged in self._logged.read():
            number = int(logged.prefix)
            rule = self._rules[number] if number < len(self._rules) else {"name": "?", "action": "?"}
            packet = read(logged.data)
            seen = fields(packet) if packet is not None else {}
            if logged.device in self._names:
                seen["in_iface"] = self._names[logged.device]
            say("log", rule=rule["name"], action=rule["action"], **seen)

    def refuse(self) -> None:
        """Answer rejected packets, at the device from which they came."""
        for refused in self._refused.read():
            frame = refusal(refused.header, refused.data)
            end = self._ends.get(refused.device)
            if frame is not None and end is not None:
                with contextlib.suppress(OSError):  # a full queue, or a device that is down
                    end.send(frame)

    def count(self) -> None:
        """Report the counters; the counters of single rules less often if they take long to list."""
        counts: dict[str, Any] = dict(devices.counters())
        began = time.monotonic()
        listed = ["counters", "table", self._family, TABLE]
        whole = began >= self._next_listing
        if whole:
            listed = ["table", self._family, TABLE]
        try:
            ruleset = json.loads(command(("nft", "-j", "list", *listed), "nftables"))
        except (Failed, ValueError):
            return  # it is being replaced
        objects = {
            listed["counter"]["name"]: listed["counter"]
            for listed in ruleset["nftables"]
            if "counter" in listed
        }
        counts["dropped"] += objects["dropped"]["packets"]
        counts["invalid"] = objects["invalid"]["packets"]
        if whole:
            counts["rules"] = self._by_rule(ruleset["nftables"])
            self._next_listing = began + WHEN_LISTING_TAKES * (time.monotonic() - began)
        say("counters", **counts)

    def _by_rule(self, objects: list[dict[str, Any]]) -> dict[str, int]:
        """Connections that each rule decided, by the rule's name; ``default`` last."""
        counts = counts_by_comment(objects)
        named = {rule["name"]: counts.get(str(number), 0) for number, rule in enumerate(self._rules)}
        return {**named, "default": counts.get("default", 0)}

    @property
    def log_fds(self) -> tuple[int, int]:
        return self._logged.fileno(), self._refused.fileno()


def counts_by_comment(objects: list[dict[str, Any]]) -> dict[str, int]:
    """Packets by the comment of a rule or of a map's element. ``objects``: the output of ``nft -j list
    table``.

    The key is the number in a comment like ``3: web``.
    """
    counts: dict[str, int] = {}
    for entry in objects:
        rule = entry.get("rule")
        if rule is not None and "comment" in rule:
            packets = sum(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)
            key = rule["comment"].partition(":")[0]
            counts[key] = counts.get(key, 0) + packets
        for matched, _ in entry.get("map", {}).get("elem", ()):
            element = matched.get("elem", {}) if isinstance(matched, dict) else {}
            if "comment" in element:
                packets = element["counter"]["packets"]
                key = element["comment"].partition(":")[0]
                counts[key] = counts.get(key, 0) + packets
    return counts


def completed(text: str, family: str, generation: int) -> str:
    """The rule set for ``nft -f``: ``family`` is ``inet`` or ``bridge``; generations count modulo 2**30."""
    base = (generation % (1 << 30)) << 2
    for name, value in (("ACCEPTED", base + 1), ("DENIED", base + 2), ("REFUSED", base + 3)):
        text = text.replace(f"@{name}@", str(value))
    return text.replace("@FAMILY@", family)


def _family() -> str:
    """The family of tables that can track packets on a bridge here; raises ``Failed`` if there is none."""
    if devices.set_sysctl("bridge/bridge-nf-call-iptables", 1) and devices.set_sysctl(
        "bridge/bridge-nf-call-ip6tables", 1
    ):
        return "inet"
    probe = "table bridge sdnlab { chain probe { ct state new accept; }; }\ndelete table bridge sdnlab\n"
    try:
        command(("nft", "-f", "-"), "nftables", probe)
    except Failed as reason:
        if "there is no nft" in str(reason):
            raise
        raise Failed(REMEDY) from None
    return "bridge"


def _sender(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.bind((device, 0))
    return sock


def main() -> None:
    """Run until the standard input ends."""
    try:
        firewall = Firewall()
        firewall.start()
    except Failed as reason:
        fail(reason)
    except OSError as error:
        fail(f"this kernel can't log packets to a process (nfnetlink_log): {error}")
    running()
    loop = Loop()
    logged, refused = firewall.log_fds
    loop.watch(logged, firewall.tell)
    loop.watch(refused, firewall.refuse)
    loop.every(1.0, firewall.count)
    loop.run(firewall.replace)
