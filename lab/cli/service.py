"""Commands about network functions, chains, and changing a running lab."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from lab.cli import files
from lab.cli.common import Json, Lab, client, complete_function, complete_instance, usage
from lab.cli.rendering import services
from lab.cli.say import can_overwrite, err, out, out_json, paint
from lab.cli.starting import Progress
from lab.failure import Exit, Failure, unknown

if TYPE_CHECKING:
    from lab.access.client import Client
    from lab.messages.lab import Applied, FunctionState


class Action(str, Enum):
    """What to do with a function's process."""

    stop = "stop"
    start = "start"
    restart = "restart"


def functions(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="One function, with all its counters.", autocompletion=complete_function
        ),
    ] = None,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Show network functions: where they are, whether they work, how many packets passed them.

    STATE is the state of an instance's process. HEALTH says whether the controller's probe frames pass the
    instance. A function that flow tables implement has no process.

    To look inside an instance: sdnlab exec fw.1 -- nft list ruleset. To see its packets: sdnlab capture
    fw.1:in
    """
    states: list[FunctionState] = client(lab).get("/functions")
    if name is not None:
        known = [state["name"] for state in states]
        states = [state for state in states if state["name"] == name]
        if not states:
            raise unknown("function", name, known)
    if json:
        out_json(states)
    elif name is not None:
        out(services.one_function(states[0], paint()))
    else:
        out(services.functions(states, paint()))


def chains(lab: Lab = None, json: Json = False) -> None:
    """Show service chains hop by hop: which traffic they take, the encapsulation, and the packets at each
    hop.

    Between switches, a VLAN tag or a network service header (NSH) carries a frame's position in the chain.
    """
    states = client(lab).get("/chains")
    if json:
        out_json(states)
    else:
        out(services.chains(states, paint()))


def function(
    action: Annotated[Action, typer.Argument(metavar="stop|start|restart", help="What to do.")],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME[.N]",
            help="A function (all its instances), or one instance (fw.1).",
            autocompletion=complete_instance,
        ),
    ],
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Stop, start or restart the process of a function. It forgets all connections.

    If no instance works, the function's on-failure decides: traffic bypasses it (open) or is dropped
    (closed).

    Example: sdnlab function restart fw.1
    """
    api = client(lab)
    whole, instance = _find(api, name)
    path = f"/functions/{quote(whole, safe='')}"
    states = api.post(path, {"action": action.value, "instance": instance})
    if json:
        out_json(states)
    else:
        out(services.functions(states, paint()))


def _find(api: Client, name: str) -> tuple[str, str | None]:
    """The function of this name, and the instance of this name (None: all its instances)."""
    states: list[FunctionState] = api.get("/functions")
    if any(state["name"] == name for state in states):
        return name, None
    for state in states:
        if any(instance["name"] == name for instance in state["instances"]):
            return state["name"], name
    known = [instance["name"] for state in states for instance in state["instances"]]
    raise unknown("function or instance", name, known, among=[state["name"] for state in states])


def scale(
    name: Annotated[
        str, typer.Argument(metavar="FUNCTION", help="The function.", autocompletion=complete_function)
    ],
    instances: Annotated[int, typer.Argument(metavar="N", min=1, help="The new number of instances.")],
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Change the number of a function's instances while traffic flows. Each connection uses one instance.

    A new instance gets traffic after a probe frame has passed it. An instance that is removed gets no more
    traffic before it ends.

    Example: sdnlab scale fw 3
    """
    path = f"/functions/{quote(name, safe='')}/scale"
    done: Applied = client(lab, timeout=120.0).post(path, {"instances": instances})
    if json:
        out_json(done)
    elif done["applied"]:
        out(services.applied(done, "", False, paint()))
    else:
        out(f"{name} has {instances} already")


def apply(
    file: files.File,
    lab: Lab = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; print the changes and what they disrupt.")
    ] = False,
    json: Json = False,
) -> None:
    """Change a running lab to what a topology file says now. Only the differences change.

    The new parts are built first. Then traffic moves to them, and unused parts are removed. So a chain that
    gets longer or another order loses no packet.

    The output marks what is added (+), changed (~) and removed (-). If the file has mistakes, nothing
    changes. Domains, switches and the underlay can't change in a running lab.

    Example: sdnlab apply my/lab.yaml --dry-run
    """
    path, raw = files.content(file, strict=True)
    content = _text(raw, file)
    where = str(Path(path).resolve())
    request = {"file": where, "content": content, "dry_run": dry_run}
    try:
        done: Applied = client(lab, timeout=180.0).post("/apply", request)
        if "prepare" in done:
            from lab.start.preparing import prepare

            progress = Progress(can_overwrite(sys.stderr))
            try:
                prepare(done["prepare"], progress.doing)
            finally:
                progress.clear()
            done = client(lab, timeout=180.0).post("/apply", {**request, "prepared": True})
    except Failure as failure:
        what, remedy = (text.replace(where, path) for text in (failure.what, failure.remedy))
        raise Failure(what, remedy, failure.code) from None
    if json:
        out_json(done)
    else:
        for note in done.get("file_notes", ()):
            err(note.replace(where, path))
        out(services.applied(done, path, dry_run, paint()))
    if done["notes"]:
        raise typer.Exit(Exit.FAILED)


def _text(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise usage(f"{Path(file).name} is not in UTF-8", "save it in UTF-8") from None


COMMANDS = {
    "functions": functions,
    "chains": chains,
    "function": function,
    "scale": scale,
    "apply": apply,
}
