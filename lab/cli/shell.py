"""Mininet's shell in a running lab, with the lab's own commands beside Mininet's.

Its process has entered the sandbox's mount and PID namespaces, but stays in the caller's network namespace,
where the lab's API is.  The shells of nodes enter their own namespaces.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from lab.access.client import Client
from lab.cli.wording import action_first
from lab.failure import Failure, Interrupted
from lab.naming import RUN
from topologies.model.topology import Topology

OURS = ("status", "flows", "groups", "events", "logs", "controller")
"""Commands of the command line that the shell has, too; ping, link and switch accept both forms."""


def main(lab: str) -> NoReturn:
    """Run the shell until its user leaves it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what Mininet's shell is made for
    os.environ["SDNLAB"] = lab
    api = Client(lab)
    topology = Topology.model_validate(api.get("/topology"))

    from mininet.log import setLogLevel

    from dataplane.mininet_view.net import LabNet, LabSwitch
    from lab.cli.mininet_shell import SafeCLI

    LabSwitch.isSetup = True  # Mininet would look for the whole machine's Open vSwitch

    def set_link(name: str, up: bool) -> None:
        command("link", ["up" if up else "down", name])

    def set_switch(name: str, up: bool) -> None:
        command("switch", ["up" if up else "down", name])

    class Shell(SafeCLI):
        prompt = f"{lab}> "

        def do_ping(self, line: str) -> None:
            """ping [SRC DST]: test with real frames which hosts reach each other. Default: all pairs."""
            command("ping", line.split())

        def do_pingall(self, line: str) -> None:
            """pingall: test all pairs."""
            command("ping", [])

        do_pingallfull = do_pingall

        def do_pingpair(self, _line: str) -> None:
            """pingpair: test the first two hosts."""
            names = [host.name for host in net.hosts[:2]]
            command("ping", names if len(names) == 2 else [])

        do_pingpairfull = do_pingpair

        def do_link(self, line: str) -> None:
            """link up|down A B, or in Mininet's form: link A B up|down."""
            command("link", action_first("link", line.split()))

        def do_switch(self, line: str) -> None:
            """switch up|down S, or in Mininet's form: switch S start|stop."""
            command("switch", action_first("switch", line.split()))

    for name in OURS:
        setattr(Shell, f"do_{name}", _delegate(name))
    setLogLevel("output")
    net: Any = LabNet.attach(topology, RUN, set_link, set_switch, lambda: dict(api.get("/links")))
    if sys.stdin is None:  # closed by the caller
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        Shell(net)
    finally:
        net.stop()
    sys.stdout.flush()
    os._exit(0)


def _delegate(name: str) -> Any:
    def run(_self: Any, line: str) -> None:
        command(name, line.split())

    run.__doc__ = f"{name}: like 'sdnlab {name}'; '{name} --help' says more."
    return run


def command(name: str, arguments: Sequence[str]) -> None:
    """Run a command of the command line in this process. A failure is printed, and the shell continues."""
    from lab.cli import report
    from lab.cli.app import build
    from lab.cli.say import ReaderGone

    try:
        build(name)([name, *arguments], prog_name="sdnlab")
    except Failure as failure:
        report(failure)
    except (SystemExit, Interrupted, KeyboardInterrupt, ReaderGone):
        pass
