"""The command about volumes of the lab's storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from lab.cli.common import Json, Lab, client, usage
from lab.cli.rendering import storage
from lab.cli.say import out, out_json, paint
from lab.failure import unknown
from topologies.syntax.host_units import memory
from topologies.syntax.units import BadValue

if TYPE_CHECKING:
    from lab.access.client import Client
    from lab.messages.lab import VolumeInfo

_FORMS = (
    "sdnlab volume list · sdnlab volume grow VOLUME SIZE · "
    "sdnlab volume snapshot save|restore|list|delete VOLUME [NAME]"
)


def volume(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="list | grow VOLUME SIZE | snapshot ...", help="What to do."),
    ] = None,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Show volumes, make one larger, save a snapshot of one or restore it.

    'sdnlab volume list' shows volumes with their copies. 'sdnlab volume grow data 512MiB' makes one larger;
    'sdnlab volume snapshot save|restore|list|delete data NAME' handles snapshots. To grow and to restore, the
    volume is unmounted for a moment: no command in its host may use it. In a virtual machine, the link
    /dev/volume/data leads to the disk.
    """
    api = client(lab)
    match words or ["list"]:
        case ["list"]:
            states = api.get("/volumes")
            out_json(states) if json else out(storage.volumes(states, paint()))
        case ["grow", name, size]:
            try:
                octets = memory(size)
            except BadValue as error:
                raise usage(f"{error.what}; allowed: {error.allowed}", error.remedy) from None
            _say(api.post(f"/volumes/{quote(name, safe='')}/grow", {"size": octets}), name, json)
        case ["snapshot", "list", name]:
            state = _one(api.get("/volumes"), name)
            out_json(state["snapshots"]) if json else out(storage.snapshots(state, paint()))
        case ["snapshot", ("save" | "restore" | "delete") as action, name, snapshot]:
            _snapshot(api, action, name, snapshot, json)
        case _:
            raise usage(f"'volume {' '.join(words or [])}' is not understood", _FORMS)


def _snapshot(api: Client, action: str, name: str, snapshot: str, json: bool) -> None:
    _one(api.get("/volumes"), name)
    path = f"/volumes/{quote(name, safe='')}/snapshots"
    states = api.post(path, {"action": action, "name": snapshot})
    if json:
        out_json(_one(states, name)["snapshots"])
        return
    word = {"save": "saved", "restore": "restored", "delete": "deleted"}[action]
    out(f"snapshot {snapshot} of {name} is {word}")


def _say(states: list[VolumeInfo], name: str, json: bool) -> None:
    if json:
        out_json(_one(states, name))
    else:
        out(storage.volumes([_one(states, name)], paint()))


def _one(states: list[VolumeInfo], name: str) -> VolumeInfo:
    for state in states:
        if state["name"] == name:
            return state
    raise unknown("volume", name, [state["name"] for state in states])


COMMANDS = {"volume": volume}
