"""Health checks from the balancer's namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nfv.balancing import FAST, Site, balancer, described, site


@pytest.fixture(name="site")
def a_site(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as opened:
        yield opened


def check(kind: str, **some: object):  # type: ignore[no-untyped-def]
    return FAST.model_copy(update={"kind": kind, **some})


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_a_backend_goes_and_comes(kind: str, site: Site) -> None:
    site.serve("web1")
    running = site.start(described("openflow", balancer("web1 web2", check(kind))))
    first = {event["backend"]: event["up"] for event in (running.event("backend"), running.event("backend"))}
    assert first == {"web1": True, "web2": False}
    site.stop("web1")
    event = running.event("backend")
    assert (event["backend"], event["up"], event["reason"]) == ("web1", False, "Connection refused")
    site.serve("web1")
    event = running.event("backend")
    assert (event["backend"], event["up"]) == ("web1", True)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_ping(family: str, site: Site) -> None:
    some = balancer("web1", check("icmp", timeout=200_000), **({"ipv4": None} if family == "ipv6" else {}))
    running = site.start(described("openflow", some))
    running.event("backend", up=True)  # not at once, perhaps: the devices have just come up
    address = "fd00::11/64" if family == "ipv6" else "10.0.0.11/24"
    site.far.run("ip", "address", "del", address, "dev", "eth0")
    event = running.event("backend")
    assert event["up"] is False
    site.far.run("ip", "address", "add", address, "dev", "eth0", *(["nodad"] if family == "ipv6" else []))
    assert running.event("backend")["up"] is True


def test_a_silent_backend_is_down_after_the_timeout(site: Site) -> None:
    site.far.run("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; };"
                 " add rule inet t c tcp dport 8080 drop")  # fmt: skip
    running = site.start(described("openflow", balancer("web1", check("tcp", timeout=100_000))))
    event = running.event("backend")
    assert (event["up"], event["reason"]) == (False, "timeout")


def test_http_looks_at_the_status(site: Site) -> None:
    site.serve("web1")
    running = site.start(described("openflow", balancer("web1", check("http", path="/sick"))))
    event = running.event("backend")
    assert (event["up"], event["reason"]) == (False, "HTTP status 503")


def test_a_changed_set_of_backends_keeps_what_is_known(site: Site) -> None:
    site.serve("web1")
    running = site.start(described("openflow", balancer("web1", check("tcp"))))
    running.event("backend", backend="web1", up=True)
    assert running.replace(described("openflow", balancer("web1 web2", check("tcp"))))["state"] == "running"
    event = running.event("backend")
    assert (event["backend"], event["up"]) == ("web2", False)
    counters = running.event("counters")
    assert counters["checks"] >= 2
