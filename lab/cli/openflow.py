"""``sdnlab openflow``: the messages between switches and their controllers, decoded as they are sent."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from lab.cli import say
from lab.cli.common import Lab, choose, complete_switch, usage
from lab.failure import Exit, Failure, unknown


def openflow(
    switches: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SWITCH]...", help="Switches. Default: all of them.", autocompletion=complete_switch
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Listen until Ctrl-C.")] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", "-s", min=0.1, help="How long to listen without -f.")
    ] = 5.0,
    count: Annotated[
        int | None, typer.Option("--count", "-c", min=1, help="End after this number of messages.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--type", "-t", metavar="TYPE,...", help="Only these types, like packet_in,flow_mod."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="All fields, and what Open vSwitch says of the message.")
    ] = False,
    lab: Lab = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")] = False,
) -> None:
    """Show the OpenFlow messages between switches and their controllers: who sends what, in which order.

    's1 -> app' is sent by switch s1, 's1 <- app' to it, '--' by either end. Messages are shown from now on;
    nothing is recorded, and costs nothing, while nobody looks.

    Example: sdnlab openflow s1 -f

    Example: sdnlab openflow -f --type packet_in,flow_mod
    """
    from lab.access.client import Client, supervisor_pid
    from lab.cli import enter
    from lab.cli.rendering import openflow as render  # noqa: F401 - imported before the lab is entered

    chosen = choose(lab)
    controllers = {entry["name"]: entry["controller"] for entry in Client(chosen).get("/status")["switches"]}
    names = switches or [*controllers]
    for name in names:
        if name not in controllers:
            raise unknown("switch", name, [*controllers])
    wanted = frozenset(word.strip().upper() for word in only.split(",")) if only is not None else None
    if wanted is not None and not all(word.replace("_", "").isalnum() for word in wanted):
        raise usage(f"{only!r} names no types", "for example --type packet_in,flow_mod")
    look = _Look(controllers, wanted, count, verbose, json, None if follow else seconds)
    pid = supervisor_pid(chosen)
    enter.join(pid, chosen, network=False)
    places = enter.places()

    def child() -> NoReturn:
        sockets = {}
        for name in names:
            place = places.get(name, {})
            if "bridge" not in place:
                raise Failure(f"switch {name} is not there", "see: sdnlab status")
            sockets[name] = Path(place["ovs"]) / f"{place['bridge']}.snoop"
        look.show(sockets)
        os._exit(0)

    raise typer.Exit(enter.run(child))


class _Look:
    """What is shown, and how."""

    def __init__(
        self,
        controllers: dict[str, Any],
        wanted: frozenset[str] | None,
        count: int | None,
        verbose: bool,
        as_json: bool,
        seconds: float | None,
    ) -> None:
        self._controllers, self._wanted, self._count = controllers, wanted, count
        self._verbose, self._json, self._seconds = verbose, as_json, seconds

    def show(self, sockets: dict[str, Path]) -> None:
        """Show messages until the time, their number or the lab ends. Raises Failure."""
        from lab.cli.rendering import openflow as render
        from lab.openflow.snoop import NotThere, overhear

        until = None if self._seconds is None else time.monotonic() + self._seconds
        number = 0
        p = say.paint()
        try:
            for heard in overhear(sockets, until, again=self._seconds is None):
                if self._wanted is not None and heard.message.type not in self._wanted:
                    continue
                controller = self._controllers[heard.switch]
                if self._json:
                    say.out_json_line(render.for_programs(heard, controller))
                else:
                    say.out(render.line(heard, controller, p, self._verbose))
                    if self._verbose:
                        say.out(_in_full(heard.octets))
                number += 1
                if number == self._count:
                    return
        except NotThere as absent:
            remedy = "is it down? see: sdnlab status; -f waits until it is there"
            raise Failure(f"switch {absent} can't be listened to", remedy, Exit.FAILED) from None
        if self._seconds is not None and not self._json:
            say.err(f"{say.count(number, 'message')} in {self._seconds:g} s; -f shows more as they come")


def _in_full(octets: bytes) -> str:
    """What Open vSwitch's own decoder says of a message; empty without it."""
    program = shutil.which("ovs-ofctl", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        return ""
    done = subprocess.run(
        [program, "ofp-print", octets.hex()], capture_output=True, text=True, errors="replace", timeout=20
    )
    return "\n".join("    " + line for line in done.stdout.splitlines() if line.strip())


COMMANDS = {"openflow": openflow}
