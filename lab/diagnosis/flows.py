"""What switches say of their flows and ports, in the form of ovs-ofctl(8), as values. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple


class Flow(NamedTuple):
    """A flow. ``outputs``: the ports to which it sends, numbers and names; ``tables``, ``groups``: where it
    leads; ``in_port``: the port that it matches, or empty."""

    table: int
    priority: int
    packets: int
    match: str
    actions: str
    outputs: tuple[str, ...]
    tables: tuple[int, ...]
    groups: tuple[int, ...]
    in_port: str

    def __str__(self) -> str:
        return f"table={self.table},priority={self.priority}{',' if self.match else ''}{self.match}"


class Count(NamedTuple):
    """Packets that a port has received and sent."""

    received: int
    sent: int


_FLOW = re.compile(r"^\s*cookie=\S+, (?:.*?\b)?actions=(?P<actions>.*)$")
_FIELD = re.compile(r"\b(table|n_packets|priority)=(\d+)")
_KNOWN = frozenset(
    ("cookie", "duration", "table", "n_packets", "n_bytes", "idle_timeout", "hard_timeout", "idle_age",
     "hard_age", "priority", "importance", "send_flow_rem", "check_overlap", "reset_counts",
     "no_packet_counts", "no_byte_counts")
)  # fmt: skip
_OUTPUT = re.compile(r"(?:^|[,(])(?:output:)([A-Za-z_]+|\d+)")
_TABLE = re.compile(r"(?:goto_table:|resubmit\([^,()]*,)(\d+)")
_GROUP = re.compile(r"(?:^|[,(])group:(\d+)")
_ENQUEUE = re.compile(r"(?:^|[,(])enqueue:(\d+)")
_IN_PORT = re.compile(r"(?:^|,)in_port=([^,]+)")
_PORT = re.compile(r"^\s*port\s+\"?([^:\"]+)\"?:\s*rx pkts=(\d+|\?)")
_SENT = re.compile(r"^\s*tx pkts=(\d+|\?)")
_GROUP_LINE = re.compile(r"\bgroup_id=(\d+)")


def flows(text: str) -> list[Flow]:
    """The flows of ``ovs-ofctl dump-flows``, with other lines left out."""
    some = []
    for line in text.splitlines():
        if _FLOW.match(line) is None:
            continue
        head, _, actions = line.strip().partition(" actions=")
        numbers = dict(_FIELD.findall(head))
        words = [word for word in re.split(r"[,\s]+", head) if word]
        match = ",".join(word for word in words if word.partition("=")[0] not in _KNOWN)
        port = _IN_PORT.search(match)
        some.append(
            Flow(
                int(numbers.get("table", 0)),
                int(numbers.get("priority", 32768)),
                int(numbers.get("n_packets", 0)),
                match,
                actions.strip(),
                tuple(_OUTPUT.findall(actions) + _ENQUEUE.findall(actions)),
                tuple(int(number) for number in _TABLE.findall(actions)),
                tuple(int(number) for number in _GROUP.findall(actions)),
                port[1].strip('"') if port is not None else "",
            )
        )
    return some


def group_numbers(text: str) -> frozenset[int]:
    """The groups of ``ovs-ofctl dump-groups``."""
    return frozenset(int(number) for number in _GROUP_LINE.findall(text))


def counts(text: str) -> dict[int, Count]:
    """The ports of ``ovs-ofctl dump-ports`` by number; those without one, as LOCAL, are left out."""
    ports: dict[int, Count] = {}
    number, received = -1, 0
    for line in text.splitlines():
        if (port := _PORT.match(line)) is not None:
            number = int(port[1]) if port[1].strip().isdigit() else -1
            received = int(port[2]) if port[2] != "?" else 0
        elif (sent := _SENT.match(line)) is not None and number >= 0:
            ports[number] = Count(received, int(sent[1]) if sent[1] != "?" else 0)
    return ports
