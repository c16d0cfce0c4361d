"""Commands about network functions, chains, and changing a running lab."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from lab.cli import files
from lab.cli.common import Json, Lab, client, complete_function, complete_instance, usage
from lab.cli.rendering import services
from lab.cli.say import out, out_json, paint
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
            metavar="[NAME]", help="One function, with all that it counts.", autocompletion=complete_function
        ),
    ] = None,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Show network functions: where they are, whether they work, what passed them.

    STATE is that of an instance's process, HEALTH whether the controller's probe frames pass it from one side
    to the other. A function done by flow tables has no process. Look inside one with
    'sdnlab exec fw.1 -- nft list ruleset', at its packets with 'sdnlab capture fw.1:in'.
    """
    found: list[FunctionState] = client(lab).get("/functions")
    if name is not None:
        known = [each["name"] for each in found]
        found = [each for each in found if each["name"] == name]
        if not found:
            raise unknown("function", name, known)
    if json:
        out_json(found)
    elif name is not None:
        out(services.one_function(found[0], paint()))
    else:
        out(services.functions(found, paint()))


def chains(lab: Lab = None, json: Json = False) -> None:
    """Show service chains hop by hop: what they take, how it travels, how many packets came to each.

    Between switches a frame carries its place in the chain: a VLAN tag, or a network service header (NSH).
    """
    found = client(lab).get("/chains")
    if json:
        out_json(found)
    else:
        out(services.chains(found, paint()))


def function(
    action: Annotated[Action, typer.Argument(metavar="stop|start|restart")],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME[.N]", help="A function, or one of its instances.", autocompletion=complete_instance
        ),
    ],
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Stop a function's process, start it, or start it anew; what it knew of connections is lost.

    While no instance works its failure policy decides: traffic passes by it (open) or stops (closed).
    """
    api = client(lab)
    whole, instance = _find(api, name)
    path = f"/functions/{quote(whole, safe='')}"
    found = api.post(path, {"action": action.value, "instance": instance})
    if json:
        out_json(found)
    else:
        out(services.functions(found, paint()))


def _find(api: Client, name: str) -> tuple[str, str | None]:
    """The function that is meant, and which of its instances (None: all)."""
    found: list[FunctionState] = api.get("/functions")
    if any(each["name"] == name for each in found):
        return name, None
    for each in found:
        if any(instance["name"] == name for instance in each["instances"]):
            return each["name"], name
    known = [instance["name"] for each in found for instance in each["instances"]]
    raise unknown("function or instance", name, known, among=[each["name"] for each in found])


def scale(
    name: Annotated[str, typer.Argument(metavar="FUNCTION", autocompletion=complete_function)],
    instances: Annotated[int, typer.Argument(metavar="N", min=1, help="How many instances it shall have.")],
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Give a function more instances, or fewer, while traffic flows; each connection stays with one of them.

    A new instance gets traffic once a probe has passed it; one that goes gets none any more before it ends.
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
        bool, typer.Option("--dry-run", help="Only say what would change, and what that disrupts.")
    ] = False,
    json: Json = False,
) -> None:
    """Change a running lab to what a changed topology file says; only what differs is touched.

    What is new is made first, then traffic is led to it, and what is old goes when nothing uses it any more:
    a chain that is made longer or re-ordered loses no packet. '+' is added, '~' changed, '-' removed.
    A file with mistakes changes nothing. Domains, switches and the underlay can't change in a running lab.
    """
    path, raw = files.content(file, strict=True)
    content = _text(raw, file)
    where = str(Path(path).resolve())
    request = {"file": where, "content": content, "dry_run": dry_run}
    try:
        done: Applied = client(lab, timeout=180.0).post("/apply", request)
    except Failure as failure:
        what, remedy = (text.replace(where, path) for text in (failure.what, failure.remedy))
        raise Failure(what, remedy, failure.code) from None
    if json:
        out_json(done)
    else:
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
