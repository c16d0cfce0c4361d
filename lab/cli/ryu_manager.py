"""``sdnlab ryu-manager``: runs Ryu applications without a lab, with ryu-manager's options."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from controller.ryu.starting import command
from lab.failure import Exit, Failure


def ryu_manager(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OPTION|APP]...", help="ryu-manager's options, files and modules of apps."),
    ] = None,
) -> None:
    """Run Ryu applications, unmodified, as the controller of any switches: without a lab.

    Takes ryu-manager's options (--ofp-tcp-listen-port, --wsapi-port, --observe-links, --verbose ...), files
    of apps and names of modules (ryu.app.simple_switch_13). Listens at port 6653, and at 6633 as Ryu does.
    'sdnlab ryu-manager -- --help' lists all options.

    Example: sdnlab ryu-manager --verbose my_app.py
    """
    sys.stdout.flush()
    sys.stderr.flush()
    words = command(arguments or [])
    try:
        os.execv(words[0], words)
    except OSError as error:
        raise Failure(f"the launcher can't be started: {error.strerror}", "", Exit.MACHINE) from None


COMMANDS = {"ryu-manager": ryu_manager}
