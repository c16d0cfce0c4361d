"""Commands that write topology files: ``generate`` by a rule, ``save`` of a running lab."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.common import Lab, LabArgument, client, one_of, usage
from lab.cli.output_file import put
from lab.failure import Exit, Failure
from topologies.syntax.problem import nearest, printable

if TYPE_CHECKING:
    from topologies import Topology

MOST_SWITCHES = 2000
_KINDS = ("single", "linear", "tree", "ring", "torus", "leaf-spine", "fat-tree", "random")
_GRAPHS = "networkx.generators"
Output = Annotated[
    str,
    typer.Option("--output", "-o", metavar="FILE", help="Write this file. Default: to standard output."),
]


def complete_kind(incomplete: str) -> list[str]:
    """Kinds of topologies, and names of networkx's graphs."""
    names = [*_KINDS, *(graphs() if incomplete else ())]
    return [name for name in names if name.startswith(incomplete)]


def generate(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help=f"{', '.join(_KINDS)}, or a graph of networkx, like petersen_graph.",
            autocompletion=complete_kind,
        ),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[NUMBER]...", help="Its size: see below.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", help="Its name. Default: made of its kind and size."),
    ] = None,
    hosts: Annotated[int, typer.Option(min=0, help="Of a networkx graph: the hosts at each switch.")] = 1,
    output: Output = "-",
) -> None:
    """Write the topology file of a well-known shape, to start or to change.

    single HOSTS; linear SWITCHES [HOSTS-EACH]; tree DEPTH FANOUT; ring SWITCHES; torus ROWS COLUMNS;
    leaf-spine LEAVES SPINES HOSTS-EACH; fat-tree PORTS; random SWITCHES HOSTS [EXTRA-LINKS] [SEED].

    Any graph of networkx by the name of its generator, with its arguments: each node becomes a switch with a
    host. A random one is another one each time, unless you give its seed.

    Examples: sdnlab generate fat-tree 4 > x.yaml, sdnlab generate erdos_renyi_graph 10 0.4 seed=7 > y.yaml
    """
    from topologies.saving import brief_text

    topology = _by_rule(kind, arguments or []) if kind in _KINDS else _of_graph(kind, arguments or [], hosts)
    if name is not None:
        topology = topology.model_copy(update={"name": name})
    put(brief_text(topology).encode(), output)


def _by_rule(kind: str, arguments: Sequence[str]) -> Topology:
    from topologies import Invalid
    from topologies.generate import KINDS, LEAST

    function = KINDS[kind]
    least = LEAST.get(kind, 1)
    numbers = [_number(text, kind, function) for text in arguments]
    _fits(kind, function, numbers)
    if any(number < (least if position < 2 else 0) for position, number in enumerate(numbers)):
        raise usage(
            f"{kind} {' '.join(arguments)} is too small", f"at least {least}: {_form(kind, function)}"
        )
    if kind == "fat-tree" and numbers[0] % 2:
        raise usage("a fat tree needs switches with an even number of ports", "sdnlab generate fat-tree 4")
    if max(numbers, default=0) > MOST_SWITCHES:
        raise usage(f"{max(numbers)} is too many", f"up to {MOST_SWITCHES}")
    try:
        topology = function(*numbers)
    except Invalid as invalid:
        raise Failure(f"no lab can have this size: {invalid.problems[0]}", "make it smaller") from None
    return topology


def _number(text: str, kind: str, function: Callable[..., Any]) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise usage(f"{printable(text)} is no whole number", _form(kind, function))
    return int(text)


def _fits(kind: str, function: Callable[..., Any], numbers: Sequence[object], **named: object) -> None:
    try:
        inspect.signature(function).bind(*numbers, **named)
    except TypeError as error:
        raise usage(f"{kind}: {error}", _form(kind, function)) from None


def _form(kind: str, function: Callable[..., Any]) -> str:
    """How a kind is written: ``sdnlab generate tree DEPTH FANOUT``."""
    words = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("connected", "backend", "backend_kwargs", "create_using"):
            continue
        word = parameter.name.upper().replace("_", "-")
        words.append(word if parameter.default is parameter.empty else f"[{word}]")
    return f"sdnlab generate {kind} {' '.join(words)}".rstrip()


def graphs() -> dict[str, Callable[..., Any]]:
    """Name -> generator, of all graphs that networkx has."""
    import networkx

    return {
        name: member
        for name, member in vars(networkx).items()
        if callable(member) and str(getattr(member, "__module__", "")).startswith(_GRAPHS)
    }


def _of_graph(kind: str, arguments: Sequence[str], hosts: int) -> Topology:
    import networkx

    from topologies import Invalid
    from topologies.generate import of_graph
    from topologies.model import names

    known = graphs()
    called = next((name for name in (kind, f"{kind}_graph", kind.replace("-", "_")) if name in known), None)
    if called is None:
        close = nearest(kind, [*_KINDS, *known])
        remedy = f"did you mean {close}? " if close else ""
        raise usage(
            f"{printable(kind)} is no kind of topology",
            f"{remedy}there are: {', '.join(_KINDS)}, and networkx's",
        )
    plain = [_value(text) for text in arguments if "=" not in text]
    named = {
        key: _value(value) for key, _, value in (text.partition("=") for text in arguments if "=" in text)
    }
    _fits(called, known[called], plain, **named)
    try:
        graph = known[called](*plain, **named)
        nodes = {node: number for number, node in enumerate(graph.nodes, 1)}
        joined: list[tuple[Any, Any]] = list(networkx.Graph(graph).edges)
        edges = [(nodes[a], nodes[b]) for a, b in joined]
    except Exception as error:  # whatever networkx and its callers' arguments make of it
        raise Failure(f"networkx can't make this graph: {error}", _form(called, known[called])) from None
    if not 1 <= len(nodes) <= MOST_SWITCHES:
        raise Failure(f"the graph has {len(nodes)} nodes", f"1 to {MOST_SWITCHES}")
    size = "-".join(names.slug(text, 12) for text in arguments)
    try:
        return of_graph(names.slug(f"{called}-{size}".strip("-"), 60) or "graph", edges, len(nodes), hosts)
    except Invalid as invalid:
        raise Failure(f"no lab can have this graph: {invalid.problems[0]}", "make it smaller") from None


def _value(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def save(name: LabArgument = None, lab: Lab = None, output: Output = "-") -> None:
    """Write the topology file of a running lab as it is now, with all its addresses and numbers.

    'sdnlab up' of this file starts the same lab. What was done while the lab ran is in it: moved hosts, more
    instances. So are its checks. States are not: links that are cut, what hosts have written.

    Example: sdnlab save > x.yaml
    """
    from topologies.model.topology import Topology
    from topologies.saving import text
    from topologies.saving.unwritable import Unwritable

    api = client(one_of(name, lab))
    file = str(api.get("/status")["file"])
    topology = Topology.model_validate(api.get("/topology"))
    try:
        put(text(topology, _folder(file)).encode(), output)
    except Unwritable as error:
        raise Failure(error.what, error.remedy, Exit.FAILED) from None


def _folder(file: str) -> str:
    """The folder of a lab's topology file, if we know where it is; empty: names in it stay relative."""
    path = Path(file)
    return str(path.resolve().parent) if path.is_absolute() or path.exists() else ""


COMMANDS = {"generate": generate, "save": save}
