"""FRR in hosts that are routers: what this machine must have, and what their rooms have of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dataplane.hosts.driver import Lack
from dataplane.hosts.own_tree import OwnTree
from linux import seccomp
from topologies.model.choices import ROUTER
from topologies.model.frr import configuration, daemons
from topologies.model.hosts import Host

DAEMONS = Path("/usr/lib/frr")
SETTINGS = Path("/etc/frr")
"""Where Debian's package has the daemons, and the configuration."""
SHELL = "vtysh"
_PACKAGE = "install it: sudo apt-get install frr"
_PATIENCE = 20.0
MOST_LINES = 5
_WRONG = re.compile(r"line (\d+): (?:% )?([^[:]*)(?:\[\d+\])?(.*)")


def is_installed() -> bool:
    """Whether this machine has FRR's shell and daemons."""
    return DAEMONS.is_dir() and shutil.which(SHELL) is not None


def with_settings(host: Host, tree: OwnTree) -> OwnTree:
    """What a host has of its own; a router may also change FRR's configuration, which nobody else sees."""
    if host.kind != ROUTER or not SETTINGS.is_dir():
        return tree
    return replace(tree, private=tuple(sorted({*tree.private, str(SETTINGS)})))


def lacks(hosts: Iterable[Host]) -> list[Lack]:
    """What this machine lacks for the FRR of ``hosts``: the programs, or a configuration that they take."""
    given = [(host.name, text) for host in hosts if (text := configuration(host)) is not None]
    if not given:
        return []
    names = ", ".join(name for name, _ in given)
    if not is_installed():
        return [Lack("FRR is not installed (frr:)", names, _PACKAGE)]
    if not seccomp.keeps_capabilities():
        what = f"FRR does not run in hosts on this processor ({os.uname().machine})"
        return [Lack(what, names, "use static routes (routes:)")]
    lacking = []
    for name, text in given:
        for daemon in daemons(text):
            if not (DAEMONS / daemon).exists():
                lacking.append(Lack(f"this machine's FRR has no {daemon}", name, "remove what needs it"))
        lacking += [
            Lack(f"this machine's FRR does not take frr of {name}: {said}", name, "correct it")
            for said in refused(text)
        ]
    return lacking


def refused(text: str) -> list[str]:
    """The lines of a configuration that FRR's shell refuses, in words. Nothing is configured."""
    with open(os.memfd_create("frr.conf"), "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(text.encode())
        file.flush()
        path = f"/proc/self/fd/{file.fileno()}"
        try:
            done = subprocess.run(
                [SHELL, "--dryrun", "--inputfile", path],
                pass_fds=[file.fileno()],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return []  # a busy machine: the daemons will tell
        except OSError as error:
            return [f"{SHELL} can't check it: {error.strerror}"]
    lines = [
        f"line {match[1]}: {match[2]}{match[3]}"
        for line in (done.stdout + done.stderr).splitlines()
        if (match := _WRONG.match(line))
    ]
    if done.returncode and not lines:
        last = (done.stdout + done.stderr).strip()[-200:]
        return [f"{SHELL} ends with exit code {done.returncode}: {last}"]
    return lines[:MOST_LINES]
