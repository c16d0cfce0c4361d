"""What many commands share: options, the choice of the lab, completion."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab import naming
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from lab.client import Client


def complete_lab(incomplete: str) -> list[str]:
    """Names of running labs."""
    return [name for name in naming.running() if name.startswith(incomplete)]


def complete_host(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of hosts in the lab that is meant."""
    return _complete(ctx, "hosts", incomplete)


def complete_switch(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of switches in the lab that is meant."""
    return _complete(ctx, "switches", incomplete)


def complete_domain(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of domains in the lab that is meant."""
    return _complete(ctx, "domains", incomplete)


def complete_capture(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of what can be captured."""
    return [*complete_end(ctx, incomplete), *complete_domain(ctx, incomplete)]


def complete_end(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of links, switches and hosts: what ``link`` takes."""
    return [name for kind in ("links", "switches", "hosts") for name in _complete(ctx, kind, incomplete)]


def _complete(ctx: typer.Context, kind: str, incomplete: str) -> list[str]:
    from lab.client import Client

    try:
        lab = Client(choose(ctx.params.get("lab")), patience=0.0, timeout=1.0).get("/status")
    except Exception:
        return []
    return [entry["name"] for entry in lab[kind] if entry["name"].startswith(incomplete)]


Lab = Annotated[
    str | None,
    typer.Option(
        "--lab", "-l", metavar="NAME", help="Which lab, when several run.", autocompletion=complete_lab
    ),
]
LabArgument = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Which lab, when several run.", autocompletion=complete_lab),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def choose(named: str | None) -> str:
    """The lab that is meant."""
    return naming.choose(named, naming.running(), os.environ.get("SDNLAB"))


def client(named: str | None, **options: Any) -> Client:
    """A client of the lab that is meant."""
    from lab.client import Client

    return Client(choose(named), **options)


def usage(what: str, remedy: str = "") -> Failure:
    """The command line is wrong."""
    return Failure(what, remedy, Exit.USAGE)
