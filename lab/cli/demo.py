"""``sdnlab demo``: starts, tests and stops two labs."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lab.access import holders
from lab.access.client import Client, supervisor_pid
from lab.access.remains import remains, spaces
from lab.cli import demo_chain
from lab.cli.expected import joined_pairs
from lab.cli.rendering import lab as render
from lab.cli.say import can_overwrite, milliseconds, out, paint
from lab.cli.starting import Progress, sizes, start
from lab.failure import Exit
from lab.messages.lab import PingResult
from lab.views.links import link_between


def run(file: str, chain: str, datapath: str = "userspace") -> int:
    """Run it with the topology ``file``, then with ``chain``, a service chain; the exit code."""
    p = paint()
    good = _part(file, 1, datapath, _show)
    out("")
    good = _part(chain, 5, datapath, lambda lab: demo_chain.show(lab, 6, _indent)) and good
    out("")
    out(p("the demo passed", "green", "bold") if good else p("the demo FAILED", "red", "bold"))
    out("next:  sdnlab up quickstart   (the same lab, with a shell)      sdnlab --help")
    return Exit.OK if good else Exit.FAILED


def _part(file: str, step: int, datapath: str, show: Callable[[str], bool]) -> bool:
    """Start a lab, run ``show`` on it, and stop it; the steps count from ``step``."""
    p = paint()
    name = _free_name("demo")
    begin = time.monotonic()
    out(f"{p(str(step), 'bold')}  start {Path(file).name}")
    launched = start(file, name, datapath, "proof", Progress(can_overwrite(sys.stderr)))
    ready = launched.ready
    with contextlib.ExitStack() as kept:
        try:
            seconds = time.monotonic() - begin
            out(f"   {p('up', 'green')} after {seconds:.2f} s: {sizes(launched)}, {ready.datapath} datapath,")
            out(f"   {ready.flows} flows installed by the controller before the first packet")
            good = show(name)
            held = kept.enter_context(spaces(supervisor_pid(name)))
        finally:
            begin = time.monotonic()
            launched.stop()
        took = milliseconds(time.monotonic() - begin)
        left = remains(name, held)
    out(f"{p(str(step + (3 if step == 1 else 4)), 'bold')}  stop")
    if left:
        out(p(f"   stopped after {took} ms; left behind: {', '.join(left)}", "red"))
    else:
        out(f"   gone after {took} ms; no process, no mount and no address of it is left")
    return good and not left


def _show(lab: str) -> bool:
    p = paint()
    api = Client(lab)
    out(f"{p('2', 'bold')}  does every host reach every other?  (sdnlab ping)")
    first = api.post("/ping", {})
    out(_indent(render.ping(first, p)))
    status = api.get("/status")
    cut = status["links"][0]
    a, b = cut["a"].rpartition(":")[0], cut["b"].rpartition(":")[0]
    out(f"{p('3', 'bold')}  cut the link between {a} and {b}, and mend it  (sdnlab link down {a} {b})")
    name = link_between(status, api.get("/links"), a, b)
    api.post(f"/links/{name}", {"up": False})
    broken: PingResult = api.post("/ping", {"timeout": 2.0})
    joined = joined_pairs(api.get("/status"))
    out(_indent(f"cut:    {render.ping_summary(broken, p)}"))
    api.post(f"/links/{name}", {"up": True})
    mended: PingResult = api.post("/ping", {"timeout": 2.0})
    out(_indent(f"mended: {render.ping_summary(mended, p)}"))
    if broken["reached"] != joined:
        out(_indent(p(f"{joined} pairs were joined by links while it was cut", "red")))
    exact = broken["reached"] == joined < broken["total"] and mended["reached"] == mended["total"]
    return bool(first["good"] and exact)


def _free_name(wanted: str) -> str:
    names = holders.running()
    name, number = wanted, 1
    while name in names:
        number += 1
        name = f"{wanted}-{number}"
    return name


def _indent(text: str) -> str:
    return "\n".join("   " + line if line else "" for line in text.splitlines())
