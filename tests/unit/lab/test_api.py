"""The HTTP API over a fake lab: paths, codes, and that its description fits what it answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import topologies
from controller.api.gate import Gate
from lab.api.app import create
from lab.api.serve import serve
from lab.events.log import EventLog
from lab.failure import Failure, NotThere
from lab.functions.keepers import processes
from lab.functions.state import InstanceRecord
from lab.views import services
from tests.unit.lab.lab_values import STATUS


class FakeLab:
    """Answers as ``lab.supervisor.lab.Lab`` does."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """As new: each test begins so."""
        self.events = EventLog()
        self.events.add("up", "the lab is up")
        self.topology = topologies.loads("switches: [s1]\nhosts: {h1: s1}\n")
        self.did: list[Any] = []

    def status(self) -> Any:
        return STATUS

    def set_link(self, name: str, up: bool) -> Any:
        if name == "nowhere":
            raise NotThere("no link named 'nowhere'", "there are: s1-s2")
        if name == "bug":
            raise ZeroDivisionError("deep inside")
        self.did.append((name, up))
        return {"name": name, "up": up, "changed": True, "note": ""}

    def function_states(self) -> Any:
        chain = topologies.load(Path(topologies.__file__).parent / "service-chain.yaml")
        records = {n: InstanceRecord(n, f.name, "running") for n, f in processes(chain).items()}
        return services.functions(chain, records, None)

    def chain_states(self) -> Any:
        chain = topologies.load(Path(topologies.__file__).parent / "service-chain.yaml")
        return services.chains(chain, None)

    def control_function(self, name: str, action: str, instance: str | None) -> Any:
        if name == "nope":
            raise NotThere("no function named 'nope'")
        self.did.append((name, action, instance))
        return self.function_states()

    def usage(self) -> Any:
        host = {"name": "h1", "kind": "vm", "processes": 1, "cpu": 1.5, "memory": 1, "read": 0, "written": 0}
        wire = dict.fromkeys(("received", "received_packets", "sent", "sent_packets"))
        return {"time": 1.0, "hosts": [host | wire]}

    def logs(self, name: str | None = None) -> Any:
        return {"h1": "text", "h2": ""} if name is None else {name: "text"}

    def more_of_log(self, name: str, after: int) -> Any:
        return {"text": name, "end": after}

    probing = {"running": True, "done": 3, "total": 12}  # noqa: RUF012

    def ping(self, pairs: Any, timeout: float | None, detail: str) -> Any:
        self.did.append((pairs, timeout, detail))
        raise Failure("can't probe", "why")


@pytest.fixture(scope="module")
def served() -> tuple[FakeLab, FastAPI]:
    """The lab that the application serves: FastAPI takes 0.1 s to make one."""
    lab = FakeLab()
    return lab, create(lab)  # type: ignore[arg-type]


@pytest.fixture
def lab(served: tuple[FakeLab, FastAPI]) -> FakeLab:
    served[0].begin()
    return served[0]


@pytest.fixture
def api(lab: FakeLab, served: tuple[FakeLab, FastAPI]) -> Iterator[TestClient]:
    with TestClient(served[1], raise_server_exceptions=False) as client:
        yield client


def test_usage_and_logs_pass_their_own_description(api: TestClient, lab: FakeLab) -> None:
    assert api.get("/usage").json() == lab.usage()
    assert api.get("/logs").json() == {"h1": "text", "h2": ""}
    assert api.get("/logs", params={"log": "a/b"}).json() == {"a/b": "text"}
    assert api.get("/logs/more", params={"log": "h1", "after": 7}).json() == {"text": "h1", "end": 7}
    assert api.get("/logs/more").status_code == 422


def test_status_passes_its_own_description(api: TestClient) -> None:
    assert api.get("/status").json() == STATUS
    assert api.get("/topology").json()["hosts"][0]["name"] == "h1"


def test_links(api: TestClient, lab: FakeLab) -> None:
    assert api.post("/links/s1-s2%232", json={"up": False}).json()["name"] == "s1-s2#2"
    assert lab.did == [("s1-s2#2", False)]
    missing = api.post("/links/nowhere", json={"up": False})
    assert (missing.status_code, missing.json()["remedy"]) == (404, "there are: s1-s2")
    assert api.post("/links/s1-s2", json={"up": "perhaps"}).status_code == 422
    assert "what" in api.post("/links/s1-s2", json={}).json()


def test_functions_and_chains_pass_their_own_description(api: TestClient, lab: FakeLab) -> None:
    names = [function["name"] for function in api.get("/functions").json()]
    assert names == ["fw", "lb", "limit"] == [function["name"] for function in lab.function_states()]
    assert api.get("/functions").json() == lab.function_states()
    assert api.get("/chains").json() == lab.chain_states()


def test_checks_answer_line_by_line(api: TestClient, lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [{"kind": "begin", "total": 0}, {"kind": "progress"}, {"kind": "end", "seconds": 1.0}]
    ended: list[bool] = []

    class Checking:
        def __init__(self, of: Any, only: Any, within: float) -> None:
            if only == ["nowhere"]:
                raise NotThere("no check named 'nowhere'")
            self.lines = iter(told)

        def line(self) -> Any:
            return next(self.lines, None)

        def cancel(self) -> None:
            ended.append(True)

    monkeypatch.setattr("lab.supervisor.checking.Checking", Checking)
    answer = api.post("/checks", json={})
    assert [json.loads(line) for line in answer.text.splitlines()] == told
    assert ended == [True]
    assert api.post("/checks", json={"only": ["nowhere"]}).status_code == 404
    assert api.post("/checks", json={"only": 3}).status_code == 422


def test_how_far_a_probe_has_come(api: TestClient) -> None:
    assert api.get("/ping").json() == {"running": True, "done": 3, "total": 12}


def test_functions_are_controlled(api: TestClient, lab: FakeLab) -> None:
    assert api.post("/functions/fw", json={"action": "stop"}).status_code == 200
    assert api.post("/functions/fw", json={"action": "restart", "instance": "fw.1"}).status_code == 200
    assert lab.did == [("fw", "stop", None), ("fw", "restart", "fw.1")]
    assert api.post("/functions/nope", json={"action": "stop"}).status_code == 404
    assert api.post("/functions/fw", json={"action": "explode"}).status_code == 422


def test_scale_and_apply_pass_their_requests_on(
    api: TestClient, lab: FakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = {"changes": [], "applied": False, "seconds": 0.0, "notes": []}

    def scale(of: Any, name: str, number: int) -> Any:
        of.did.append((name, number))
        return done

    def apply(of: Any, file: str, raw: bytes, dry_run: bool, prepared: bool) -> Any:
        of.did.append((file, raw, dry_run, prepared))
        return done

    monkeypatch.setattr("lab.supervisor.change.scale", scale)
    monkeypatch.setattr("lab.supervisor.change.apply", apply)
    assert api.post("/functions/fw/scale", json={"instances": 3}).json() == done
    assert api.post("/apply", json={"file": "a.yaml", "content": "é", "dry_run": True}).json() == done
    assert lab.did == [("fw", 3), ("a.yaml", "é".encode(), True, False)]
    assert api.post("/functions/fw/scale", json={"instances": "many"}).status_code == 422
    assert api.post("/apply", json={"file": "a.yaml"}).status_code == 422


def test_ping_takes_pairs_or_nothing(api: TestClient, lab: FakeLab) -> None:
    assert api.post("/ping").status_code == 409
    assert api.post("/ping", json={"pairs": [["h1", "h2"]], "timeout": 2}).json()["what"] == "can't probe"
    assert lab.did == [(None, None, "auto"), ([("h1", "h2")], 2.0, "auto")]
    assert api.post("/ping", json={"pairs": [["h1"]]}).status_code == 422


def test_a_bug_is_told_and_the_lab_lives_on(api: TestClient, lab: FakeLab) -> None:
    broken = api.post("/links/bug", json={"up": True})
    assert broken.status_code == 500 and "deep inside" in broken.json()["what"]
    assert api.get("/status").status_code == 200
    assert any("deep inside" in event["text"] for event in lab.events.since(0))


def test_events(api: TestClient) -> None:
    assert [event["text"] for event in api.get("/events").json()] == ["the lab is up"]
    assert api.get("/events?since=1").json() == []
    assert api.get("/events?since=-1").status_code == 422


def test_openapi_describes_every_path(api: TestClient) -> None:
    description = api.get("/openapi.json").json()
    assert {"/status", "/ping", "/links/{name}", "/flows", "/events/stream", "/down"} <= set(
        description["paths"]
    )
    assert "Status" in description["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/ping", b'{"timeout": NaN}', "NaN is no number"),
        ("/ping", b'{"timeout": -Infinity}', "-Infinity is no number"),
        ("/ping", b'{"timeout": 1e999}', "1e999 is no number"),
        ("/ping", b'{"timeout": 1e9}', "timeout"),
        ("/ping", b'{"timeout": 0}', "timeout"),
        ("/ping", b'{"pairs": [["\\ud800", "h1"]]}', "half a surrogate pair"),
        ("/apply", b'{"file": "\\udfff", "content": "x"}', "half a surrogate pair"),
        ("/ping", b'{"pairs": "\xff"}', "not in UTF-8"),
        ("/ping", b"{", "no JSON"),
        ("/ping", b"[" * 100_000, "nested too deeply"),
        ("/ping", b'{"timeout": ' + b"9" * 5000 + b"}", "digits"),
        ("/links/s1-s2", b'{"up": false, "up": true}', "'up' is there twice"),
    ],
)
def test_what_is_no_request_is_refused_at_the_gate(
    path: str, body: bytes, said: str, lab: FakeLab, api: TestClient
) -> None:
    answer = api.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["what"]
    assert not lab.did


def passed(receive: Any, headers: Any = (), **limits: Any) -> int:
    """The status that the gate answers a request with, which it must not let through."""
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def application(*_: Any) -> None:
        raise AssertionError

    anyio.run(Gate(application, **limits), {"type": "http", "headers": list(headers)}, receive, send)
    return int(said[0]["status"])


def test_a_body_without_end_is_not_taken(api: TestClient) -> None:
    pieces = 0

    async def endless() -> Any:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": bytes(100), "more_body": True}

    assert passed(endless, most=1000) == 413
    assert pieces == 11
    assert passed(endless, [(b"content-length", b"1001")], most=1000) == 413
    assert pieces == 11  # what says that it is too big is not even begun
    answer = api.post("/apply", content=bytes((32 << 20) + 1))
    assert answer.json()["what"] == "the request is too big; allowed: up to 32 MB"


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def never() -> Any:
        await anyio.sleep_forever()

    assert passed(never, seconds=0.01) == 408


def test_a_head_that_does_not_come_is_not_waited_for(
    lab: FakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not the second one of a connection; who asks in time is answered."""
    monkeypatch.setattr("lab.api.serve.HEAD_PATIENCE", 0.05)
    monkeypatch.setattr("lab.api.serve.NEXT_HEAD_PATIENCE", 0.05)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "api"))
    listener.listen()
    threading.Thread(target=serve, args=(lab, listener), daemon=True).start()
    for before in (0, 1):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(str(tmp_path / "api"))
            client.sendall(
                b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n" * before + b"GET /status HTTP/1.1\r\nX-"
            )
            came = b"".join(iter(lambda: client.recv(1 << 20), b""))
            assert came.count(b"HTTP/1.1 200") == before


def test_an_answer_may_hold_what_is_no_character(lab: FakeLab, api: TestClient) -> None:
    """Bytes of a file's name that are not in UTF-8 come and go as Python carries them (PEP 383)."""
    lab.events.add("up", "x", {"file": "caf\udce9"})
    answer = api.get("/events")
    assert answer.status_code == 200
    assert answer.json()[-1]["data"]["file"] == "caf\udce9"
