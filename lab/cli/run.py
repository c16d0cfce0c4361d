"""Commands that start and stop labs: ``up``, ``down``, ``list``; ``demo`` and ``test``."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from lab.access import holders
from lab.cli import files
from lab.cli.common import Json, Lab, LabArgument, choose, one_of, usage
from lab.cli.say import can_overwrite, err, out, out_json, paint
from lab.cli.starting import Progress, sizes, start
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from lab.start.launch import Launched


_PRINT = 0.3
"""Seconds between two looks at what apps have written."""


class Datapath(str, Enum):
    """Open vSwitch's datapaths. ``auto`` chooses ``kernel`` where one can be made, else ``userspace``."""

    auto = "auto"
    kernel = "kernel"
    userspace = "userspace"


DATAPATH_HELP = "Open vSwitch's datapath; 'auto' chooses 'kernel' where there is the module openvswitch."


class Release(str, Enum):
    """Debian 12 and 13, of which ``test --in-vm`` makes a machine."""

    bookworm = "bookworm"
    trixie = "trixie"


class Check(str, Enum):
    """What ``up`` tests before the lab counts as up."""

    proof = "proof"
    all = "all"
    none = "none"


def up(
    file: files.File,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            "-n",
            help="The lab's name. Default: the topology's. With other names, one file can run several times.",
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Keep the lab running in the background.")
    ] = False,
    datapath: Annotated[Datapath, typer.Option(help=DATAPATH_HELP)] = Datapath.userspace,
    check: Annotated[
        Check,
        typer.Option(
            help="proof: prove all pairs of hosts by computation on the tables that the switches hold, and "
            "by packets that each host is reached and each link carries. all: all pairs by packets."
        ),
    ] = Check.proof,
    no_check: Annotated[bool, typer.Option("--no-check", help="The same as '--check none'.")] = False,
    app: Annotated[
        list[str] | None,
        typer.Option(
            "--app",
            metavar="FILE|MODULE",
            help="A Ryu app that controls all switches; it may be given several times. It is reloaded when "
            "its file changes.",
        ),
    ] = None,
    fix_py2: Annotated[
        bool,
        typer.Option(
            "--fix-py2", help="Run copies of apps of --app that are Python 2, converted to Python 3."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs; needs -d.")] = False,
) -> None:
    """Start the lab that a topology file describes.

    Without -d, Mininet's shell opens in the lab ('h1 ping h2', 'help'). The lab stops when you leave the
    shell.

    Exits 1 if some hosts don't reach each other, or a link does not carry. With -d the lab then keeps
    running, so that you can find out why. Where Ryu apps control switches, they decide who reaches whom,
    and it exits 0.

    Example: sdnlab up quickstart -d
    """
    if json and not detach:
        raise usage("--json needs -d", "without -d, 'up' ends in an interactive shell")
    if fix_py2 and not app:
        raise usage(
            "--fix-py2 needs --app", "in a file: controllers: {NAME: {apps: [FILE], options: [--fix-py2]}}"
        )
    begin = time.monotonic()
    progress = Progress(can_overwrite(sys.stderr))
    apps = _apps(app or [])
    how = Check.none if no_check else check
    launched = start(file, name, datapath.value, how.value, progress, apps, ["--fix-py2"] if fix_py2 else [])
    seconds = time.monotonic() - begin
    lab, probe = launched.building.name, launched.ready.probe
    reached = probe is None or probe["good"] or bool(probe.get("deciders"))
    for note in launched.notes:
        err(f"note: {note}")
    for note in launched.building.notes if not json else ():
        err(note)
    if detach:
        launched.detach()
    if json:
        out_json(
            {
                "name": lab,
                "seconds": seconds,
                "stages": progress.stages,
                "datapath": launched.ready.datapath,
                "probe": probe,
                "notes": list(launched.building.notes),
            }
        )
    else:
        say_up(launched, seconds)
    if not detach:
        _in_the_foreground(launched, lab)
    elif not json:
        option = "" if len(holders.running()) == 1 else f" --lab {lab}"
        out(f"next: sdnlab status {lab} · sdnlab exec HOST{option} -- ip address · sdnlab down {lab}")
    if not reached:
        raise typer.Exit(Exit.FAILED)


def _apps(named: Sequence[str]) -> list[str]:
    """The apps of ``--app``, files as absolute paths. Raises Failure for one that is not there."""
    from topologies.model.applications import is_module

    apps = [name if is_module(name) else str(Path(name).absolute()) for name in named]
    for name, app in zip(named, apps, strict=True):
        if not is_module(app) and not Path(app).is_file():
            raise usage(
                f"there is no file {name}", "name the file of a Ryu app, or a module like ryu.app.NAME"
            )
    return apps


def say_up(launched: Launched, seconds: float) -> None:
    """The lines that end a successful start."""
    from lab.cli.rendering import lab as render

    p = paint()
    ready = launched.ready
    head = f"{p(launched.building.name, 'bold')} is {p('up', 'green')} after {seconds:.2f} s"
    out(f"{head}: {sizes(launched)}, {ready.datapath} datapath")
    probe = ready.probe
    for line in ready.apps:
        out(line)
    for problem in ready.problems:
        out(f"{p('!', 'red', 'bold')} {problem}")
    for remark in launched.building.remarks if probe is None else ():
        out(f"note: {remark}")
    if probe is not None:
        out(render.ping_summary(probe, p))
        if probe.get("deciders"):
            return
        failed = [pair for pair in probe["pairs"] if pair["reached"] == bool(pair["policy"])]
        for pair in failed[:5]:
            why = f"reached, in spite of {pair['policy']}" if pair["reached"] else pair["reason"]
            out(f"  {pair['src']} -> {pair['dst']} IPv{pair['family']}: {why}")
        if len(failed) > 5:
            out(f"  … and {len(failed) - 5} more: sdnlab ping")
        problems = probe["proof"]["problems"] if "proof" in probe else []
        for problem in problems[:5]:
            out(f"  {problem}")
        if len(problems) > 5:
            out(f"  … and {len(problems) - 5} more")


def _in_the_foreground(launched: Launched, lab: str) -> None:
    from lab.cli.touch import open_shell

    printing = 0
    try:
        out("Mininet's shell; 'help' lists its commands, leaving it stops the lab")
        printing = _start_printing(lab, [line.partition(" ")[0] for line in launched.ready.apps])
        code = open_shell(lab)
    finally:
        if printing:
            os.kill(printing, signal.SIGKILL)
            os.waitpid(printing, 0)
        launched.stop()
        err(f"{lab} is stopped")
    if code:
        raise Failure(
            f"Mininet's shell ended with code {code}, and the lab with it",
            "with -d, the lab keeps running when a shell ends",
        )


def _start_printing(lab: str, names: Sequence[str]) -> int:
    """Let a process print what these controllers' apps write, while the shell is open; its id, or 0 for none.

    It is no thread: a process with several threads can't enter the lab's namespaces (setns(2)).
    """
    from linux import syscalls

    if not names:
        return 0
    pid = os.fork()
    if pid:
        return pid
    try:
        syscalls.hang_up_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _print_apps(lab, names)
    finally:
        os._exit(0)


def _print_apps(lab: str, names: Sequence[str]) -> None:
    from lab.access.client import Client

    api, after, rest = Client(lab), dict.fromkeys(names, 0), dict.fromkeys(names, "")
    while True:
        for name in names:
            part = api.get(f"/logs/more?log={quote(name, safe='')}&after={after[name]}")
            *whole, rest[name] = (rest[name] + part["text"]).split("\n")
            after[name] = part["end"]
            if whole:
                err("\n".join(f"{name} | {line}" for line in whole))
        time.sleep(_PRINT)


def down(
    name: LabArgument = None,
    lab: Lab = None,
    all_: Annotated[bool, typer.Option("--all", help="Stop all your labs.")] = False,
) -> None:
    """Stop a lab and remove all its parts. It works also if the lab hangs or is still starting.

    Example: sdnlab down quickstart
    """
    from lab.start.stop import stop

    named = one_of(name, lab)
    if all_ and named is not None:
        raise usage("give a name or --all, not both")
    names = _reserved() if all_ else [choose(named)]
    if not names:
        out("no lab is running")
    for lab_name in names:
        try:
            stop(lab_name)
        except Failure as failure:
            if failure.code != Exit.FAILED:  # FAILED: it ran a moment ago, and somebody else has stopped it
                raise
        out(f"{lab_name} is stopped")


def _reserved() -> list[str]:
    return holders.running()


def list_(json: Json = False) -> None:
    """List your labs that are running."""
    from dataplane.hosts.cgroups import remove_all_left
    from lab.access.client import Client, StillBuilding, supervisor_pid
    from lab.cli.rendering import lab as render

    remove_all_left()
    rows: list[dict[str, Any]] = []
    for name in holders.running():
        try:
            lab = Client(name, patience=0.0, timeout=2.0).get("/status")
            rows.append(
                {
                    "name": name,
                    "state": "running",
                    "file": lab["file"],
                    "switches": len(lab["switches"]),
                    "hosts": len(lab["hosts"]),
                    "started": lab["started"],
                    "troubles": lab["troubles"],
                    "pid": supervisor_pid(name),
                }
            )
        except StillBuilding as building:
            rows.append({"name": name, "state": "building", "detail": building.stage})
        except Failure as failure:
            if name in holders.running():
                rows.append({"name": name, "state": "silent", "detail": failure.what})
    if json:
        out_json(rows)
    else:
        out(render.labs(rows, paint(), time.time()) if rows else "no lab is running")


def demo(
    datapath: Annotated[Datapath, typer.Option(help=DATAPATH_HELP)] = Datapath.userspace,
) -> None:
    """Show what sdnlab does, in a few seconds.

    A small lab starts, loses a link and gets it back. Then a service chain starts, and its firewall is
    killed.
    """
    from lab.cli.demo import run
    from topologies import shipped

    raise typer.Exit(run(str(shipped.path("quickstart")), str(shipped.path("service-chain")), datapath.value))


def test(
    tiers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TIER]...",
            help="lint, unit, golden, conformance, properties, processes, switch, nfv, system: default. "
            "kernel: labs on Open vSwitch's kernel datapath.",
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="Write the results as JUnit XML into this folder.")
    ] = None,
    in_vm: Annotated[
        bool,
        typer.Option(
            "--in-vm",
            help="Instead, run the demo and the tier 'kernel' in a virtual machine made of Debian's "
            "packages (as root). It takes minutes with KVM; a quarter of an hour where QEMU must interpret.",
        ),
    ] = False,
    release: Annotated[
        Release | None, typer.Option(help="The machine's Debian: 12 (bookworm, the default) or 13 (trixie).")
    ] = None,
    shell: Annotated[
        Path | None,
        typer.Option(metavar="SOCKET", help="Have a shell of root in the machine, at this Unix socket."),
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="In the machine, only the demo as root and ten tests.")
    ] = False,
    bench: Annotated[
        bool,
        typer.Option(
            "--bench", help="Measure labs on the kernel's datapath in the machine, instead of testing them."
        ),
    ] = False,
) -> None:
    """Run sdnlab's own tests: linters, types, import contracts, and every tier that this machine allows.

    Prints which tests are skipped, and why. Exits 0 if no test fails.

    Example: sdnlab test lint unit
    """
    from lab.cli.selftest import run, run_in_machine

    if in_vm:
        if tiers or junit:
            raise usage("--in-vm runs its own tests", "leave the tiers and --junit out")
        if short and bench:
            raise usage("--short and --bench exclude each other", "choose one of them")
        what = "short" if short else "bench" if bench else "tests"
        raise typer.Exit(run_in_machine((release or Release.bookworm).value, shell, what))
    if release or shell or short or bench:
        remedy = "sdnlab test --in-vm --release trixie"
        raise usage("--release, --shell, --short and --bench belong to --in-vm", remedy)
    raise typer.Exit(run(tiers or [], junit))


COMMANDS = {
    "up": up,
    "down": down,
    "list": list_,
    "demo": demo,
    "test": test,
}
