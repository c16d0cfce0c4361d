"""Options, the choice of the lab, and completion, for many commands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab import naming
from lab.access import holders
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from lab.access.client import Client


def complete_lab(incomplete: str) -> list[str]:
    """Names of running labs."""
    return [name for name in holders.running() if name.startswith(incomplete)]


def complete_host(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of hosts in the chosen lab."""
    return _complete(ctx, "hosts", incomplete)


def complete_machine(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of virtual machines in the chosen lab."""
    machines = (entry["name"] for entry in entries(ctx, "hosts") if "vcpus" in entry["detail"])
    return [name for name in machines if name.startswith(incomplete)]


def complete_switch(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of switches in the chosen lab."""
    return _complete(ctx, "switches", incomplete)


def complete_domain(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of domains in the chosen lab."""
    return _complete(ctx, "domains", incomplete)


def complete_function(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of functions in the chosen lab."""
    return _complete(ctx, "functions", incomplete)


def complete_instance(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of functions and of their instances."""
    return [*complete_function(ctx, incomplete), *_instances(ctx, incomplete)]


def complete_place(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names for ``exec``: hosts, switches, domains, instances."""
    kinds = ("hosts", "switches", "domains")
    names = [name for kind in kinds for name in _complete(ctx, kind, incomplete)]
    return [*names, *_instances(ctx, incomplete)]


def complete_capture(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names for ``capture``."""
    names = [*complete_end(ctx, incomplete), *complete_domain(ctx, incomplete)]
    name, colon, side = incomplete.rpartition(":")
    if colon:
        devices = [device for device in ("in", "out") if device.startswith(side)]
        return [f"{known}:{device}" for known in _instances(ctx, name) if known == name for device in devices]
    return [*names, *_instances(ctx, incomplete)]


def complete_end(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names for ``link``: links, switches and hosts."""
    return [name for kind in ("links", "switches", "hosts") for name in _complete(ctx, kind, incomplete)]


def complete_log(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names for ``logs``: the main ones, and hosts with commands."""
    hosts = [host["name"] for host in entries(ctx, "hosts") if host["commands"]]
    return [name for name in ("supervisor", "controller", *hosts) if name.startswith(incomplete)]


def _complete(ctx: typer.Context, kind: str, incomplete: str) -> list[str]:
    return [entry["name"] for entry in entries(ctx, kind) if entry["name"].startswith(incomplete)]


def _instances(ctx: typer.Context, incomplete: str) -> list[str]:
    names = [instance["name"] for entry in entries(ctx, "functions") for instance in entry["instances"]]
    return [name for name in names if name.startswith(incomplete)]


def entries(ctx: typer.Context, kind: str) -> list[dict[str, Any]]:
    """What the status of the command's lab lists of a kind; nothing when no lab answers soon."""
    from lab.access.client import Client

    try:
        lab = Client(choose(ctx.params.get("lab")), patience=0.0, timeout=1.0).get("/status")
        return list(lab[kind])
    except Exception:
        return []


Lab = Annotated[
    str | None,
    typer.Option("--lab", "-l", metavar="NAME", help="The lab, if several run.", autocompletion=complete_lab),
]
LabArgument = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="The lab, if several run.", autocompletion=complete_lab),
]
NewDomain = Annotated[
    str, typer.Argument(metavar="DOMAIN", help="Its new domain.", autocompletion=complete_domain)
]
SwitchThere = Annotated[
    str | None,
    typer.Option(
        "--switch",
        help="The switch of that domain. Default: its first switch.",
        autocompletion=complete_switch,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def choose(named: str | None) -> str:
    """The name of the lab that the user means: the named one, $SDNLAB, or the only one that runs."""
    return naming.choose(named, holders.running(), os.environ.get("SDNLAB"))


def one_of(argument: str | None, option: str | None) -> str | None:
    """The lab that the command line names, as an argument or by --lab; None when it names none."""
    if argument is not None and option is not None and argument != option:
        raise usage(f"two labs are named: {argument} and {option}", "name one of them")
    return argument if argument is not None else option


def client(named: str | None, **options: Any) -> Client:
    """A client of the lab that the user means (see ``choose``)."""
    from lab.access.client import Client

    return Client(choose(named), **options)


def usage(what: str, remedy: str = "") -> Failure:
    """The command line is wrong."""
    return Failure(what, remedy, Exit.USAGE)
