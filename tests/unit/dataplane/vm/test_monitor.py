"""QEMU's monitor and a machine's console, with a pretended QEMU at the other end."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dataplane.hosts.vm.console import Console, last_words
from dataplane.hosts.vm.qmp import Monitor, MonitorError
from tests.waiting import until

VERSION = {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}
GREETING = {"QMP": {"version": VERSION, "capabilities": []}}


class Qemu:
    """Answers as QEMU's monitor does."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self.given: list[int] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def say(self, message: Mapping[str, Any]) -> None:
        self._stream.sendall(json.dumps(message).encode() + b"\r\n")

    def end(self) -> None:
        self._stream.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        self.say(GREETING)
        data = ""
        while True:
            more, fds, _, _ = socket.recv_fds(self._stream, 4096, 4)
            self.given += fds
            if not more:
                return
            data += more.decode()
            while data := data.lstrip():  # commands follow each other without a line's end
                try:
                    asked, length = json.JSONDecoder().raw_decode(data)
                except ValueError:
                    break
                data = data[length:]
                self._answer(asked)

    def _answer(self, asked: dict[str, Any]) -> None:
        answers: dict[str, Any] = {"query-status": {"status": "running"}, "add-fd": {"fdset-id": 3}}
        again = {"id": asked["id"]} if "id" in asked else {}
        if asked["execute"] == "bad":
            self.say({"error": {"class": "GenericError", "desc": "no such thing"}, **again})
        else:
            self.say({"return": answers.get(asked["execute"], {}), **again})


@pytest.fixture
def heard() -> queue.Queue[tuple[str, Mapping[str, Any]]]:
    return queue.Queue()


@pytest.fixture
def both(heard: queue.Queue[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[Monitor, Qemu]]:
    ours, theirs = socket.socketpair()
    qemu = Qemu(theirs)
    monitor = Monitor("v1", ours, lambda event, data: heard.put((event, data)))
    monitor.connect()
    yield monitor, qemu
    monitor.close()


def test_commands_are_answered(both: tuple[Monitor, Qemu]) -> None:
    assert both[0].state() == "running"
    with pytest.raises(MonitorError, match="QEMU refuses: no such thing"):
        both[0].execute("bad")
    assert both[0].state() == "running"


def test_a_descriptor_goes_with_a_command(both: tuple[Monitor, Qemu], tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file:
        assert both[0].give(file.fileno(), "add-fd") == {"fdset-id": 3}
    until(lambda: len(both[1].given) == 1, "the descriptor arrived")


def test_events_are_heard(
    both: tuple[Monitor, Qemu], heard: queue.Queue[tuple[str, Mapping[str, Any]]]
) -> None:
    stamp = {"seconds": 1, "microseconds": 0}
    both[1].say({"event": "RESET", "data": {"guest": True}, "timestamp": stamp})
    both[1].say({"event": "GUEST_PANICKED", "timestamp": stamp})
    assert heard.get(timeout=20) == ("RESET", {"guest": True})
    assert heard.get(timeout=20) == ("GUEST_PANICKED", {})


def test_a_qemu_that_is_gone_is_an_error(both: tuple[Monitor, Qemu]) -> None:
    both[1].end()
    with pytest.raises(MonitorError, match="QEMU does not answer"):
        both[0].state()


def test_the_last_words_of_a_guest_are_those_of_its_panic() -> None:
    panic = "[ 6.5] Kernel panic - not syncing: System is deadlocked on memory"
    assert last_words(f"booting\n{panic}\n[ 6.6] CPU: 0 PID: 9\r\n\n") == panic


def test_the_last_words_do_not_move_the_cursor() -> None:
    began = "\x1b[H\x1b[J\x1b[1;1HSeaBIOS\x07\r\n"
    screen = f"{began}[\x1b[0;32m  OK  \x1b[0m] Started \x1b[1mcron\x1b[0m.\r\n\x1b[?25l\x1bc\r\n"
    assert last_words(screen) == "[  OK  ] Started cron."
    assert last_words("\x1b[H\x1b[J\r\n") == ""
    assert last_words("booting\nlogin:\n\n") == "login:"
    assert last_words("") == ""


def test_a_console_is_shared_and_remembers(tmp_path: Path) -> None:
    console = Console(str(tmp_path / "console"), str(tmp_path / "console.log"))
    console.open()
    ours, theirs = socket.socketpair()
    console.attach(theirs)
    ours.sendall(b"booting\nready\n")
    until(lambda: console.last_words() == "ready", "it was read")
    readers = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for reader in readers:
        reader.connect(str(tmp_path / "console"))
        assert reader.recv(14, socket.MSG_WAITALL) == b"booting\nready\n"
    readers[0].sendall(b"ls\n")
    assert ours.recv(3, socket.MSG_WAITALL) == b"ls\n"
    ours.sendall(b"files\n")
    assert [reader.recv(6, socket.MSG_WAITALL) for reader in readers] == [b"files\n"] * 2
    ours.close()  # QEMU ends; the console stays for the next one
    again, other = socket.socketpair()
    console.attach(other)
    again.sendall(b"again\n")
    assert readers[1].recv(6, socket.MSG_WAITALL) == b"again\n"
    console.close()
    assert readers[1].recv(1) == b""
    assert (tmp_path / "console.log").read_text() == "booting\nready\nfiles\nagain\n"


def test_the_log_of_a_console_is_plain_and_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplane.hosts.vm.console.MOST_LOGGED", 200)
    log = tmp_path / "console.log"
    console = Console(str(tmp_path / "console"), str(log))
    console.open()
    ours, theirs = socket.socketpair()
    console.attach(theirs)
    ours.sendall(b"\x1b[31mfirst\x1b[0m\x07\r\nKernel panic - not")
    until(lambda: log.read_text() == "first\n", "a whole line is there")
    ours.sendall(b" syncing\n" + 20 * b"and so on and so on\n")
    assert console.panic(10.0) == "Kernel panic - not syncing"
    until(lambda: log.read_text().count("so on\n") == 20, "all is there")
    ours.sendall(b"last\n")
    until(lambda: log.read_text().endswith("last\n"), "it goes on")
    assert "Kernel panic - not syncing\n" in log.read_text()
    assert log.read_text().count("last") == 1
    console.close()
