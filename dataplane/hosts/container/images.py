"""What a container's image is: the machine's own files, a directory, or an unpacked OCI image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dataplane.hosts.container.bundle import ROOT_USER, User
from dataplane.hosts.container.rootfs import MACHINE
from dataplane.hosts.driver import HostError, Say


@dataclass(frozen=True)
class Image:
    """An image that can be run. ``root``: ``machine``, or a directory; the rest is used where the topology
    says nothing. ``shift``: files of the machine's root belong to the container's."""

    root: str
    shift: bool = False
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    folder: str = "/"
    user: User = ROOT_USER


def prepare(image: str, say: Say) -> None:
    """Make what ``unpacked`` takes. Raises HostError."""
    unpacked(image)


def unpacked(image: str) -> Image:
    """The image as it can be run. Raises HostError when it is not there."""
    if image == MACHINE:
        return Image(MACHINE, folder="/root")
    if not Path(image).is_dir():
        remedy = "image: machine, a directory, an OCI image layout or its tar archive"
        raise HostError(f"there is no image {image}", remedy)
    return Image(image, shift=True)
