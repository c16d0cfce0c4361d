"""``sdnlab trace``: the way of a packet, step by step, predicted from a file or observed in a lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import Json, Lab, complete_host, usage
from lab.cli.files import complete_file
from lab.cli.rendering import trace as render
from lab.cli.say import out, out_json, paint
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from controller.trace.questions import Question, Traffic
    from lab.messages.trace import TraceState
    from topologies.model.topology import Topology


def trace(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="The host that sends.", autocompletion=complete_host)
    ],
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DST",
            help="A host, a load balancer, a router, or an address.",
            autocompletion=complete_host,
        ),
    ],
    tcp: Annotated[int | None, typer.Option("--tcp", metavar="PORT", help="Open a TCP connection.")] = None,
    udp: Annotated[int | None, typer.Option("--udp", metavar="PORT", help="Send a UDP packet.")] = None,
    icmp: Annotated[bool, typer.Option("--icmp", help="Send a ping, as without these options.")] = False,
    packet: Annotated[
        str | None,
        typer.Option(
            "--packet",
            metavar="EXPR",
            help="Send this packet, as scapy writes it: 'IP(ttl=1)/UDP(dport=53)'. Addresses that it leaves "
            "out are those of SRC and DST.",
        ),
    ] = None,
    six: Annotated[
        bool, typer.Option("--ipv6", "-6", help="Use IPv6, where both families are there.")
    ] = False,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Predict it for a topology file.",
            autocompletion=complete_file,
        ),
    ] = None,
    no_back: Annotated[bool, typer.Option("--no-back", help="Leave out the way of the answer.")] = False,
    whole: Annotated[
        bool, typer.Option("--all", help="Show every flow, also those that only lead on, with its match.")
    ] = False,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Show the way of a packet step by step: switches, tables, flows with the lines of the file that caused
    them, links, tunnels, functions, and why it gets no further.

    With --file, nothing runs: the way is predicted from the flow tables that the file gives.

    Exits 0 when the packet gets there, and its answer back; 1 when not.

    Example: sdnlab trace h1 h2 --tcp 80 --file firewall
    """
    if sum((tcp is not None, udp is not None, icmp, packet is not None)) > 1:
        raise usage("only one of --tcp, --udp, --icmp and --packet is possible", "choose one of them")
    for port in (tcp, udp):
        if port is not None and not 0 < port < 65536:
            raise usage(f"{port} is no port", "ports are 1 to 65535")
    if file is None:
        raise usage("no topology file is named", "name one: --file FILE")
    from lab.cli import files

    state = _predicted(files.load(file), source, destination, tcp, udp, packet, six, not no_back)
    if json:
        out_json(state)
    else:
        out(render.trace(state, paint(), whole))
    if not state["reached"]:
        raise typer.Exit(Exit.FAILED)


def _predicted(
    topology: Topology,
    source: str,
    destination: str,
    tcp: int | None,
    udp: int | None,
    packet: str | None,
    six: bool,
    back: bool,
) -> TraceState:
    from controller.compiler.compile import compile_topology
    from controller.simulate.network import Lookup
    from controller.trace.questions import CannotAsk
    from lab.views.trace import predicted

    try:
        asked = _question(topology, source, destination, _traffic(tcp, udp, six), packet)
    except CannotAsk as error:
        raise Failure(error.what, error.remedy) from None
    tables = {name: Lookup(held) for name, held in compile_topology(topology).items()}
    return predicted(topology, tables, asked, destination, back)


def _traffic(tcp: int | None, udp: int | None, six: bool) -> Traffic:
    from controller.trace.questions import Traffic

    family = 6 if six else None
    if tcp is not None:
        return Traffic("tcp", tcp, family)
    return Traffic("icmp", 0, family) if udp is None else Traffic("udp", udp, family)


def _question(
    topology: Topology, source: str, destination: str, traffic: Traffic, packet: str | None
) -> Question:
    from controller.trace.questions import Question, host, question, words

    if packet is None:
        return question(topology, source, destination, traffic)
    from controller.simulate.decode import frame_of
    from lab.packets.expression import parse
    from lab.packets.sending import frame

    sender = host(topology, source)
    fields = frame_of(frame(topology, source, destination, parse(packet)))
    assert sender.port is not None
    return Question(sender, sender.port, fields, words(fields))


COMMANDS = {"trace": trace}
