"""The application: its help, and the commands' modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from lab.cli.wording import corrected

_HELP = """A lab for software-defined networking: describe a network in a file, start it, test it, break it.

[bold]First steps[/bold]

    sdnlab demo                    watch two small labs start, fail and recover
    sdnlab topologies              list the labs that come with sdnlab
    sdnlab up quickstart           start one of them
    sdnlab up my/lab.yaml -d       start your own, in the background
    sdnlab up quickstart --app x.py  with your own Ryu app as its controller

    sdnlab generate fat-tree 4     write the topology file of a well-known shape
    sdnlab convert lab.conf        read Kathará, containerlab, MiniEdit, netlab
    sdnlab verify my/lab.yaml      prove that it does what it should, with any link cut
    sdnlab mininet topo.py         run a Mininet script, without root
    sdnlab ids --pcap FILE         inspect a capture with Suricata rules
    sdnlab ryu-manager my_app.py   run Ryu applications, unmodified
    sdnlab image list              show images of virtual machines
    sdnlab draw campus             draw a topology as campus.svg

[bold]From any terminal, while a lab runs[/bold]

    sdnlab status                  show switches, hosts, links
    sdnlab doctor                  find out why the lab does not do what you expect
    sdnlab exec h1 -- ping h2      run a command in a host
    sdnlab copy FILE h1:/tmp/      copy files to and from hosts
    sdnlab ping                    test whether all hosts reach each other
    sdnlab check                   test what the topology file says must hold
    sdnlab link down s1 s2         cut a link; 'link up' repairs it
    sdnlab flows s1                show the flows of a switch, and their reasons
    sdnlab top                     show what hosts use, live
    sdnlab overlay                 show tunnels between domains, and their traffic
    sdnlab capture d1-r1           show packets on a link, also inside tunnels
    sdnlab app                     show your own Ryu apps, and reach their HTTP
    sdnlab openflow s1 -f          show OpenFlow messages of a switch as they come
    sdnlab trace h1 h2 --tcp 80    show the way of a packet, flow by flow
    sdnlab scapy                   send and sniff packets as any host, with scapy
    sdnlab move h1 d2              move a host to another domain
    sdnlab vm pause v1             pause, stop, start, reset a virtual machine
    sdnlab snapshot save v1 one    save its state; 'restore' returns to it
    sdnlab migrate v1 d2           move it to another domain while it runs
    sdnlab report                  test everything, and write report.html about it
    sdnlab functions               show firewalls, balancers and their health
    sdnlab chains                  show service chains, hop by hop
    sdnlab test-lab my/tests       run your own packet tests, as pytest files
    sdnlab apply my/lab.yaml       change the lab to what the file says now
    sdnlab save > x.yaml           write the lab as it is now as a file
    sdnlab down                    stop the lab; nothing is left behind

If several labs run, name one with --lab NAME, or set $SDNLAB.
'sdnlab help COMMAND' explains a command."""

_EPILOG = (
    "Exit codes: 0 success; 1 the answer is negative (a host is unreachable, a file is invalid, there is no "
    "such lab); 2 the command line is wrong; 3 this machine lacks something; 4 the lab ended meanwhile; "
    "130 Ctrl-C. 'exec' exits with the command's own code, or 127 if there is no such command. "
    "With --json, a failure is an object with the error, the remedy and the code."
)

_PANELS = {
    "Start and stop": ("lab.cli.run", ("up", "down", "list", "demo")),
    "Look at a lab": ("lab.cli.look", ("status", "overlay", "flows", "groups", "events", "logs")),
    "Look at hosts": ("lab.cli.top", ("top",)),
    "Functions and chains": ("lab.cli.service", ("functions", "chains", "function", "scale")),
    "Storage": ("lab.cli.volume", ("volume",)),
    "Prove a lab": ("lab.cli.check", ("check",)),
    "Look at packets": ("lab.cli.capture", ("capture",)),
    "Find out why": ("lab.cli.doctor", ("doctor",)),
    "Your own controllers": ("lab.cli.apps", ("app",)),
    "Look at messages": ("lab.cli.openflow", ("openflow",)),
    "Follow a packet": ("lab.cli.trace", ("trace",)),
    "Send packets": ("lab.cli.scapy_shell", ("scapy",)),
    "Act in a lab": (
        "lab.cli.touch",
        ("exec", "copy", "shell", "ping", "link", "move", "switch", "controller"),
    ),
    "Change a lab": ("lab.cli.service", ("apply",)),
    "Without a lab": ("lab.cli.ids", ("ids",)),
    "Other tools' scripts": ("lab.cli.mininet_script", ("mininet",)),
    "Virtual machines in a lab": ("lab.cli.machine", ("vm", "console", "screen")),
    "Virtual machines": ("lab.cli.image", ("image",)),
    "States of virtual machines": ("lab.cli.machine_states", ("snapshot", "export", "migrate")),
    "Topology files": ("lab.cli.files", ("topologies", "validate", "graph", "schema")),
    "Write topology files": ("lab.cli.making", ("generate", "save")),
    "Files of other tools": ("lab.cli.convert", ("convert",)),
    "Pictures": ("lab.cli.draw", ("draw",)),
    "Reports": ("lab.cli.reporting", ("report",)),
    "Your own tests": ("lab.cli.course_tests", ("test-lab",)),
    "Topology files, proven": ("lab.cli.verifying", ("verify",)),
    "Ryu applications": ("lab.cli.ryu_manager", ("ryu-manager",)),
    "This installation": ("lab.cli.run", ("test",)),
}
_SETTINGS: dict[str, dict[str, Any]] = {
    "exec": {"ignore_unknown_options": True},
    "ryu-manager": {"ignore_unknown_options": True},
    "mininet": {"ignore_unknown_options": True, "allow_interspersed_args": False},
}


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sdnlab {version('sdnlab')}")
        raise typer.Exit


def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def build(only: str | None = None) -> typer.Typer:
    """The application with all its commands, or with one (which starts twice as fast)."""
    app = typer.Typer(
        name="sdnlab",
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_common,
    )
    for panel, (module, names) in _PANELS.items():
        for name in names:
            if only is None or name == only:
                function = import_module(module).COMMANDS[name]
                settings = _SETTINGS.get(name)
                text = _paragraphs(function.__doc__ or "")
                app.command(name, help=text, rich_help_panel=panel, context_settings=settings)(function)
    return app


def _paragraphs(docstring: str) -> str:
    """The text with one line for each paragraph: typer then wraps it at the terminal's width, not at ours."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in docstring.split("\n\n"))


def for_programs(arguments: Sequence[str]) -> bool:
    """Whether a command line, right or wrong, asks for JSON."""
    words = list(arguments)
    own = words[: words.index("--")] if "--" in words else words
    return "--json" in own


def separated(arguments: Sequence[str]) -> list[str]:
    """The words that are meant (see ``lab.cli.wording``); ``exec h1 ls -l`` is ``exec h1 -- ls -l``: the
    command begins at its first word.

    A "--" further on is the command's own (``exec h1 git log -- FILE``).
    """
    words = corrected(arguments)
    if words[:1] != ["exec"]:
        return words
    host = _after_options(words, 1)
    command = _after_options(words, host + 1)
    if "--" in words[host : host + 1] or command >= len(words) or words[command] == "--":
        return words
    return [*words[:command], "--", *words[command:]]


def _after_options(words: Sequence[str], at: int) -> int:
    while at < len(words) and words[at].startswith("-") and words[at] != "--":
        at += 2 if words[at] in ("--lab", "-l") else 1
    return at


def commands() -> set[str]:
    """Names of all commands."""
    return {name for _, names in _PANELS.values() for name in names}


def wanted(arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The command that a command line names; None if all commands must be loaded (help, completion)."""
    first = arguments[0] if arguments else ""
    return first if first in commands() and "_SDNLAB_COMPLETE" not in environment else None
