"""Commands for virtual machines in a lab: ``vm``, ``console``, ``screen``."""

from __future__ import annotations

import base64
from enum import Enum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from lab.cli.common import Json, Lab, choose, client, complete_machine
from lab.cli.output_file import put
from lab.cli.say import out, out_json

Machine = Annotated[
    str,
    typer.Argument(metavar="VM", help="The virtual machine.", autocompletion=complete_machine),
]


class Action(str, Enum):
    """What to do with a machine."""

    start = "start"
    stop = "stop"
    pause = "pause"
    resume = "resume"
    reset = "reset"


def vm(
    action: Annotated[Action, typer.Argument(metavar="start|stop|pause|resume|reset", help="What to do.")],
    host: Machine,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Switch a virtual machine on or off, let it stand still, or boot it anew.

    stop: pull the plug. What the machine has not written to a disk is lost. start: switch it on again, also
    when QEMU has ended; returns when commands run in it. pause, resume: its time stands still, its
    connections stay. reset: its reset button, also after a panic of its kernel; returns when commands run in
    it. What it writes on its serial console meanwhile: sdnlab logs VM/console

    Whether it runs, and on what: sdnlab status

    Example: sdnlab vm pause v1
    """
    patience = None if action in (Action.start, Action.reset) else 60.0  # to boot from a disk takes minutes
    answer = client(lab, timeout=patience).post(
        f"/hosts/{quote(host, safe='')}/power", {"action": action.value}
    )
    if json:
        out_json(answer)
    elif answer["changed"]:
        out(f"{host} is {answer['state']} after {answer['seconds']:.2f} s")
    else:
        out(f"{host} is {answer['state']} already")


def console(host: Machine, lab: Lab = None) -> None:
    """Open the serial console of a virtual machine. Ctrl-] leaves it; the machine goes on.

    It shows the last lines that the machine has written. Several can look and type at the same time. When the
    machine does not boot, this shows why.

    Without a terminal, the standard input is typed, and what the machine writes goes to the standard output
    until this command is ended.

    Example: sdnlab console v1
    """
    from lab.access.client import supervisor_pid
    from lab.cli import enter
    from lab.cli.serial import relay

    name = choose(lab)
    raise typer.Exit(enter.run_on_console(name, supervisor_pid(name), host, relay))


def screen(
    host: Machine,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE.png]", help="The file; '-': to standard output. Default: VM.png."),
    ] = None,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Take a picture (PNG) of the screen of a virtual machine.

    Example: sdnlab screen v1 v1.png
    """
    answer = client(lab).get(f"/hosts/{quote(host, safe='')}/screen")
    if json:
        out_json(answer)
        return
    picture = base64.b64decode(answer["png"])
    put(picture, str(file) if file is not None else f"{host}.png")


COMMANDS = {"vm": vm, "console": console, "screen": screen}
