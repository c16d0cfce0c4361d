"""The containers of a lab, as its supervisor starts, watches and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.hosts.container import bundle, runtime
from dataplane.hosts.container.entrance import NAME, Files, entering, files_of, find
from dataplane.hosts.container.images import Image, unpacked
from dataplane.hosts.container.rootfs import MACHINE, OWN_BELOW, Owner, RootFolder
from dataplane.hosts.driver import Hear, HostError, Place
from dataplane.hosts.limits import HostLimits, Limited
from dataplane.hosts.own_tree import OwnFile, tree_of
from dataplane.hosts.room import PROCESSES, bounded
from dataplane.sandbox.namespaces import RUN_NETNS, Namespace, run_in
from linux import syscalls
from linux.readiness import readable
from topologies.model.hosts import Container, ContainerHost, Host

if TYPE_CHECKING:
    from dataplane.plan.pieces import HostPlan

LOG = "command.log"
"""The file, in the host's folder, with the output of the container's command."""
NAMES = Path("/etc/hosts")
NETWORK_OWNER = Path("/proc/sys/net/ipv4/ip_forward")
STEP, LONGEST_STEP = 0.002, 0.016
"""Seconds between looks for the file that the runtime writes when a container with a command runs."""
END_PATIENCE = 10.0
"""Timeout in seconds until killed processes have ended."""


PIDS = 1024
"""Most processes and threads of a container for which the file says nothing."""


def settings(host: Host) -> Container:
    """The settings of a container host."""
    assert isinstance(host, ContainerHost)
    return host.container


@dataclass
class _Kept:
    """A container that was started. ``started`` is set when it runs, or failed."""

    place: Place
    files: Files
    root: RootFolder
    settings: Container
    command: tuple[str, ...]
    held: int = -1
    """A descriptor that keeps its image in the cache."""
    started: threading.Event = field(default_factory=threading.Event)
    failure: str = ""
    stopping: bool = False
    ended: str = ""
    thread: threading.Thread | None = None
    limited: Limited = field(init=False)

    def __post_init__(self) -> None:
        self.limited = Limited(self.place.name)


class Containers:
    """All of a lab. ``hear`` is told what happens by itself."""

    def __init__(self) -> None:
        self.hear: Hear = lambda host, kind, text: None
        self._kept: dict[str, _Kept] = {}  # by namespace
        self._lock = threading.Lock()
        self._limits = HostLimits(lambda host, text: self.hear(host, "limit", text))
        self._runtime: int | None = None
        """The descriptor of the lab's copy of the runtime; -1: there can't be one."""

    def start(self, host: HostPlan, place: Place, space: Namespace) -> None:
        """Begin to start the container. Raises OSError, and HostError when its image is missing."""
        container = settings(host.host)
        files = files_of(place.netns)
        own, lab = syscalls.owner_of(space.fd), Path("/proc/self/ns/user").stat().st_ino
        try:
            same = os.fstat(own).st_ino == lab
            network = run_in(space.fd, NETWORK_OWNER.stat)
            owner = Owner(network.st_uid, network.st_gid, None if same else own)
            files.base.mkdir(parents=True, exist_ok=True)
            image = unpacked(container.image, owner.uid if owner.users is not None and privileged() else 0)
            root = RootFolder(files.base, owner, privileged())
            kept = _Kept(place, files, root, container, container.command or image.command, image.hold())
            self._kept[place.netns] = kept
            mounted = root.mount(image.root, image.shift, tree_of(host.host.own))
            self._write(kept, host.host, image, owner, mounted)
            kept.limited = self._limits.begin(place.name, place.netns, container, PIDS)
            files.groups.write_text("".join(f"{line}\n" for line in kept.limited.joined()))
        finally:
            os.close(own)
        for note in (*root.notes, *image.notes):
            print(f"container of {place.name}: {note}", flush=True)  # into the log
        process = self._run(kept, owner)
        kept.thread = threading.Thread(target=self._follow, args=(kept, process), daemon=True)
        kept.thread.start()

    def ready(self, place: Place, patience: float) -> None:
        """Wait until the container runs. Raises HostError."""
        kept = self._kept.get(place.netns)
        if kept is None:
            raise HostError("its container was not started")
        if not kept.started.wait(patience):
            raise HostError(f"its container did not start within {patience:.0f} s")
        if kept.failure:
            raise HostError(kept.failure)

    def state(self, place: Place) -> dict[str, str | int | float | bool]:
        """What ``status`` shows."""
        kept = self._kept.get(place.netns)
        if kept is None:
            return {}
        pid = kept.files.alive()
        state: dict[str, str | int | float | bool] = {"image": kept.settings.image}
        if pid is not None and not kept.ended:
            state |= {"state": "running", "pid": pid}
        else:
            state |= {"state": kept.failure or kept.ended or "starting"}
        return state | kept.limited.state()

    def stop(self, place: Place) -> None:
        """Kill the container's processes, and remove its files."""
        kept = self._kept.pop(place.netns, None)
        if kept is None:
            return
        kept.stopping = True
        kept.started.wait(END_PATIENCE)
        pid = kept.files.alive()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if kept.thread is not None:
            kept.thread.join(END_PATIENCE)
        kept.root.unmount()
        if kept.held >= 0:
            os.close(kept.held)
        self._limits.end(kept.limited)
        for path in (kept.files.users, kept.files.base / "hosts"):
            with contextlib.suppress(OSError):
                syscalls.umount(str(path), syscalls.MNT_DETACH)
        shutil.rmtree(kept.files.base, ignore_errors=True)

    def _write(self, kept: _Kept, host: Host, image: Image, owner: Owner, mounted: Sequence[OwnFile]) -> None:
        """Write the bundle and what it names."""
        files, place = kept.files, kept.place
        for folder in (files.state, files.bundle, files.own):
            folder.mkdir(exist_ok=True)
        os.chown(files.state, owner.uid, owner.gid)
        if owner.users is not None:
            files.users.touch()
            source = f"/proc/self/fd/{owner.users}"
            syscalls.mount(source, str(files.users), None, syscalls.MS_BIND)
        names = files.base / "hosts"
        names.touch()
        syscalls.mount(place.names_file or str(NAMES), str(names), None, syscalls.MS_BIND)
        binds = [bundle.Bound(str(names), "/etc/hosts", ("bind", "ro", "nosuid", "nodev"))]
        for number, file in enumerate(mounted):
            own = files.own / str(number)
            own.write_text(file.content, encoding="utf-8")
            os.chown(own, owner.uid, owner.gid)
            own.chmod(file.mode)
            binds.append(bundle.Bound(str(own), file.path, ("bind", "rw", "nosuid", "nodev")))
        contents = bundle.Contents(
            root=str(kept.root.path),
            netns=str(RUN_NETNS / place.netns),
            hostname=host.hostname,
            init=find("catatonit") or "catatonit",
            command=kept.command,
            environment=(*image.environment, *host.own.environment),
            folder=image.folder,
            user=image.user,
            binds=tuple(binds),
            private=tuple(OWN_BELOW.items()) if kept.settings.image == MACHINE else (),
            processes=bounded(PROCESSES, *resource.getrlimit(resource.RLIMIT_NPROC)),
            tun=Path(bundle.TUN_DEVICE).is_char_device(),
        )
        (files.bundle / "config.json").write_text(json.dumps(bundle.config(contents)))

    def _run(self, kept: _Kept, owner: Owner) -> subprocess.Popen[bytes]:
        files = kept.files
        copy = self._copy()
        program = runtime.installed() if copy < 0 else runtime.path_of(copy)
        words = [program, "--root", str(files.state), "--log", str(files.state / "log")]
        words += ["run", *([] if kept.command else ["--detach"]), "--pid-file", str(files.pid)]
        words += ["--bundle", str(files.bundle), NAME]
        users = str(files.users) if owner.users is not None else ""
        folder = Path(kept.place.folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / LOG).open("ab") as log:
            return subprocess.Popen(
                entering(files.joined(), users, words, owner.uid == os.geteuid()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=runtime.environment(),
                pass_fds=[copy] if copy >= 0 else [],
                start_new_session=True,
            )

    def _copy(self) -> int:
        """The lab's copy of the runtime, made with its first container; -1: this kernel allows none."""
        with self._lock:
            if self._runtime is None:
                try:
                    self._runtime = runtime.keep_copy()
                except runtime.NoRuntime:
                    raise
                except OSError as error:
                    print(f"containers start slowly: no copy of runc: {error}", flush=True)  # into the log
                    self._runtime = -1
            return self._runtime

    def _follow(self, kept: _Kept, process: subprocess.Popen[bytes]) -> None:
        """Wait until the container runs, and then until it ends."""
        if not kept.command:
            process.wait()  # it ends when the container runs
        step = STEP
        while process.poll() is None and not kept.files.pid.exists():
            time.sleep(step)
            step = min(2 * step, LONGEST_STEP)
        pid = kept.files.alive()
        if pid is None and process.wait() != 0 and not kept.files.pid.exists():
            kept.failure = f"its container was not started: {_reason(kept.files.state / 'log')}"
        kept.started.set()
        if kept.failure:
            return
        if kept.command:
            code = process.wait()
            what = f"its command {kept.command[0]} has ended with exit code {code}"
            if code and (words := _last_line(Path(kept.place.folder) / LOG)):
                what += f": {words}"
        else:
            _await_end(pid)
            what = "its first process was killed"
        kept.ended = what
        if not kept.stopping:
            self.hear(kept.place.name, "container", f"the container of {kept.place.name} has ended: {what}")


def privileged() -> bool:
    """Whether the lab's root is the machine's."""
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


def _await_end(pid: int | None) -> None:
    if pid is None:
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with contextlib.closing(os.fdopen(handle, "rb", buffering=0)):
        readable([handle])


def _last_line(log: Path) -> str:
    """The last words of a command, in one line; empty: there are none."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 512))
        lines = file.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


def _reason(log: Path) -> str:
    """The runtime's last words."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    errors = [line.partition("msg=")[2] or line for line in lines if "level=error" in line]
    said = [error.strip('"') for error in errors]
    return said[-1] if said else "runc said nothing"
