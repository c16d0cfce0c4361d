"""Graphviz lays pictures out and draws them, as a process."""

from __future__ import annotations

import shutil
import subprocess

from lab.drawing.description import Picture
from lab.failure import Exit, Failure

PATIENCE = 60.0
"""Seconds that a layout may take: one of 400 nodes takes about two."""


def render(picture: Picture, format: str) -> bytes:
    """The picture as ``svg`` or ``png`` (or any format of Graphviz). Raises Failure."""
    if shutil.which(picture.engine) is None:
        raise Failure(
            f"Graphviz's program {picture.engine} draws pictures, and it is not installed",
            "install it: sudo apt-get install graphviz; or write the description: -o FILE.dot",
            Exit.MACHINE,
        )
    try:
        done = subprocess.run(
            [picture.engine, f"-T{format}"],
            input=picture.text.encode(),
            capture_output=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise Failure(
            f"{picture.engine} has not laid the picture out within {PATIENCE:.0f} s",
            "write the description, and draw it yourself: -o FILE.dot",
        ) from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip()
        raise Failure(f"{picture.engine} can't draw the picture: {said or f'exit code {done.returncode}'}")
    return done.stdout
