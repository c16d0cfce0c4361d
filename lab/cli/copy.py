"""``sdnlab copy``: files between this machine and hosts."""

from __future__ import annotations

from typing import Annotated

import typer

from lab.cli.common import Lab, choose, client, usage
from lab.failure import unknown


def copy(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="SRC... DST",
            help="Files and directories: PATH here, HOST:PATH in a host. The last is where the others go.",
        ),
    ],
    lab: Lab = None,
) -> None:
    """Copy files and directories between this machine and hosts, or from host to host.

    It uses no network, so it also works in a host whose links are down. A path in a host begins at /root
    unless it begins with /. Modes and times are kept. The copies belong to the user who copies, or to the
    host's root.

    If DST is a directory, the copies go into it. A path of this machine that contains a colon must begin with
    ./ or /.

    Examples: sdnlab copy page.html h1:/srv/, sdnlab copy h1:/var/log .
    """
    from lab.access.client import supervisor_pid
    from lab.cli import archive, copying

    if len(paths) < 2:
        raise usage("name what to copy, and where to", "sdnlab copy FILE h1:/tmp/")
    *sources, target = [archive.parse(word) for word in paths]
    if not any(end.host for end in (*sources, target)):
        raise usage(
            "none of these paths is in a host", f"sdnlab copy {paths[0]} h1:/tmp/ copies into host h1"
        )
    name = choose(lab)
    known = [host["name"] for host in client(name).get("/status")["hosts"]]
    for end in (*sources, target):
        if end.host and end.host not in known:
            raise unknown("host", end.host, known, "hosts", " in this lab")
    copying.run(copying.Inside(name, supervisor_pid(name)), sources, target)
