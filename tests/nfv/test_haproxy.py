"""A load balancer with HAProxy: connections and requests, health, and changes that break nothing."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.nfv.balancing import FAST, VIP6, Site, balancer, described, http, site

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")


@pytest.fixture(name="site")
def a_site(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as opened:
        yield opened


def both_up(site: Site, **some: object):  # type: ignore[no-untyped-def]
    site.serve("web1")
    site.serve("web2")
    running = site.start(described("haproxy", balancer(**some)))  # type: ignore[arg-type]
    running.event("backend", up=True)
    running.event("backend", up=True)
    return running


def test_connections_are_shared_by_weight(site: Site) -> None:
    running = both_up(site, weights={"web2": 3})
    answers = Counter(site.ask().split()[0] for _ in range(40))
    assert answers == {b"web1": 10, b"web2": 30}
    assert site.ask(address=VIP6).endswith(b" hello")
    counters = running.event("counters", connections=41)
    assert counters["backends"]["web2"] in (30, 31)


def test_source_sends_a_client_to_one_backend(site: Site) -> None:
    both_up(site, hash="source")
    assert len({site.ask().split()[0] for _ in range(10)}) == 1


def test_requests_go_by_path_and_host(site: Site) -> None:
    both_up(site, http=http(("/im g", None, "web1"), ("/one", "www", "web1"), (None, "Two.example", "web2")))
    assert site.get("/one/x") == "HTTP/1.1 200 OK web1 /one/x"
    assert {site.get("/one/x", "other")[:20] for _ in range(4)} == {
        "HTTP/1.1 200 OK web1",
        "HTTP/1.1 200 OK web2",
    }
    assert site.get("/any", "two.example:80") == "HTTP/1.1 200 OK web2 /any"


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_a_dead_backend_is_taken_out_and_back_in(kind: str, site: Site) -> None:
    running = both_up(site, check=FAST.model_copy(update={"kind": kind}))
    site.stop("web1")
    event = running.event("backend", backend="web1", up=False)
    # HAProxy's words for a failed connection (or one that a busy machine did not make in time); the system's
    # reason follows only if HAProxy knows it
    assert event["reason"].startswith(("L4CON: ", "L4TOUT: "))
    assert {site.ask().split()[0] for _ in range(6)} == {b"web2"}
    site.serve("web1")
    running.event("backend", backend="web1", up=True)
    assert {site.ask().split()[0] for _ in range(6)} == {b"web1", b"web2"}


def test_an_http_check_looks_at_the_answer(site: Site) -> None:
    site.serve("web1")
    check = FAST.model_copy(update={"kind": "http", "path": "/sick"})
    running = site.start(described("haproxy", balancer("web1", check)))
    event = running.event("backend", up=False)
    assert "503" in event["reason"] or "L7STS" in event["reason"]


def test_all_down_gives_a_reset_not_silence(site: Site) -> None:
    running = site.start(described("haproxy", balancer()))
    running.event("backend", up=False)
    running.event("backend", up=False)
    with pytest.raises(ConnectionResetError):
        site.ask()


def test_all_down_gives_503_to_http(site: Site) -> None:
    running = site.start(described("haproxy", balancer(http=http(("/one", None, "web1")))))
    running.event("backend", up=False)
    running.event("backend", up=False)
    assert site.get("/one").startswith("HTTP/1.1 503")
    assert site.get("/other").startswith("HTTP/1.1 503")


def test_a_change_breaks_no_connection_and_refuses_none(site: Site) -> None:
    running = both_up(site)
    kept = [site.connect() for _ in range(4)]
    for sock in kept:
        sock.sendall(b"before")
        assert sock.recv(100).endswith(b" before")
    site.serve("web3")
    replaced = threading.Event()

    def keep_asking() -> int:
        """Until all is replaced: among many connections some are taken just when the old one stops."""
        number = 0
        while not replaced.is_set():
            assert site.ask().endswith(b" hello")
            number += 1
        return number

    with ThreadPoolExecutor(8) as clients:
        asked = [clients.submit(keep_asking) for _ in range(8)]
        try:
            for names in ("web1 web2 web3", "web2 web3", "web3"):
                state = running.replace(described("haproxy", balancer(names)))
                assert state["state"] == "running" and "message" not in state
        finally:
            replaced.set()
        assert all(asker.result() > 3 for asker in asked)
    assert {site.ask().split()[0] for _ in range(6)} == {b"web3"}
    for sock in kept:
        sock.sendall(b"after")
        assert sock.recv(100).endswith(b" after")
        sock.close()


def test_health_is_known_to_the_successor(site: Site) -> None:
    site.serve("web1")
    running = site.start(described("haproxy", balancer("web1 web2")))
    running.event("backend", up=False)
    running.replace(described("haproxy", balancer("web1 web2", weights={"web1": 2})))
    assert {site.ask().split()[0] for _ in range(6)} == {b"web1"}


def test_a_configuration_that_is_wrong_changes_nothing(site: Site) -> None:
    running = both_up(site)
    program = described("haproxy", balancer())
    program.files["haproxy.cfg"] = b"no configuration\n"  # type: ignore[index]
    state = running.replace(program)
    assert state["state"] == "running"
    assert "was not taken" in state["message"]
    assert site.ask().endswith(b" hello")


def test_haproxy_ends_with_its_process(site: Site) -> None:
    running = both_up(site)
    running.process.kill()
    running.process.wait()
    site.own.run(
        "sh", "-c", "for i in $(seq 3000); do ss -Hltn | grep -q :80 || exit 0; sleep 0.01; done; exit 1"
    )


def test_without_haproxy_it_is_failed_and_says_what_to_install(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(site.directory))
    program = described("haproxy", balancer())
    nsenter = "/usr/bin/nsenter"
    monkeypatch.setattr(site.own, "argv", lambda *words: [nsenter, f"--net={site.own.path}", *words])
    monkeypatch.setattr("tests.nfv.spaces.SETPRIV", "/usr/bin/setpriv")
    state = site.start(program, running=False).event("state")
    assert state["state"] == "failed"
    assert "apt-get install haproxy" in state["message"]
