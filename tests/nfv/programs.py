"""Programs of functions as a topology would have them."""

from __future__ import annotations

from typing import Any

from nfv.contract import Program
from nfv.describe import describe
from topologies.model.attachment import Inline, Tap
from topologies.model.functions import Firewall, Ids, RateLimit, Script
from topologies.model.kinds import function_of
from topologies.model.topology import Topology

NOTHING = Topology(name="lab", domains=(), networks=(), switches=(), links=(), hosts=())


def program(kind: str, engine: str, **some: Any) -> Program:
    fields = {"name": "f", "kind": kind, "engine": engine, "attachment": Inline(switch="s1")} | some
    return describe(function_of(**fields), "f.1", NOTHING)


def bridge() -> Program:
    return program("bridge", "kernel")


def firewall(rules: Firewall) -> Program:
    return program("firewall", "nftables", firewall=rules)


def rate_limiter(bandwidth: int, burst: int = 65536) -> Program:
    return program("rate-limiter", "kernel", rate=RateLimit(bandwidth=bandwidth, burst=burst))


def python(source: str, packets: str = "bytes", on_failure: str = "closed") -> Program:
    script = Script(file="lesson.py", source=source, packets=packets)
    return program("python", "python", script=script, on_failure=on_failure)


def ids(rules: str, mode: str = "inline", engine: str = "builtin") -> Program:
    given = Ids(rules=rules, lines=(rules.count("\n") + 1,)) if rules else Ids(rules="")
    attached = {"inline": Inline, "tap": Tap}[mode]
    return program("ids", engine, attachment=attached(switch="s1"), ids=given)
