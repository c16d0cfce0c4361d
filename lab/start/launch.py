"""Starts labs from outside: spawns the sandbox and follows the build."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from controller.typed_json import BadMessage
from lab.access import holders
from lab.failure import Exit, Failure, Interrupted
from lab.start import suspended
from lab.start.messages import (
    Building,
    Detach,
    Doing,
    Failed,
    Go,
    Message,
    Prepare,
    Prepared,
    Probing,
    Ready,
    StageDone,
    encode,
    heard,
)
from lab.start.stop import CLOSING_PATIENCE, MOMENT

if TYPE_CHECKING:
    from dataplane.sandbox.sandbox import Sandbox
    from lab.start.order import Order


class Progress(Protocol):
    """Is told how far the start of a lab is."""

    def stage_done(self, name: str, seconds: float) -> None:
        """A stage has ended."""

    def probing(self, done: int, of: int) -> None:
        """So many of the frames of the test of all pairs have their answers."""

    def doing(self, what: str) -> None:
        """This is done at present."""


@dataclass
class Launched:
    """A lab that is up, and ends when this process ends, unless it is detached."""

    sandbox: Sandbox
    notes: tuple[str, ...]
    building: Building
    ready: Ready

    def detach(self) -> None:
        """Let the lab run when this process ends."""
        try:
            self.sandbox.status.sendall(encode(Detach()))
        except OSError:
            raise Failure(
                "the lab ended as soon as it was up", "was it stopped from elsewhere?", Exit.LOST
            ) from None
        finally:
            self.sandbox.close()

    def stop(self) -> None:
        """End the lab and wait until nothing of it remains; its storage is written out before."""
        from dataplane.hosts.cgroups import removed_after

        with removed_after(self.sandbox.pid):
            if self.ready.closes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.sandbox.pid, signal.SIGTERM)
                self.sandbox.wait(CLOSING_PATIENCE)
            if not self.sandbox.kill(MOMENT):
                suspended.go_on(self.sandbox.init)
                self.sandbox.kill(10.0)
        self.sandbox.close()


@contextlib.contextmanager
def _no_interrupt_before(sandbox: list[Sandbox]) -> Iterator[Callable[[], None]]:
    """Delay Ctrl-C while the sandbox is created, until we hold it.

    Yields a function to call when we hold the sandbox: it raises a delayed Ctrl-C.
    """
    pending = False

    def strike(_number: int, _frame: FrameType | None) -> None:
        nonlocal pending
        pending = True
        if sandbox:
            raise Interrupted

    def held() -> None:
        if pending:
            raise Interrupted

    before = signal.signal(signal.SIGINT, strike)
    try:
        yield held
        if pending:
            raise Interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def launch(order: Order, progress: Progress) -> Launched:
    """Build the lab; ``progress`` is told how far it is. If it fails, nothing of the lab remains."""
    from dataplane.sandbox.door import Door
    from dataplane.sandbox.errors import SandboxError
    from dataplane.sandbox.sandbox import spawn

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    log = os.memfd_create("supervisor.log")
    held: list[Sandbox] = []
    inner, outer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def stay() -> None:
        from lab.start import outside

        outside.stay(outer, order.uid)

    def body(status_fd: int) -> None:
        from lab.start import inside as supervisor

        _close_all_but(listener.fileno(), log, status_fd, inner.fileno())
        supervisor.main(order, listener, log, status_fd, Door(inner))

    try:
        with _no_interrupt_before(held) as now_held:
            try:
                held.append(spawn(body, log=log, last=_remove_groups, door=stay))
            except SandboxError as error:
                raise Failure(error.what, error.remedy, Exit.MACHINE) from None
            finally:
                for ours in (listener, inner, outer):
                    ours.close()
            now_held()
            building, ready = _follow(held[0], log, progress)
    except BaseException:
        for sandbox in held:
            sandbox.kill(10.0)
            sandbox.close()
        raise
    finally:
        os.close(log)
    return Launched(held[0], held[0].notes, building, ready)


def _remove_groups() -> None:
    """Remove the control groups of a lab that has ended, however it did."""
    from dataplane.hosts.cgroups import REMOVAL_PATIENCE, remove_all_left

    remove_all_left(REMOVAL_PATIENCE)


def _close_all_but(*kept: int) -> None:
    """Close the caller's descriptors: a lab in the background must not hold the caller's locks and pipes."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, 1 << 20)


def _follow(sandbox: Sandbox, log: int, progress: Progress) -> tuple[Building, Ready]:
    """Follow the messages of the supervisor until the lab is up. Raises Failure."""
    # The supervisor writes nothing before it reads this: ``spawn`` could take it for its own message.
    _answer(sandbox, Go())
    building: Building | None = None
    for message in heard(sandbox.status):
        match message:
            case Building():
                building = message
                if holders.comes_before(message.name, message.taken):
                    raise Failure(
                        f"a lab named {message.name!r} is running already",
                        f"choose another name with --name, or stop it: sdnlab down {message.name}",
                    )
            case StageDone():
                progress.stage_done(message.name, message.seconds)
            case Probing():
                progress.probing(message.done, message.of)
            case Doing():
                progress.doing(message.what)
            case Prepare():
                from lab.start.preparing import prepare

                prepare(message.hosts, progress.doing)
                _answer(sandbox, Prepared())
            case Ready() if building is not None:
                return building, message
            case Failed():
                remedy = message.remedy or (_last_words(log) if message.unforeseen else "")
                raise Failure(message.what, remedy, Exit(message.code))
            case _:
                raise BadMessage(f"{message} is not expected here")
    raise Failure("the lab ended while it was being built", _last_words(log), Exit.LOST)


def _answer(sandbox: Sandbox, message: Message) -> None:
    with contextlib.suppress(OSError):  # it has already ended: its last message can still be read
        sandbox.status.sendall(encode(message))


def _last_words(log: int) -> str:
    size = os.fstat(log).st_size
    text = os.pread(log, 4096, max(0, size - 4096)).decode(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    return (
        f"its last words: {lines[-1].strip()}"
        if lines
        else "it was stopped from elsewhere (sdnlab down, or kill)"
    )
