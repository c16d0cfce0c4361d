"""The application: its help, and the commands' modules."""

from __future__ import annotations

from typing import Annotated

import typer

from lab.cli import files, look, run, touch

_HELP = """A software-defined network in a file: describe it, start it, break it, see why.

[bold]First steps[/bold]

    sdnlab demo                                 a whole lab in a second, and what it proves
    sdnlab up topologies/quickstart.yaml        start a lab, with Mininet's shell
    sdnlab up topologies/campus.yaml -d         ... or in the background

[bold]From any terminal, while a lab runs[/bold]

    sdnlab status                               switches, hosts, links
    sdnlab exec h1 -- ping -c 3 h2              a command in a host
    sdnlab ping                                 does every host reach every other?
    sdnlab link down s1 s2                      cut a link; 'link up' mends it
    sdnlab flows s1                             what the controller installed, and why
    sdnlab down                                 stop; nothing is left behind

With one lab running its name may be left out; otherwise say --lab NAME."""

_EPILOG = (
    "Exit codes: 0 all is well; 1 what you asked for did not come true (a host unreachable, a file invalid, "
    "no such lab); 2 the command line is wrong; 3 this machine lacks something; 4 the lab ended meanwhile; "
    "130 Ctrl-C. 'exec' gives the command's own code, 127 when there is no such command."
)

app = typer.Typer(
    name="sdnlab",
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sdnlab {version('sdnlab')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


for _module in (run, touch, look, files):
    _module.register(app)
