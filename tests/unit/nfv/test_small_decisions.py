"""Health, counters, limits and what HAProxy is told: values in, values out."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfv.balancer.configuration import quoted, text
from nfv.balancer.process import backend_health, totals
from nfv.devices import counted, joined
from nfv.health import checks_as_values
from nfv.health.checks_as_values import Health
from nfv.python_function.worker import Wrong, frames, load, takes_direction
from nfv.rate_limiter import buckets, dropped, limits
from topologies.model.functions import Backend, Balancer, HealthCheck, HttpRule
from topologies.model.values import Port


def test_nothing_bad_is_said_of_a_backend_while_all_is_beginning() -> None:
    some = Health(2, 2)
    assert not some.result(False, beginning=True) and some.up is None
    assert some.result(True, beginning=True) and some.up is True
    assert not some.result(False, beginning=True) and some.up is True  # from then on as ever
    late = Health(2, 2)
    late.result(False, beginning=True)
    assert late.result(False) and late.up is False


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.booleans(), min_size=1, max_size=40))
def test_health_changes_after_so_many_results_in_a_row(rise: int, fall: int, results: list[bool]) -> None:
    some = Health(rise, fall)
    for place, good in enumerate(results):
        before = some.up
        changed = some.result(good)
        if before is None:
            assert (changed, some.up) == (True, good)
            continue
        need = fall if before else rise
        row = results[max(0, place + 1 - need) : place + 1]
        if changed:
            assert some.up is not before
            assert row == [not before] * need
        else:
            assert some.up is before


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 200 OK\r\n", 200),
        (b"HTTP/1.0 503\r\n", 503),
        (b"HTTP/1.1 2", 2),
        (b"SSH-2.0-x\r\n", None),
        (b"", None),
        (b"HTTP/1.1\r\n", None),
        (b"HTTP/1.1 abc\r\n", None),
    ],
)
def test_status(answer: bytes, code: int | None) -> None:
    assert checks_as_values.status(answer) == code


def test_addresses_are_ipv4_if_both_have_it() -> None:
    both = {"ipv4": "10.0.0.1/24", "ipv6": "fd00::1/64"}
    assert checks_as_values.address(both, both) == "10.0.0.1"
    assert checks_as_values.address({"ipv4": None, "ipv6": "fd00::9/64"}, both) == "fd00::1"


def test_counted() -> None:
    shown = (
        "Inter-|   Receive                    |  Transmit\n"
        " face |bytes    packets errs drop ...\n"
        "    in: 100 2 0 1 0 0 0 0 900 9 0 4 0 0 0 0\n"
        "   out: 1000 20 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
        "  in-x: 5000 50 0 9 0 0 0 0 1 1 0 9 0 0 0 0\n"
    )
    assert counted(shown, ("in", "out")) == {"packets": 22, "bytes": 1100, "dropped": 5}


def test_joined_learns_nothing() -> None:
    lines = joined("br0", ("in", "out"), 1500)
    assert lines[-3:] == ["link set dev br0 up", "link show dev in", "link show dev out"]
    assert sum("learning off" in line for line in lines) == 2


@given(st.integers(1, 10**11), st.integers(1, 10**8), st.integers(576, 9000))
def test_a_whole_frame_fits_into_the_burst_and_the_queue(bandwidth: int, burst: int, mtu: int) -> None:
    rate, at_once, waiting = limits(bandwidth, burst, mtu)
    assert rate >= 1
    assert at_once >= max(burst, mtu + 14)
    assert waiting >= mtu + 14
    assert len(buckets(bandwidth, burst, mtu)) == 2


def test_dropped() -> None:
    shown = [{"kind": "tbf", "drops": 3}, {"kind": "noqueue"}, {"kind": "tbf", "drops": 4}]
    assert dropped(json.dumps(shown)) == 7


# ---------------------------------------------------------------- scripts


def test_frames() -> None:
    one, two = bytes(20), bytes(30)
    assert frames(None, 100) == []
    assert frames(one, 100) == [one]
    assert frames([bytearray(one), memoryview(two)], 100) == [one, two]


@pytest.mark.parametrize("value", ["text", 1, object(), [None], bytes(13), bytes(101), [bytes(20), bytes(3)]])
def test_what_is_no_frame(value: object) -> None:
    with pytest.raises(Wrong):
        frames(value, 100)


@pytest.mark.parametrize(
    ("arguments", "takes"),
    [
        ("packet", False),
        ("packet, direction", True),
        ("packet, direction='in'", True),
        ("packet, *, x=1", False),
    ],
)
def test_takes_direction(arguments: str, takes: bool) -> None:
    assert takes_direction(load(f"def process({arguments}): pass\n", "a.py")) is takes


# ---------------------------------------------------------------- HAProxy


def balancer(**some: object) -> Balancer:
    backends = tuple(
        Backend(host=f"web{n}", mac="02:00:00:00:00:01", ipv4=f"10.0.0.1{n}/24", port=8080, weight=n)
        for n in (1, 2)
    )
    return Balancer(
        **{
            "network": "n",
            "at": Port(switch="s1", number=1),
            "mac": "02:00:00:00:00:09",
            "ipv4": "10.0.0.9/24",
            "port": 80,
            "backends": backends,
        }
        | some
    )


def test_configuration_of_layer_4() -> None:
    lines = [line.strip() for line in text("lb", balancer(hash="source")).splitlines()]
    assert "bind 10.0.0.9:80" in lines
    assert "mode tcp" in lines
    assert "balance source" in lines
    checked = "check inter 500000us rise 2 fall 2 on-marked-down shutdown-sessions"
    assert f"server web2 10.0.0.12:8080 weight 2 {checked}" in lines


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
@pytest.mark.parametrize("path", ["/a b", "/it's", "/#x", '/"', "/\\", "/{ }", "/$HOME", "/%[src]", "/}"])
@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_haproxy_takes_it(path: str, kind: str, tmp_path: Path) -> None:
    rules = (
        HttpRule(path=path, backends=("web1",)),
        HttpRule(path=path, host="a.b", backends=("web1", "web2")),
    )
    for some in (balancer(http=rules), balancer()):
        config = tmp_path / "haproxy.cfg"
        (tmp_path / "servers.state").write_text("1\n")
        config.write_text(text("lb", some.model_copy(update={"check": HealthCheck(kind=kind, path=path)})))  # type: ignore[arg-type]
        done = subprocess.run(["haproxy", "-c", "-f", config], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr


def test_quoted() -> None:
    assert quoted("/it's") == "'/it'\\''s'"


STAT = """# pxname,svname,scur,stot,dreq,dcon,dses,req_tot,status,check_status,last_chk
lb,FRONTEND,2,10,1,1,0,12,OPEN,,
all,web1,1,6,,,,,UP,L4OK,
all,web2,0,3,,,,,DOWN,* L4CON,"Connection refused"
all,web3,0,0,,,,,UP,INI,
all,BACKEND,1,9,,,,,UP,,
rule0,web1,0,4,,,,,UP,L4OK,
"""


def test_what_haproxy_shows() -> None:
    assert backend_health(STAT) == {"web1": (True, "L4OK"), "web2": (False, "L4CON: Connection refused")}
    assert totals(STAT) == {
        "connections": 10,
        "current": 2,
        "dropped": 2,
        "requests": 12,
        "backends": {"web1": 10, "web2": 3, "web3": 0},
    }
