"""Commands for the states of virtual machines: ``snapshot``, ``export`` and ``migrate``."""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from lab.cli.common import (
    Json,
    Lab,
    NewDomain,
    SwitchThere,
    client,
    usage,
)
from lab.cli.machine import Machine
from lab.cli.say import can_overwrite, err, out, out_json, paint, table
from lab.cli.starting import Progress
from lab.failure import Failure

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from lab.messages.lab import Migrated, SnapshotState


LEVEL = 1
"""Of gzip: memory shrinks to a third with it, and not much more with others."""
PIECE = 1 << 20


class Action(str, Enum):
    """What to do with a snapshot."""

    save = "save"
    restore = "restore"
    list = "list"
    delete = "delete"


def snapshot(
    action: Annotated[
        Action,
        typer.Argument(
            metavar="save|restore|list|delete",
            help="save: keep its present state; restore: return to a saved one; list: show what there is; "
            "delete: forget one.",
        ),
    ],
    machine: Machine,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The snapshot: letters, digits, '_', '-', '.'.")
    ] = None,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Save the memory and devices of a virtual machine, and return to them later.

    The machine stands still while it is saved, about a second. After 'restore' everything in it is as it was
    at that moment, programs and files too; but it has the addresses, the names and the time of now, and
    connections of that moment are dead. The lab around it does not change.

    Snapshots are files without names on the disk of /var/tmp, about as large as the memory that the machine
    uses, and what it has written to its disk if it boots from one. They live as long as the machine in its
    lab: 'sdnlab down' removes them. To keep a machine longer, 'sdnlab export' it.

    Examples: sdnlab snapshot save v1 before, sdnlab snapshot restore v1 before, sdnlab snapshot list v1
    """
    where = f"/hosts/{quote(machine, safe='')}/snapshots"
    if action is Action.list:
        if name is not None:
            raise usage("list takes no name", f"sdnlab snapshot list {machine}")
        _list(client(lab).get(where), machine, json)
        return
    if name is None:
        raise usage(f"{action.value} which snapshot?", f"sdnlab snapshot {action.value} {machine} NAME")
    began = time.monotonic()
    answer: SnapshotState = client(lab, timeout=None).post(
        f"{where}/{quote(name, safe='')}", {"action": action.value}
    )
    if json:
        out_json(answer)
    elif action is Action.save:
        out(
            f"saved: {name}, {_megabytes(answer['size'])}; {machine} stood still for {answer['paused']:.2f} s"
        )
    elif action is Action.restore:
        out(f"restored: {machine} is as in {name}, in {time.monotonic() - began:.2f} s")
    else:
        out(f"deleted: {name}, {_megabytes(answer['size'])}")


def _list(answer: list[SnapshotState], machine: str, json: bool) -> None:
    if json:
        out_json(answer)
    elif answer:
        rows = [(one["name"], _when(one["taken"]), _megabytes(one["size"])) for one in answer]
        out(table(("SNAPSHOT", "TAKEN", "SIZE"), rows, paint(), right=(2,)))
    else:
        out(f"{machine} has no snapshots; save one: sdnlab snapshot save {machine} NAME")


def export(
    machine: Machine,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, such as v1.machine.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Write a virtual machine into one file, from which another lab gets the same machine.

    The file has what the machine boots, and its settings. If the machine is on, also its memory and devices
    at this moment: it goes on in the other lab where it was, with the addresses and names of its host there.
    The machine stands still about a second, and goes on here, too.

    In the other topology file: v1: {switch: s1, kind: vm, image: v1.machine}. Settings that are not there are
    those of the exported machine. With another version of QEMU, other settings or another accelerator, it
    boots instead, and 'sdnlab events' says why.

    A machine that boots from a disk (image: debian.qcow2) takes its disk with it, with all that it has
    written. A machine that uses volumes is exported when it is off, without them.

    FILE is a tar archive with gzip, readable for you alone: it has all that was in the machine's memory. It
    is written under another name, and gets its name when it is complete.

    Example: sdnlab export v1 v1.machine
    """
    if file.is_dir() or (file.exists() and not force):
        raise usage(f"{file} exists", "name another file, or replace it: --force")
    began = time.monotonic()
    api = client(lab, timeout=None)
    progress = Progress(can_overwrite(sys.stderr))
    try:
        progress.doing(f"saving the state of {machine}")
        with api.download(f"/hosts/{quote(machine, safe='')}/export") as answer:
            size, running = int(answer.headers["X-Size"]), answer.headers["X-Running"] == "1"
            paused = float(answer.headers["X-Paused"])
            _write(answer, file, size, progress)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}", "name a file in a folder where you may write") from None
    finally:
        progress.clear()
    written = file.stat().st_size
    if json:
        out_json({"host": machine, "file": str(file), "size": written, "running": running, "paused": paused})
        return
    state = f"with its state; it stood still for {paused:.2f} s" if running else "switched off"
    out(f"exported: {machine} to {file}, {_megabytes(written)}, {state}; in {time.monotonic() - began:.2f} s")


def _write(answer: HTTPResponse, file: Path, size: int, progress: Progress) -> None:
    """Write what comes, compressed, and give it its name when it is complete. Raises OSError, Failure."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            done = 0
            with gzip.GzipFile("", "wb", LEVEL, raw) as packed:
                while piece := answer.read(PIECE):
                    packed.write(piece)
                    done += len(piece)
                    progress.doing(f"writing {file.name}: {100 * done // size} %")
            raw.flush()
            os.fsync(raw.fileno())
        if done != size:
            raise Failure("the lab has not sent everything", "see: sdnlab logs supervisor")
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def migrate(
    machine: Machine,
    domain: NewDomain,
    switch: SwitchThere = None,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Move a running virtual machine to another domain, with its memory: live migration.

    A second QEMU waits at a switch of that domain. It gets the machine's memory while the machine runs, and
    the rest while it stands still, a fraction of a second. In this moment the controller moves its address.
    Its connections and commands stay, also those of 'sdnlab exec'. If anything fails, the machine goes on
    where it is.

    'sdnlab move' moves only the wire, for a host of any kind.

    Example: sdnlab migrate v1 d2
    """
    answer: Migrated = client(lab, timeout=None).post(
        f"/hosts/{quote(machine, safe='')}/migrate", {"domain": domain, "switch": switch}
    )
    if json:
        out_json(answer)
    elif not answer["changed"]:
        out(f"{machine} is on {answer['target']} already")
    else:
        out(
            f"{machine} moved from {answer['source']} to {answer['target']} (domain {domain}) in "
            f"{answer['seconds']:.2f} s: {_megabytes(answer['copied'])} copied, downtime "
            f"{answer['downtime']:.0f} ms (QEMU says {answer['downtime_qemu']:.0f} ms)"
        )
    for note in answer["notes"]:
        err(note)


COMMANDS = {"snapshot": snapshot, "export": export, "migrate": migrate}
