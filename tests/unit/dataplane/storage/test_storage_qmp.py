"""The client of QMP, against a server that is a thread."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dataplane.storage.qmp import Qmp, QmpError

Answer = Callable[[Mapping[str, Any]], list[Mapping[str, Any]] | None]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Answer], Path]]:
    listeners = []

    def begin(answer: Answer) -> Path:
        path = tmp_path / "qmp"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        listeners.append(listener)

        def run() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as lines:

                def say(message: Mapping[str, Any]) -> None:
                    lines.write(json.dumps(message).encode() + b"\n")
                    lines.flush()

                say({"QMP": {}})
                for line in lines:
                    request = json.loads(line)
                    known = request["execute"] == "qmp_capabilities"
                    answers = [{"return": {}}] if known else answer(request)
                    if answers is None:
                        return
                    for message in answers:
                        say(message)

        threading.Thread(target=run, daemon=True).start()
        return path

    yield begin
    for listener in listeners:
        listener.close()


def test_events_between_come_to_who_hears_and_answers_to_who_asks(
    serve: Callable[[Answer], Path],
) -> None:
    heard: queue.SimpleQueue[tuple[str, Mapping[str, Any]]] = queue.SimpleQueue()
    event = {"event": "QUORUM_REPORT_BAD", "data": {"node-name": "st1.1"}}
    path = serve(lambda request: [event, {"return": request["arguments"]}, event])
    qmp = Qmp(path, lambda name, data: heard.put((name, data)))
    assert qmp.do("block_resize", {"size": 1}) == {"size": 1}
    for _ in range(2):
        assert heard.get(timeout=10) == ("QUORUM_REPORT_BAD", {"node-name": "st1.1"})
    qmp.close()


def test_a_refusal_is_told_with_the_command(serve: Callable[[Answer], Path]) -> None:
    qmp = Qmp(
        serve(lambda _: [{"error": {"class": "GenericError", "desc": "no such node"}}]), lambda *_: None
    )
    with pytest.raises(QmpError, match="blockdev-del: no such node"):
        qmp.do("blockdev-del")
    qmp.close()


def test_the_end_of_qemu_is_told_at_once_and_ever_after(serve: Callable[[Answer], Path]) -> None:
    qmp = Qmp(serve(lambda _: None), lambda *_: None)
    for _ in range(2):
        with pytest.raises(QmpError):
            qmp.do("query-jobs")


def test_without_a_socket_there_is_an_error_in_time(tmp_path: Path) -> None:
    with pytest.raises(QmpError, match="no control socket"):
        Qmp(tmp_path / "none", lambda *_: None, patience=0.0)
