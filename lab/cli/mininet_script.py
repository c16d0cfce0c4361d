"""``sdnlab mininet``: runs a user's Mininet script in a sandbox of its own."""

from __future__ import annotations

import contextlib
import json as json_module
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from lab.cli.say import err
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from dataplane.mininet_scripts.layout import Settings
    from dataplane.sandbox.sandbox import Sandbox

SHOWN = 1.0
"""Timeout in seconds for what was told to the user to be shown."""
ENDING = 10.0
"""Timeout in seconds for the sandbox to end."""
_TUN = "/dev/net/tun"
_LAUNCH = (
    "import sys; del sys.path[0]; from controller.ryu.old_python import mend; mend(); "
    "import dataplane.mininet_scripts.without_distutils; "
    "from dataplane.mininet_scripts.launcher import main; main()"
)
"""The program of the script's process. The current folder is not searched for our modules."""


def mininet(
    words: Annotated[
        list[str],
        typer.Argument(metavar="SCRIPT [ARGS]...", help="The script and its arguments, as for python."),
    ],
    app: Annotated[
        list[Path] | None,
        typer.Option(
            "--app",
            help="A Ryu application as the controller; may be repeated. Default: a learning switch.",
        ),
    ] = None,
    fix_py2: Annotated[
        bool, typer.Option("--fix-py2", help="Run a copy of a Python 2 script, converted to Python 3.")
    ] = False,
) -> None:
    """Run a Mininet script, unchanged and without root. Nothing of it remains.

    The script runs in a sandbox with an Open vSwitch of its own. It sees private folders /tmp and /etc, and
    writes elsewhere as ever. A RemoteController is what --app names, or what listens at its address outside,
    or else a learning switch.

    Exits with the script's own code. docs/mininet.md says what works, and what differs.

    Example: sdnlab mininet topo.py
    """
    from lab.mininet.words import script_of

    script, arguments = script_of(words)
    if "--app" in arguments:
        err("note: --app after the script is an argument of the script; sdnlab's own options stand before it")
    for file in app or ():
        if not file.exists():
            raise Failure(f"{file}: there is no such file", "--app names a Ryu application's file")
    raise typer.Exit(run(script, arguments, [str(file.resolve()) for file in app or ()], fix_py2))


def run(script: str, arguments: list[str], apps: list[str], fix_py2: bool = False) -> int:
    """Run the script in a new sandbox; its exit code. Raises Failure when there can be none."""
    from controller.ryu import starting
    from dataplane.mininet_scripts.layout import Settings
    from dataplane.mininet_scripts.supervisor import Wanted
    from lab.cli import enter

    _check_tun()
    for program in ("ovs-vswitchd", "mnexec"):
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin"
        if shutil.which(program, path=path) is None:
            remedy = "sudo apt-get install mininet openvswitch-switch"
            raise Failure(f"{program} is not installed", remedy, Exit.MACHINE)
    settings = Settings(bool(apps), os.isatty(0), str(Path.cwd()), _source(script, fix_py2))
    options = [*(["--fix-py2"] if fix_py2 and apps else []), *apps]
    wanted = Wanted(
        needed(script, arguments, apps), tuple(starting.command(())), tuple(options), os.geteuid() == 0
    )
    sandbox = _spawn(wanted)
    try:
        enter.join(sandbox.pid, "of the script")

        def child() -> NoReturn:
            command = [sys.executable, "-c", _LAUNCH, script, *arguments]
            os.execve(sys.executable, command, environment(os.environ, settings))

        return enter.run(child)
    finally:
        failed = _said(sandbox)
        _end(sandbox)
        if failed is not None:
            raise failed


def _end(sandbox: Sandbox) -> None:
    """End the sandbox. Its init does this when its supervisor has ended, and removes control groups, too."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(sandbox.pid, signal.SIGKILL)
    if not sandbox.wait(ENDING):
        sandbox.kill(ENDING)
    sandbox.close()


def _source(script: str, fix_py2: bool) -> str | None:
    """The script as Python 3, if it is Python 2 and the user wants that. Raises Failure."""
    from controller.ryu import python2

    why = python2.recognise(script)
    if why is None:
        return None
    if not fix_py2:
        raise Failure(f"{script}, {why}", f"run a converted copy of it: sdnlab mininet --fix-py2 {script}")
    copy = python2.converted(Path(script))
    text = copy.read_text(encoding="utf-8")
    shutil.rmtree(copy.parent)
    return text


def _check_tun() -> None:
    """Raise Failure where Open vSwitch can't make the devices of its userspace datapath."""
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        remedy = (
            "sudo modprobe tun" if missing else f"sudo chmod 0666 {_TUN} (the usual mode), or run it as root"
        )
        raise Failure(f"{_TUN}: {error.strerror}", remedy, Exit.MACHINE) from None


def needed(script: str, arguments: list[str], apps: list[str]) -> tuple[str, ...]:
    """The paths that a script needs as they are: itself, its folder, what its arguments name, and Python."""
    folders = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[2]]
    folders += [Path.cwd(), Path(script).resolve().parent, *(Path(file).parent for file in apps)]
    home = Path(os.environ.get("HOME") or "/")
    if home.parent != Path("/"):
        folders.append(home)
    named = [Path(word) for word in arguments if not word.startswith("-")]
    folders += [path for path in named if "/" in str(path) and path.exists()]
    return tuple(dict.fromkeys(os.path.realpath(path) for path in folders if path.exists()))


def environment(before: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The environment of a script."""
    from dataplane.mininet_scripts import layout, stand_ins

    ovs = str(layout.OVS)
    return {
        **before,
        "PATH": f"{layout.PROGRAMS}:{before.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin",
        "OVS_RUNDIR": ovs,
        "OVS_DBDIR": ovs,
        "OVS_LOGDIR": ovs,
        "SHELL": before.get("SHELL", "/bin/bash"),
        "SDNLAB_WIRES": str(layout.WIRES),
        "SDNLAB_SERVED": str(layout.SERVED),
        stand_ins.HINT_VARIABLE: stand_ins.hint(),
        layout.SETTINGS: json_module.dumps(settings._asdict()),
    }


def _spawn(wanted: object) -> Sandbox:
    """The sandbox, when its first process has begun to furnish it. Raises Failure."""
    from dataplane.mininet_scripts import supervisor
    from dataplane.sandbox.errors import SandboxError
    from dataplane.sandbox.sandbox import spawn

    inner, outer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _connect_outside(inner, outer)
    errors = os.dup(2)
    log = os.memfd_create("mininet.log")

    def body(status_fd: int) -> None:
        assert isinstance(wanted, supervisor.Wanted)
        supervisor.main(wanted, status_fd, inner.detach(), errors)

    try:
        sandbox = spawn(body, tied=True, log=log, last=_remove_groups)
    except SandboxError as error:
        raise Failure(error.what, error.remedy, Exit.MACHINE) from None
    finally:
        inner.close()
        os.close(errors)
        os.close(log)
    sandbox.status.sendall(b"!")  # before, it says nothing
    return sandbox


def _remove_groups() -> None:
    from dataplane.hosts.cgroups import REMOVAL_PATIENCE, remove_all_left

    remove_all_left(REMOVAL_PATIENCE)


def _connect_outside(inner: socket.socket, outer: socket.socket) -> None:
    """Start the process that opens connections outside of the sandbox, and ends with it or with us."""
    from dataplane.mininet_scripts.supervisor import connect_outside
    from linux import syscalls

    if os.fork() == 0:
        try:
            syscalls.hang_up_with_parent()
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # at a terminal, Ctrl-C is for the script alone
            inner.close()
            connect_outside(outer)
        finally:
            os._exit(0)
    outer.close()


def _said(sandbox: Sandbox) -> Failure | None:
    """Show the notes of the sandbox's first process; what it failed at."""
    sandbox.status.settimeout(SHOWN)
    said = b""
    try:
        sandbox.status.sendall(b"!")
        while b"shown" not in said and (more := sandbox.status.recv(1 << 16)):
            said += more
    except OSError:
        pass
    return _failure(said.splitlines())


def _failure(lines: list[bytes]) -> Failure | None:
    for line in lines:
        said = json_module.loads(line)
        for note in said.get("notes", ()):
            err(f"note: {note}")
        if "failed" in said:
            return Failure(said["failed"], said["remedy"], Exit.MACHINE)
    return None


COMMANDS = {"mininet": mininet}
