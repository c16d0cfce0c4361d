"""``sdnlab image``: the images of virtual machines in the cache."""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.common import Json, usage
from lab.cli.say import can_overwrite, out, out_json, paint, table
from lab.cli.starting import Progress
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from dataplane.images.errors import ImageError
    from dataplane.images.image import Image


class Action(str, Enum):
    """What to do with an image."""

    build = "build"
    list = "list"
    verify = "verify"
    remove = "remove"


def complete_image(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of images: those that can be built, or those that are there."""
    from dataplane.images import cache, images

    try:
        wanted = ctx.params.get("action")
        known = list(images.RECIPES) if wanted in (None, Action.build) else cache.names(cache.root())
        if wanted in (Action.remove, Action.remove.value):
            from dataplane.hosts.container.images import kept

            known += [one.name for one in kept()]
        return [name for name in known if name.startswith(incomplete)]
    except Exception:
        return []


def image(
    action: Annotated[
        Action,
        typer.Argument(
            metavar="build|list|verify|remove",
            help="build: make it anew; list: show what there is; verify: read it all and compare; "
            "remove: delete it with its snapshots.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="The image. Default: micro; for list: all.",
            autocompletion=complete_image,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build, list, check and remove images of virtual machines, and list and remove those of containers.

    The image 'micro' is what a host of 'kind: vm' boots if its file names no other: the kernel of this
    distribution, BusyBox and Python, all from its packages. 'sdnlab up' builds it when it is missing, so you
    need no command of these. Build it yourself before a lecture without network, or to get newer packages
    ('sudo apt-get update' first). It needs no root.

    Images are in $XDG_CACHE_HOME/sdnlab/images or ~/.cache/sdnlab/images; with sudo, in that of root.
    Several versions of sdnlab can share them: the last three versions of an image stay. Beside an image are
    snapshots of machines that have just booted: the next machine starts from one in a fraction of a second.
    They are made by themselves, and removed with the image. A lab that runs does not need its image any more.
    OCI images of containers are unpacked there, too, and stay until they are removed by their name, such as
    sha256-0123456789ab. Machines that were unpacked from files of 'sdnlab export' go when their file is gone.

    Examples: sdnlab image build, sdnlab image list, sdnlab image remove micro
    """
    from dataplane.images.errors import ImageError

    try:
        if action is Action.list:
            _list(name, as_json)
        elif action is Action.build:
            _build(name or "micro", as_json)
        elif action is Action.verify:
            _verify(name or "micro", as_json)
        else:
            _remove(name, as_json)
    except ImageError as error:
        raise _failure(error, Exit.MACHINE if action is Action.build else Exit.FAILED) from None


def _failure(error: ImageError, code: Exit) -> Failure:
    return Failure(error.what, error.remedy, code)


def _build(name: str, as_json: bool) -> None:
    from dataplane.images import images

    progress = Progress(can_overwrite(sys.stderr))
    try:
        built = images.build(name, progress.doing)
    finally:
        progress.clear()
    if as_json:
        out_json(_told(built))
    else:
        size = _megabytes(built.size())
        out(f"{paint()('built', 'green')}: {built.name}, {size}, from {_origin(built)}, in {built.folder}")


def _list(name: str | None, as_json: bool) -> None:
    from dataplane.hosts.container.images import kept
    from dataplane.images import cache, images

    folder = cache.root()
    there = images.listed()
    if name is not None:
        there = [one for one in there if one.name == name]
        if not there:
            images.recipe_of(name)
    absent = [known for known in images.RECIPES if known not in cache.names(folder) and name in (None, known)]
    unpacked = kept() if name is None else []
    if as_json:
        told = [
            {"name": one.name, "folder": str(one.folder), "size": one.size, "from": one.source}
            for one in unpacked
        ]
        ours = [_told(one) for one in there]
        out_json({"folder": str(folder), "images": ours, "not built": absent, "unpacked": told})
        return
    if there:
        heads = ("IMAGE", "VERSION", "SIZE", "SNAPSHOTS", "BUILT", "FROM")
        out(table(heads, [_row(one) for one in there], paint(), right=(2,)))
    for known in absent:
        out(f"{known} is not built yet: 'sdnlab up' builds it when a host needs it, 'sdnlab image build' now")
    if unpacked:
        rows = [(one.name, _megabytes(one.size), one.source or "?") for one in unpacked]
        out(table(("OF CONTAINERS", "SIZE", "FROM"), rows, paint(), right=(1,)))
    out(f"images are in {folder}")


def _row(one: Image) -> tuple[str, ...]:
    from dataplane.images import snapshots

    kept = snapshots.snapshots(one)
    sizes = f"{len(kept)}, {_megabytes(sum(item.size for item in kept))}" if kept else "none"
    return (
        one.name,
        one.sha256[:12],
        _megabytes(one.size()),
        sizes,
        one.built[:16].replace("T", " "),
        _origin(one),
    )


def _verify(name: str, as_json: bool) -> None:
    from dataplane.images import images

    there = images.find(name)
    images.verify(there)
    if as_json:
        out_json({**_told(there), "good": True})
    else:
        out(f"{paint()('good', 'green')}: {name}, {_megabytes(there.size())} read, SHA-256 {there.sha256}")


def _remove(name: str | None, as_json: bool) -> None:
    from dataplane.hosts.container import images as containers
    from dataplane.images import cache, images

    if name is None:
        raise usage("remove which image?", "sdnlab image remove micro")
    progress = Progress(can_overwrite(sys.stderr))
    try:
        ours = name in cache.names(cache.root()) or name not in {one.name for one in containers.kept()}
        freed = (images.remove if ours else containers.remove)(name, progress.doing)
    finally:
        progress.clear()
    if as_json:
        out_json({"name": name, "freed": freed})
    else:
        out(f"removed: {name}, {_megabytes(freed)}")


def _origin(one: Image) -> str:
    """The distribution and the kernel's version."""
    kernel = next((version for name, version in one.packages if name.startswith("linux-image-")), "?")
    return f"{one.distribution}, Linux {kernel}"


def _told(one: Image) -> dict[str, Any]:
    """An image for programs; sizes in bytes."""
    from dataplane.images import snapshots

    return {
        "name": one.name,
        "folder": str(one.folder),
        "size": one.size(),
        "sha256": one.sha256,
        "built": one.built,
        "distribution": one.distribution,
        "packages": dict(one.packages),
        "snapshots": [
            {
                "file": item.path.name,
                "size": item.size,
                "qemu": item.key.qemu,
                "accelerator": item.key.accelerator,
                "memory": item.key.memory,
                "vcpus": item.key.vcpus,
                "nic": item.key.nic,
            }
            for item in snapshots.snapshots(one)
        ],
    }


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


COMMANDS = {"image": image}
