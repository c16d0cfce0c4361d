"""``sdnlab trace``: the way of a packet, step by step, predicted from a file or observed in a lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import Json, Lab, client, complete_host, usage
from lab.cli.files import complete_file
from lab.cli.rendering import trace as render
from lab.cli.say import out, out_json, paint
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from lab.messages.trace import TraceRequest, TraceState
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
            help="Predict it for a topology file; no lab is needed.",
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

    In a running lab, the packet is really sent, and looked for at each port, function and underlay link; each
    switch is asked which flows match it. A difference from what the file says is shown first.

    With --file, nothing runs: the way is predicted from the flow tables that the file gives.

    Exits 0 when the packet gets there, and its answer back, as predicted; 1 when not.

    Example: sdnlab trace h1 h2 --tcp 80 --file firewall
    """
    if sum((tcp is not None, udp is not None, icmp, packet is not None)) > 1:
        raise usage("only one of --tcp, --udp, --icmp and --packet is possible", "choose one of them")
    for port in (tcp, udp):
        if port is not None and not 0 < port < 65536:
            raise usage(f"{port} is no port", "ports are 1 to 65535")
    request = _request(source, destination, tcp, udp, packet, six, not no_back)
    if file is None:
        state: TraceState = client(lab).post("/trace", request)
    else:
        from lab.cli import files

        state = _predicted(files.load(file), request)
    if json:
        out_json(state)
    else:
        out(render.trace(state, paint(), whole))
    if not state["reached"]:
        raise typer.Exit(Exit.FAILED)


def _request(
    source: str, destination: str, tcp: int | None, udp: int | None, packet: str | None, six: bool, back: bool
) -> TraceRequest:
    request: TraceRequest = {"source": source, "destination": destination, "back": back, "packet": packet}
    if tcp is not None:
        request |= {"protocol": "tcp", "port": tcp}
    if udp is not None:
        request |= {"protocol": "udp", "port": udp}
    return {**request, "family": 6} if six else request


def _predicted(topology: Topology, request: TraceRequest) -> TraceState:
    from controller.compiler.compile import compile_topology
    from controller.simulate.network import Lookup
    from controller.trace.questions import CannotAsk
    from lab.tracing.asking import asked_by
    from lab.views.trace import predicted

    try:
        asked, _ = asked_by(topology, request)
    except CannotAsk as error:
        raise Failure(error.what, error.remedy) from None
    tables = {name: Lookup(held) for name, held in compile_topology(topology).items()}
    return predicted(topology, tables, asked, request["destination"], request.get("back", True)).state()


COMMANDS = {"trace": trace}
