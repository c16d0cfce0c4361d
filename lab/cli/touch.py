"""Commands that act inside a lab: ``exec``, ``shell``, ``ping``, ``link``, ``switch``, ``controller``."""

from __future__ import annotations

import math
from enum import Enum
from itertools import takewhile
from typing import Annotated, Any
from urllib.parse import quote

import typer

from lab.cli.common import (
    Json,
    Lab,
    LabArgument,
    NewDomain,
    SwitchThere,
    choose,
    client,
    complete_end,
    complete_host,
    complete_place,
    complete_switch,
    one_of,
    usage,
)
from lab.cli.copy import copy
from lab.cli.say import err, out, out_json, paint
from lab.cli.waiting import TIMEOUT, probed
from lab.failure import Exit, unknown
from lab.views.links import link_between


class Wanted(str, Enum):
    """The wanted state of a link or switch."""

    up = "up"
    down = "down"


class OfLink(str, Enum):
    """What to do to a link."""

    up = "up"
    down = "down"
    set = "set"
    show = "show"


def exec_(
    host: Annotated[
        str,
        typer.Argument(
            metavar="HOST",
            help="A host, switch, function's instance (fw.1), domain or underlay router.",
            autocompletion=complete_place,
        ),
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND...", help="The command and its arguments. Default: a shell."),
    ] = None,
    lab: Lab = None,
) -> None:
    """Run a command in a host, or open a shell there.

    In a host: sdnlab exec h1 -- ping -c 2 h2

    In a switch, use Open vSwitch's tools: sdnlab exec s1 -- ovs-ofctl -O OpenFlow15 dump-flows s1

    In a function, look at its parts: sdnlab exec fw.1 -- nft list ruleset

    Exits with the command's own code; with 128 + N if signal N ended it; with 127 if there is no such
    command.
    """
    from lab.access.client import supervisor_pid
    from lab.cli import enter

    name = choose(lab)
    pid = supervisor_pid(name)
    words = list(command or ())
    words = words[1:] if words[:1] == ["--"] else words
    raise typer.Exit(enter.run_in(name, pid, host, words))


def shell(name: LabArgument = None, lab: Lab = None) -> None:
    """Open Mininet's shell in a running lab ('h1 ping h2', 'pingall', 'help').

    The lab keeps running when you leave the shell.
    """
    raise typer.Exit(open_shell(choose(one_of(name, lab))))


def open_shell(lab: str) -> int:
    """Mininet's shell in ``lab``, until the user leaves it; its exit code."""
    from lab.access.client import supervisor_pid
    from lab.cli import enter

    return enter.run_shell(lab, supervisor_pid(lab))


def ping(
    src: Annotated[
        str | None,
        typer.Argument(
            metavar="[SRC]", help="The host that sends. Default: all pairs.", autocompletion=complete_host
        ),
    ] = None,
    dst: Annotated[
        str | None,
        typer.Argument(metavar="[DST]", help="The host that answers.", autocompletion=complete_host),
    ] = None,
    lab: Lab = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=600.0,
            help="Seconds to wait for answers, from the first frame on. Default: depends on the number of "
            "pairs.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Test with real frames which hosts reach each other, over IPv4 and IPv6.

    In a network of more than 45 hosts, all pairs are tested over IPv4, and over IPv6 each host to the next
    one.

    Times are in milliseconds; if both IPv4 and IPv6 work, the longer time is shown. Exits 1 if a pair is not
    reached that should be, or if a pair is reached that a firewall of the file should block.

    Example: sdnlab ping h1 h2
    """
    from lab.cli.rendering import lab as render

    if (src is None) != (dst is None):
        raise usage("name two hosts, or none", "sdnlab ping h1 h2")
    if timeout is not None and math.isnan(timeout):  # no range check refuses NaN
        raise usage("--timeout nan is not a number of seconds", "allowed: 0.1 to 600 (seconds)")
    request: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
    if json:
        request["detail"] = "all"
    if src is not None:
        request["pairs"] = [(src, dst)]
    api = client(lab, timeout=None)
    result = probed(api, lambda: client(api.name, timeout=TIMEOUT), request)
    if json:
        out_json(result)
    else:
        out(render.ping(result, paint()))
    if not result["good"] or (src is not None and result["reached"] != result["total"]):
        raise typer.Exit(Exit.FAILED)


def link(
    wanted: Annotated[
        OfLink,
        typer.Argument(
            metavar="up|down|set|show",
            help="down: cut it; up: repair it; set: change what it does to traffic; show: tell it.",
        ),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[A] [B] [KEY=VALUE]...",
            help="The switches or hosts at its ends, or its name (s1-s2, or s1-s2#2 of parallel links); for "
            "set, keys of a topology file: bandwidth, delay, jitter, loss, reorder, duplicate, corrupt, "
            "queue, mtu. 'none' takes an effect away.",
            autocompletion=complete_end,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="END", help="set: only for frames from this end.", autocompletion=complete_end
        ),
    ] = None,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Cut a link, repair it, or change what it does to traffic while packets flow.

    Examples: sdnlab link down s1 s2, sdnlab link set s1 s2 delay=20ms loss=1%, sdnlab link show s1-s2
    """
    from lab.cli.rendering import wires as render

    given = list(words or ())
    ends = list(takewhile(lambda word: "=" not in word, given))
    values = given[len(ends) :]
    if len(ends) > 2 or (not ends and wanted is not OfLink.show):
        raise usage("name the two ends of a link, or the link", f"sdnlab link {wanted.value} s1 s2")
    if (values or source is not None) and wanted is not OfLink.set:
        raise usage(f"link {wanted.value} changes nothing else", "sdnlab link set s1 s2 delay=20ms")
    if wanted is OfLink.set and not values:
        raise usage("say what to set", "sdnlab link set s1 s2 delay=20ms loss=1%")
    if plain := [word for word in values if "=" not in word]:
        raise usage(f"'{plain[0]}' is not KEY=VALUE", "sdnlab link set s1 s2 delay=20ms loss=1%")
    api = client(lab)
    name = ends[0] if len(ends) == 1 else ""
    if len(ends) == 2:
        name = link_between(api.get("/status"), api.get("/links"), ends[0], ends[1])
    if wanted is OfLink.show:
        states = api.get("/wires")
        known = [state["name"] for state in states]
        if name and name not in known:
            raise unknown("link", name, known)
        shown = [state for state in states if name in ("", state["name"])]
        out_json(shown) if json else out(render.wires(shown, paint()))
    elif wanted is OfLink.set:
        pairs = dict(word.split("=", 1) for word in values)
        request = {"values": pairs} | ({"source": source} if source is not None else {})
        answer = api.post(f"/wires/{quote(name, safe='')}", request)
        if json:
            out_json(answer)
            return
        out(render.wires([answer["wire"]], paint()))
        for note in answer["notes"]:
            err(f"note: {note}")
    else:
        up = wanted is OfLink.up
        _change(api.post(f"/links/{quote(name, safe='')}", {"up": up}), "link", json)


def move(
    host: Annotated[str, typer.Argument(metavar="HOST", help="The host.", autocompletion=complete_host)],
    domain: NewDomain,
    switch: SwitchThere = None,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Move a host to another domain while the lab runs. The host keeps its addresses and stays reachable.

    Example: sdnlab move blue1 d2
    """
    answer = client(lab).post(f"/hosts/{quote(host, safe='')}/move", {"domain": domain, "switch": switch})
    if json:
        out_json(answer)
    elif answer["changed"]:
        out(
            f"{host} moved from {answer['source']} to {answer['target']} (domain {domain}) "
            f"in {answer['seconds']:.2f} s"
        )
    else:
        out(f"{host} is on {answer['target']} already")


def switch(
    wanted: Annotated[Wanted, typer.Argument(metavar="up|down", help="down: switch it off; up: on again.")],
    name: Annotated[
        str, typer.Argument(metavar="SWITCH", help="The switch.", autocompletion=complete_switch)
    ],
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Switch a whole switch off, with all its links, or on again.

    Example: sdnlab switch down s1
    """
    _change(
        client(lab).post(f"/switches/{quote(name, safe='')}", {"up": wanted is Wanted.up}), "switch", json
    )


def controller(
    action: Annotated[str, typer.Argument(metavar="restart", help="The word 'restart'.")],
    lab: Lab = None,
) -> None:
    """Restart the controller. The switches keep forwarding, and get only the flows that differ.

    Example: sdnlab controller restart
    """
    if action != "restart":
        raise usage(f"the controller can't {action}", "sdnlab controller restart")
    client(lab).post("/controller/restart")
    out("the controller is restarted; see: sdnlab events")


def _change(answer: dict[str, Any], kind: str, json: bool) -> None:
    if json:
        out_json(answer)
        return
    state = paint()("up", "green") if answer["up"] else paint()("down", "red")
    out(f"{kind} {answer['name']} is {state}" + ("" if answer["changed"] else " already"))
    if answer.get("note"):
        err(f"note: {answer['note']}")


COMMANDS = {
    "copy": copy,
    "exec": exec_,
    "shell": shell,
    "ping": ping,
    "link": link,
    "move": move,
    "switch": switch,
    "controller": controller,
}
