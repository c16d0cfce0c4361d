"""Finds a link by its two ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.failure import Exit, Failure, unknown

if TYPE_CHECKING:
    from lab.messages.lab import Status


def link_between(status: Status, links: dict[str, bool], a: str, b: str) -> str:
    """The name of the link or wire between ``a`` and ``b``; Failure when there is none, or several."""
    ends = {frozenset((a, b))}
    under = status["underlay"]
    names = [
        link["name"]
        for link in (under["links"] if under is not None else ())
        if frozenset((link["a"], link["b"])) in ends
    ]
    names += [
        link["name"]
        for link in status["links"]
        if frozenset((link["a"].rpartition(":")[0], link["b"].rpartition(":")[0])) in ends
    ]
    for host in status["hosts"]:
        if frozenset((host["name"], host["switch"])) in ends:
            names += [name for name in (f"{host['name']}-{host['switch']}",) if name in links]
    if len(names) == 1:
        return names[0]
    if names:
        what = f"there are {len(names)} links between {a} and {b}"
        raise Failure(what, f"name one of them: {', '.join(names)}", Exit.USAGE)
    known = {entry["name"] for entry in (*status["switches"], *status["hosts"])}
    if under is not None:
        known |= {*under["routers"], *(vtep["domain"] for vtep in under["vteps"])}
    for name in (a, b):
        if name not in known:
            raise unknown("switch or host", name, sorted(known), where=" in this lab")
    near = [
        link["name"]
        for link in status["links"]
        if a in (link["a"].rpartition(":")[0], link["b"].rpartition(":")[0])
    ]
    raise Failure(f"there is no link between {a} and {b}", f"{a} has: {', '.join(near)}" if near else "")
