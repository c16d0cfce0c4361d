"""The text of ``sdnlab openflow``: one line for each message."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lab.cli.say import Paint
from lab.openflow.snoop import Overheard
from lab.openflow.types import VERSIONS
from lab.terminal import one_line

_DETAILS = frozenset(
    ("cookie", "buffer", "flags", "total_length", "mac", "miss_send_len", "buffers", "octets", "seconds")
)
"""Fields that only ``-v`` shows."""
_BARE = frozenset(("command", "kind", "error", "control"))
"""Fields whose value says what they are."""
_COLOURS = {"FLOW_MOD": "green", "PACKET_IN": "cyan", "PACKET_OUT": "cyan", "ERROR": "red"}


def line(heard: Overheard, controller: str, paint: Paint, whole: bool = False) -> str:
    """``10:16:09.859  s1 -> app  PACKET_IN  in_port=1 reason=no match · ARP who has ...``.

    ``controller``: the name of the switch's controller. ``whole``: with all fields.
    """
    message = heard.message
    clock = datetime.fromtimestamp(heard.at).strftime("%H:%M:%S.%f")[:-3]
    arrow = {True: "->", False: "<-", None: "--"}[message.from_switch]
    version = VERSIONS.get(message.version, f"{message.version:#x}")
    kind = paint(f"{message.type:<12}", *filter(None, [_COLOURS.get(message.type)]))
    head = (
        f"{paint(clock, 'dim')}  {heard.switch} {arrow} {controller}  {version}  {kind}  xid={message.xid:#x}"
    )
    shown = {name: value for name, value in message.fields.items() if whole or name not in _DETAILS}
    parts = [head, fields(shown)]
    if message.packet:
        parts.append(f"· {one_line(message.packet)}")
    if message.problem:
        parts.append(paint(f"! {one_line(message.problem)}", "red"))
    return "  ".join(filter(None, parts))


def fields(values: Mapping[str, object]) -> str:
    """``ADD table=0 priority=1 match[in_port=1,eth_dst=...] actions=output:2``."""
    parts = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            parts.append(f"{name}[{','.join(f'{key}={text}' for key, text in value.items())}]")
        elif name in _BARE:
            parts.append(str(value))
        elif isinstance(value, list):
            parts.append(f"{name}={_listed(value) or 'drop'}")
        else:
            parts.append(name if value is True else f"{name}={value}")
    if values.get("command") == "ADD" and "priority" in values and not _does(values):
        parts.append("actions=drop")
    return one_line(" ".join(parts))


def _does(values: Mapping[str, object]) -> bool:
    return any(name in values for name in ("actions", "write_actions", "goto_table"))


def _listed(value: list[Any]) -> str:
    if any(isinstance(part, list) for part in value):
        return " ".join(f"({','.join(map(str, part)) or 'drop'})" for part in value)
    return ",".join(map(str, value))


def for_programs(heard: Overheard, controller: str) -> dict[str, Any]:
    """The message as an object."""
    message = heard.message
    sides = {True: (heard.switch, controller), False: (controller, heard.switch), None: (None, None)}
    sender, receiver = sides[message.from_switch]
    return {
        "time": heard.at,
        "switch": heard.switch,
        "controller": controller,
        "from": sender,
        "to": receiver,
        "version": VERSIONS.get(message.version, str(message.version)),
        "type": message.type,
        "xid": message.xid,
        "length": message.length,
        "fields": dict(message.fields),
        "packet": message.packet,
        "problem": message.problem,
    }
