"""How each verb is carried out: by frames, all in one loop, or by an action of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.checks import commands, failing, measuring, passing, reachability, sending, services, watching
from lab.checks.explaining import Explain
from lab.checks.judgement import Judgement
from lab.checks.probes import Outcome, Probe, Signs
from lab.checks.room import Visit
from lab.checks.ways import Ways
from topologies.model.checks import Check


@dataclass(frozen=True)
class ByFrames:
    """Sends frames and sees what becomes of them. The probes of all checks run in one loop."""

    plan: Callable[[Check, Ways], list[Probe]]
    judge: Callable[[Check, Sequence[Probe], Sequence[Outcome], Signs, Ways, Explain], Judgement]


@dataclass(frozen=True)
class ByAction:
    """Does something, in a thread of its own. It retries until the check's time is over."""

    act: Callable[[Any, Visit], Judgement]


_FRAMES = ByFrames(reachability.plan, reachability.judge)
VERBS: dict[str, ByFrames | ByAction] = {
    "reachable": _FRAMES,
    "blocked": _FRAMES,
    "tcp": _FRAMES,
    "isolated": _FRAMES,
    "command": ByAction(commands.act),
    "http": ByAction(services.http_act),
    "dns": ByAction(services.dns_act),
    "latency": ByAction(measuring.latency_act),
    "rate": ByAction(measuring.rate_act),
    "balanced": ByAction(measuring.balanced_act),
    "traverses": ByAction(passing.traverses_act),
    "avoids": ByAction(passing.avoids_act),
    "encapsulated": ByAction(passing.encapsulated_act),
    "flow": ByAction(watching.flow_act),
    "alerts": ByAction(watching.alerts_act),
    "packet": ByAction(sending.packet_act),
    "survives": ByAction(failing.survives_act),
}
"""Verb -> how its checks are carried out. A registry: see ``topologies.model.checks``."""
