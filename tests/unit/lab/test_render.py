"""What people see of a lab's answers."""

from __future__ import annotations

import io
from statistics import median
from typing import Any

import pytest

from lab.cli import say
from lab.cli.rendering import lab
from lab.cli.say import Paint
from lab.messages.lab import FlowState, GroupState, Pair, PingResult, PlaceState, Status
from tests.unit.lab.lab_values import STATUS

PLAIN = Paint(False)


def pair(
    src: str,
    dst: str,
    family: int = 4,
    rtt: float | None = 0.001,
    reason: str = "",
    policy: str = "",
    apart: bool = False,
) -> Pair:
    return {
        "src": src,
        "dst": dst,
        "family": family,
        "reached": rtt is not None,
        "rtt": rtt,
        "reason": reason,
        "policy": policy,
        "apart": apart,
    }


def ping_result(pairs: list[Pair], hosts: list[str], **more: Any) -> PingResult:
    reached = sum(p["reached"] for p in pairs)
    result: PingResult = {
        "hosts": hosts,
        "families": sorted({p["family"] for p in pairs}),
        "method": "stack",
        "note": "",
        "total": len(pairs),
        "reached": reached,
        "held": sum(bool(p["policy"]) and not p["reached"] and not p["apart"] for p in pairs),
        "apart": sum(p["apart"] and not p["reached"] for p in pairs),
        "leaked": sum(bool(p["policy"]) and p["reached"] for p in pairs),
        "good": all(p["reached"] != bool(p["policy"]) for p in pairs),
        "seconds": 0.5,
        "frames_sent": len(pairs),
        "links_down": [],
        "counts": [
            {
                "family": family,
                "reached": sum(p["reached"] for p in pairs if p["family"] == family),
                "total": sum(p["family"] == family for p in pairs),
            }
            for family in sorted({p["family"] for p in pairs})
        ],
        "median": median([p["rtt"] for p in pairs if p["rtt"] is not None] or [0.0]),
        "pairs": pairs,
    }
    return {**result, **more}  # type: ignore[typeddict-item]


def all_pairs(hosts: list[str], families: tuple[int, ...] = (4, 6)) -> list[Pair]:
    return [pair(a, b, f) for f in families for a in hosts for b in hosts if a != b]


def test_matrix_of_a_small_lab() -> None:
    hosts = ["h1", "h2", "h3"]
    pairs = [p for p in all_pairs(hosts) if (p["src"], p["dst"]) not in (("h1", "h2"), ("h3", "h1"))]
    lost = [pair("h1", "h2", f, None, "lost on the way") for f in (4, 6)]
    half = [pair("h3", "h1", 4, 0.002), pair("h3", "h1", 6, None, "no answer")]
    text = lab.ping(ping_result(pairs + lost + half, hosts, links_down=["s1-s2"]), PLAIN)
    lines = text.splitlines()
    assert lines[0].split() == ["ms", "to", "h1", "h2", "h3"]
    assert lines[1].split() == ["h1", "·", "x", "1.00"]
    assert lines[3].split() == ["h3", "IPv4", "only", "1.00", "·"]
    assert "h1 -> h2 IPv4, IPv6: not reached: lost on the way" in lines
    assert "h3 -> h1 IPv6: not reached: no answer" in lines
    assert "9 of 12 reached (IPv4 5/6, IPv6 4/6)" in text
    assert lines[-1] == "links that are down: s1-s2"


def test_big_labs_get_a_summary_and_the_first_failures() -> None:
    hosts = [f"h{i}" for i in range(1, 31)]
    pairs = [
        pair(p["src"], p["dst"], 4, None, "why") if p["src"] == "h7" else p for p in all_pairs(hosts, (4,))
    ]
    text = lab.ping(ping_result(pairs, hosts), PLAIN)
    assert "·" not in text
    assert text.count("h7 -> ") == 20 and "… and 9 more" in text
    assert "841 of 870 reached" in text


def test_one_pair_needs_no_matrix() -> None:
    text = lab.ping(ping_result([pair("h1", "h2", 4, 0.0005)], ["h1", "h2", "h3"]), PLAIN)
    assert text.splitlines()[0] == "h1 -> h2 IPv4: 0.50 ms"
    assert "all 1 of 1 reached" in text


def test_nothing_to_probe_is_said() -> None:
    assert "nothing to probe" in lab.ping(ping_result([], ["h1"]), PLAIN)


def lab_status(**more: Any) -> Status:
    status: Status = {
        "name": "lab",
        "topology": "lab",
        "description": "",
        "file": "/x/lab.yaml",
        "state": "running",
        "started": 1000.0,
        "datapath": "userspace",
        "converged": True,
        "troubles": [],
        "stages": [],
        "controller": {"running": True, "pid": 3, "restarts": 0, "flows": 62, "groups": 1},
        "applications": [],
        "domains": [{"name": "d1", "alive": True, "datapath": "userspace", "daemons": {"ovs-vswitchd": 12}}],
        "switches": [
            {
                "name": "s1",
                "domain": "d1",
                "dpid": "0" * 16,
                "role": "switch",
                "controller": "sdnlab",
                "up": True,
                "connected": True,
                "programmed": True,
            }
        ],
        "networks": [],
        "hosts": [],
        "links": [{"name": "s1-s2", "a": "s1:1", "b": "s2:1", "up": False}],
        "underlay": None,
        "functions": [],
        "chains": [],
    }
    return {**status, **more}  # type: ignore[typeddict-item]


def test_status_says_what_is_wrong() -> None:
    good = lab.status(lab_status(), PLAIN, 1012.0)
    assert good.startswith("lab: running for 12 s, from /x/lab.yaml")
    assert "62 flows and 1 group" in good
    assert ["s1-s2", "s1:1", "s2:1", "down"] in [line.split() for line in good.splitlines()]
    bad = lab.status(lab_status(troubles=["ovs-vswitchd died"], converged=False), PLAIN, 1012.0)
    assert "with troubles" in bad and "! ovs-vswitchd died" in bad


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("running", "up to mine"),
        ("starting", "up to mine"),
        ("failed", "mine failed"),
        ("ended", "mine does not run"),
    ],
)
def test_status_says_of_switches_whether_their_app_works(state: str, text: str) -> None:
    app = {
        "name": "mine",
        "apps": ["/x/mine.py"],
        "options": [],
        "state": state,
        "pid": 0,
        "restarts": 0,
        "in_a_row": 0,
        "since": 1000.0,
        "hub": None,
        "port": 6654,
        "wsapi": None,
        "switches": ["s1"],
        "connected": {},
        "error": "",
        "remedy": "",
        "traceback": "",
        "crashes": 0,
        "last_crash": "",
    }
    switches = [{**lab_status()["switches"][0], "controller": "mine", "connected": False}]
    page = lab.status(lab_status(switches=switches, applications=[app]), PLAIN, 1012.0)
    assert next(line for line in page.splitlines() if line.startswith("s1 ")).rstrip().endswith(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (99, "99 s"), (100, "1 min"), (3700, "1 h 1 min"), (100_000, "1 d 3 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert lab.duration(seconds) == text


def test_tables_align_wide_characters_and_colours() -> None:
    text = say.table(["NAME", "N"], [["北京", "1"], [Paint(True)("ab", "red"), "22"]], PLAIN, right=(1,))
    assert [say.width(line) for line in text.splitlines()] == [8, 8, 8]
    assert say.width("e\u0301") == 1


def test_flows_keep_to_one_line_for_programs() -> None:
    flow: FlowState = {"switch": "s1", "table": "forward", "priority": 200, "match": "eth_dst=x",
            "actions": "output:1", "packets": 7, "bytes": 700, "cookie": "0x1", "why": "to h1",
            "entity": "host h1", "place": None}  # fmt: skip
    text = lab.flows([flow], PLAIN, one_line=True)
    assert text.splitlines()[-1].split() == ["200", "7", "to", "h1:", "eth_dst=x", "=>", "output:1"]
    lines = lab.flows([flow], PLAIN, one_line=False).splitlines()
    assert lines[-2].split() == ["200", "7", "to", "h1"] and lines[-1].split() == [
        "eth_dst=x",
        "=>",
        "output:1",
    ]


def test_flows_and_groups_say_where_in_the_file_they_come_from() -> None:
    place: PlaceState = {"file": "/x/lab.yaml", "line": 31}
    flow: FlowState = {"switch": "s1", "table": "steer", "priority": 9, "match": "", "actions": "drop",
            "packets": None, "bytes": None, "cookie": "0x1", "why": "firewall fw, rule web: drop",
            "entity": "rule fw/web", "place": place}  # fmt: skip
    one_line = lab.flows([flow], PLAIN, one_line=True).splitlines()[-1]
    assert one_line.endswith("  firewall fw, rule web: drop (lab.yaml:31): any  =>  drop")
    assert lab.flows([flow], PLAIN, one_line=False).splitlines()[-2].endswith("rule web: drop (lab.yaml:31)")
    group: GroupState = {"switch": "s1", "id": 2, "kind": "select", "buckets": ["output:1", "output:2"],
            "why": "to s2: equal paths", "entity": "switch s2", "place": place}  # fmt: skip
    line = lab.groups([group], PLAIN).splitlines()[-1]
    assert "output:1 | output:2" in line and line.endswith("to s2: equal paths (lab.yaml:31)")
    assert lab.groups([{**group, "place": None}], PLAIN).endswith("to s2: equal paths")


def test_colours_follow_the_terminal_and_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert say.coloured(Terminal()) and not say.coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not say.coloured(Terminal())


def test_a_list_of_failures_alone_makes_no_matrix() -> None:
    """Of a big lab only the pairs that failed are passed on; few hosts may be named in them."""
    lost = [{**pair("h1", "h2", 4), "reached": False, "rtt": None, "reason": "lost"}]
    result = ping_result(lost, ["h1", "h2", "h3"], total=39800, reached=39799)  # type: ignore[arg-type]
    page = lab.ping(result, Paint(False))
    assert "ms  to" not in page and "h1 -> h2 IPv4: not reached: lost" in page
    assert "39799 of 39800 reached" in page


def test_what_a_firewall_holds_off_is_well_and_what_it_lets_slip_is_not() -> None:
    held = pair("h2", "h1", rtt=None, reason="lost", policy="firewall fw: default drop")
    good = ping_result([pair("h1", "h2"), held], ["h1", "h2"])
    assert lab.ping_summary(good, PLAIN).startswith(
        "1 of 2 reached, 1 blocked by a firewall, as the file wants (IPv4 1/2)"
    )
    assert "h2 -> h1 IPv4: blocked by firewall fw: default drop" in lab.ping(good, PLAIN)
    apart = pair("h1", "h3", rtt=None, reason="lost", policy="no link joins s1 and s3", apart=True)
    parted = ping_result([pair("h1", "h2"), held, apart], ["h1", "h2", "h3"])
    assert "1 in parts that no link joins, as the file has it" in lab.ping_summary(parted, PLAIN)
    assert "h1 -> h3 IPv4: apart, as the file has it: no link joins s1 and s3" in lab.ping(parted, PLAIN)
    leak = pair("h2", "h1", policy="firewall fw: default drop")
    bad = ping_result([pair("h1", "h2"), leak], ["h1", "h2"])
    assert "1 that should be blocked" in lab.ping_summary(bad, PLAIN)
    assert "in spite of firewall fw: default drop" in lab.ping(bad, PLAIN)


def test_status_says_of_what_kind_hosts_are_whose_drivers_tell_something() -> None:
    detail = {"state": "running", "image": "micro", "memory": 256 << 20, "accelerator": "tcg", "pid": 7}
    (plain,) = STATUS["hosts"]
    host = {**plain, "name": "v1", "kind": "vm", "detail": detail}
    shown = lab.status(lab_status(hosts=[plain, host]), PLAIN, 1012.0)
    row = next(line for line in shown.splitlines() if line.startswith("v1") and " vm " in line)
    assert row.split(None, 3) == ["v1", "vm", "running", "image micro, memory 256 MiB, accelerator tcg"]
    assert "KIND" not in lab.status(lab_status(hosts=[plain]), PLAIN, 1012.0)
