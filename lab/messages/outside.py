"""What the API tells about the ways out of a lab."""

from __future__ import annotations

from typing_extensions import TypedDict


class PublishedState(TypedDict):
    """A TCP port of the machine's 127.0.0.1 that leads to a host; ``target`` as in the file."""

    port: int
    host: str
    to: int
    target: str


class WayState(TypedDict):
    """The way out of a network. ``gateway``: the host that is its gateway; ``open``: hosts get out, otherwise
    there is only what is published. ``pid``: the user-space stack's process inside the lab, 0 while there is
    none: ``trouble`` says why. ``restarts``: how often it ended by itself."""

    network: str
    gateway: str
    open: bool
    running: bool
    pid: int
    restarts: int
    trouble: str
    published: list[PublishedState]
