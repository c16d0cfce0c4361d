"""What is ordered of Open vSwitch is done once, whoever dies on the way."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplane.ovs.database import Database, OpenVSwitchError
from dataplane.ovs.ovsdb import MARK

DIES_BEFORE, DIES_AFTER, ANSWERS = "dies before it takes the order", "dies after it took it", "answers"


class Server:
    """An ovsdb-server whose database outlives it. ``lives``: what each of its lives does with an order."""

    def __init__(self, path: Path, lives: list[str]) -> None:
        self.done: list[dict[str, Any]] = []
        self.mark, self.next_cfg, self.cur_cfg = "", 4, 4
        self._lives = iter(lives)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        for life in self._lives:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            with stream:
                self._live(stream, life)

    def _live(self, stream: socket.socket, life: str) -> None:
        decoder, heard = json.JSONDecoder(), ""
        while data := stream.recv(65536):
            heard += data.decode()
            while heard:
                request, end = decoder.raw_decode(heard)
                heard = heard[end:]
                result = self._answer(request, life)
                if result is None:
                    return
                stream.sendall(json.dumps({"id": request["id"], "result": result, "error": None}).encode())

    def _answer(self, request: dict[str, Any], life: str) -> Any:
        if request["method"] == "monitor":
            return {"Open_vSwitch": {"u": {"new": {"cur_cfg": self.cur_cfg}}}}
        if request["method"] != "transact":
            return {}
        results = []
        for operation in request["params"][1:]:
            if operation["op"] == "insert":
                if life == DIES_BEFORE:
                    return None
                self.done.append(operation["row"])
            elif operation["op"] == "mutate" and operation["mutations"][0][0] == "next_cfg":
                self.next_cfg += 1
                self.cur_cfg = self.next_cfg
                self.mark = operation["mutations"][2][2][1][0][1]
            notes = ["map", [[MARK, self.mark]]]
            results.append({"rows": [{"next_cfg": self.next_cfg, "external_ids": notes}]})
        return None if self.done and life == DIES_AFTER else results


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "db.sock"


@pytest.mark.parametrize(
    "lives",
    [
        [ANSWERS],
        [DIES_BEFORE, ANSWERS],
        [DIES_AFTER, ANSWERS],
        [DIES_BEFORE, DIES_BEFORE, DIES_AFTER, ANSWERS],
        [DIES_AFTER, DIES_BEFORE, ANSWERS],
    ],
)
def test_an_order_is_carried_out_once(path: Path, lives: list[str]) -> None:
    server = Server(path, lives)
    database = Database(path, "Open vSwitch", lambda: None)
    try:
        database.apply([{"op": "insert", "table": "Port", "row": {"name": "p"}}])
        assert server.done == [{"name": "p"}] and server.next_cfg == 5
    finally:
        database.close()
        server.close()


def test_nobody_waits_for_one_that_will_not_come(path: Path) -> None:
    def hopeless() -> None:
        raise OpenVSwitchError("ovsdb-server of domain d1 keeps ending")

    with pytest.raises(OpenVSwitchError, match="keeps ending"):
        Database(path, "Open vSwitch", hopeless).order([])


def test_nobody_waits_for_one_that_is_stopped(path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)  # connects, and hears nothing

    def stopped() -> None:
        raise OpenVSwitchError("ovsdb-server of domain d1 is stopped (process 7)")

    with listener, pytest.raises(OpenVSwitchError, match="is stopped"):
        Database(path, "Open vSwitch", stopped).order([])
