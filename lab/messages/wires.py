"""What the lab's API says of wires, and is asked to do to them."""

from __future__ import annotations

from typing import Literal

from typing_extensions import NotRequired, TypedDict


class WayState(TypedDict):
    """One direction of a wire, from end to end. ``does``: key of a topology file -> its value there."""

    source: str
    target: str
    does: dict[str, str]


class WireState(TypedDict):
    """A link, or the wire of a host. ``a``, ``b``: ``switch:port``, or the host. ``mtu`` in bytes.

    ``kind``: ``patch`` (ports of one Open vSwitch that are joined, without a device) or ``devices`` (a pair
    of veth devices). ``ways``: from ``a`` to ``b``, and back.
    """

    name: str
    a: str
    b: str
    up: bool
    mtu: int
    kind: Literal["patch", "devices"]
    ways: list[WayState]


class WireRequest(TypedDict):
    """``values``: key of a topology file -> its text, or ``none``. ``source``: only for frames from this
    end."""

    values: dict[str, str]
    source: NotRequired[str]


class WireChange(TypedDict):
    """``wire``: as it is now. ``changed``: False if it was so already. ``disrupts``: what it cost; ``notes``:
    errors after the change was complete."""

    wire: WireState
    changed: bool
    disrupts: str
    notes: list[str]
