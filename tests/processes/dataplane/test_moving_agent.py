"""The broker of a machine that moves: programs notice nothing, or are told."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.hosts.guest.files import ROOT
from dataplane.hosts.vm.channel import Broker
from tests.unit.dataplane.guest_machines import CLIENT, start_agent
from tests.waiting import PATIENCE, until


class Moving:
    """An agent whose port is offered at one path after the other, as QEMU offers it; what is on its way stays
    on its way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: list[socket.socket] = []
        self.left: list[socket.socket] = []
        self.inside, theirs = socket.socketpair()
        self.agent = start_agent(theirs)
        theirs.close()
        self.connection: socket.socket | None = None
        self.still = False
        self._wakes, self._woken = socket.socketpair()
        self._ends = False
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self.offer("port-0")
        self._thread.start()
        self.broker = Broker(str(folder / "port-0"), str(folder / "agent"))
        self.broker.start()

    def offer(self, name: str) -> None:
        port = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        port.bind(str(self.folder / name))
        port.listen(1)
        self.ports.append(port)

    def stand(self, still: bool) -> None:
        """The machine stands still: nothing passes its port."""
        self.still = still
        self._wakes.send(b"!")

    def move(self, name: str) -> None:
        """As a migration does it."""
        self.offer(name)
        there = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        there.connect(str(self.folder / name))
        assert self.broker.hold(PATIENCE)
        self.stand(True)
        assert self.connection is not None
        self.left.append(self.connection)  # the old QEMU ends later
        self.connection, _ = self.ports[-1].accept()
        self.broker.take_over(there, str(self.folder / name))
        self.stand(False)

    def _pump(self) -> None:
        self.connection, _ = self.ports[0].accept()
        while not self._ends:
            ends = [] if self.still else [self.inside, self.connection]
            ready, _, _ = select.select([self._woken, *ends], [], [])
            if self._woken in ready:
                self._woken.recv(1)
                continue
            for one, other in ((self.inside, self.connection), (self.connection, self.inside)):
                if one in ready:
                    other.sendall(one.recv(1 << 16))

    def end(self) -> None:
        self._ends = True
        self._wakes.send(b"!")
        self._thread.join(PATIENCE)
        self.broker.stop()
        self.agent.kill()
        self.agent.wait(PATIENCE)
        for one in (*self.left, *self.ports, self.inside):
            one.close()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", CLIENT, str(ROOT), "v1", str(self.folder / "agent"), *words]


@pytest.fixture
def machine() -> Iterator[Moving]:
    with tempfile.TemporaryDirectory(prefix="vm") as folder:
        moving = Moving(Path(folder))
        until(lambda: moving.broker.ready, "the agent answers")
        yield moving
        moving.end()


def test_a_command_goes_on_where_the_machine_goes(machine: Moving) -> None:
    words = machine.command("sh", "-c", "while read line; do echo got $line; done; exit 3")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None and running.stdout is not None
        for number in range(3):
            running.stdin.write(f"{number}\n")
            running.stdin.flush()
            assert running.stdout.readline() == f"got {number}\n"
            machine.move(f"port-{number + 1}")
        running.stdin.close()
        assert running.wait(PATIENCE) == 3


def test_nothing_is_lost_or_sent_twice_while_much_is_on_its_way(machine: Moving) -> None:
    count = 4 << 20
    words = machine.command("sh", "-c", f"head -c {count} /dev/zero | tee /dev/stderr | md5sum")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        threads: list[threading.Thread] = []
        seen: list[int] = []
        assert running.stderr is not None
        first = len(running.stderr.read(1))
        threads.append(threading.Thread(target=machine.move, args=("port-1",)))
        threads[0].start()
        seen.append(first + len(running.stderr.read()))
        threads[0].join(PATIENCE)
        assert running.wait(PATIENCE) == 0
        assert seen == [count]


def test_what_is_written_while_it_is_held_waits(machine: Moving) -> None:
    assert machine.broker.hold(PATIENCE)
    words = machine.command("echo", "later")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.3)
        machine.broker.go_on()
        assert running.wait(PATIENCE) == 0
        assert running.stdout is not None and running.stdout.read() == "later\n"


def quiet(broker: Broker) -> bool:
    """Whether the machine has read all that was sent to it; if so, more is sent."""
    if broker.hold(0.05):
        broker.go_on()
        return True
    return False


def test_a_machine_that_reads_nothing_is_told(machine: Moving) -> None:
    machine.stand(True)
    with subprocess.Popen(machine.command("true")) as running:
        until(lambda: not quiet(machine.broker), "something is on its way")
        machine.stand(False)
        assert machine.broker.hold(PATIENCE)
        machine.broker.go_on()
        assert running.wait(PATIENCE) == 0
