"""The report's page: what it tells, that nothing of a lab becomes code in it, and that a browser shows it."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import topologies
from lab.drawing.description import describe
from lab.drawing.graphviz import render
from lab.messages.checks import CheckResult, Finding
from lab.report.page import Report, Seen, page
from lab.report.traffic import Conversation
from topologies import shipped

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
TOPOLOGY = topologies.load(shipped.path("service-chain"))
HOSTS = [host.name for host in TOPOLOGY.hosts]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pair(src: str, dst: str, **changes: Any) -> Any:
    whole = {"src": src, "dst": dst, "family": 4, "reached": True, "rtt": 0.001}
    return {**whole, "reason": "", "policy": "", "apart": False, **changes}


def pings(*pairs: Any, good: bool = True) -> Any:
    counts = {"reached": sum(p["reached"] for p in pairs), "held": 0, "apart": 0, "leaked": 0}
    return {"hosts": HOSTS, "total": len(pairs), "note": "", "good": good, "pairs": [*pairs], **counts}


def check(verdict: Any, *findings: Finding, name: str = "red talks", hint: str = "") -> CheckResult:
    return {
        "name": name,
        "verb": "reachable",
        "number": 1,
        "verdict": verdict,
        "expected": "each of red reaches each of red",
        "seconds": 0.25,
        "tried": 12,
        "failed": len(findings),
        "findings": [*findings],
        "hint": hint,
        "note": "",
        "place": {"file": "lab.yaml", "line": 12},
    }


def finding(text: str) -> Finding:
    return {
        "what": text,
        "seen": "nothing",
        "packets": [text, "a second one"],
        "last_seen": text,
        "stopped_by": "flow 7",
        "place": {"file": "lab.yaml", "line": 40},
    }


ALL_REACHED = pings(*(pair(a, b) for a in HOSTS for b in HOSTS if a != b))
STATUS: Any = {
    "name": "chain",
    "description": TOPOLOGY.description,
    "file": "lab.yaml",
    "datapath": "userspace",
    "troubles": [],
    "hosts": [],
    "links": [],
    "functions": [],
    "chains": [],
}
QUIET = Report(STATUS, "today", None, "Graphviz is not installed", ALL_REACHED, [check("passed")])


class Tags(HTMLParser):
    """The elements of a document, and whether each was closed."""

    VOID = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def words(text: str) -> str:
    """What a reader sees of a document."""
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.S)).split())


def test_it_tells_verdicts_reasons_and_places() -> None:
    told = words(page(replace(QUIET, checks=[check("failed", finding("h1 -> h2"), hint="look at fw")])))
    assert "0 of 1 checks passed" in told and "12 of 12 pairs reached" in told
    assert "red talks lab.yaml:12" in told and "11 of 12" in told
    assert "h1 -> h2 : nothing; last seen at h1 -> h2; stopped by flow 7 lab.yaml:40" in told
    assert "a second one" in told and "Hint: look at fw" in told
    assert "No picture: Graphviz is not installed" in told


def test_a_pair_is_good_when_it_is_as_the_file_says() -> None:
    client, web1, web2, web3 = HOSTS
    some = [
        pair(client, web1),
        pair(client, web2, reached=False, reason="no reply"),
        pair(client, web3, reached=False, reason="no reply", policy="firewall fw"),
        pair(web1, client, policy="firewall fw"),
        pair(web1, web2),
    ]
    text = page(replace(QUIET, pings=pings(*some, good=False)))
    cells = dict(re.findall(r'<td class="cell (\w+)" title="(.*?):', text))
    kinds = [kind for kind, _ in re.findall(r'<td class="cell (\w+)" title="(.*?)"', text)]
    assert kinds == ["yes", "no", "held", "no", "yes"], cells


def test_it_is_good_only_if_everything_is() -> None:
    assert QUIET.good
    assert not replace(QUIET, checks=[check("error")]).good
    assert not replace(QUIET, pings=pings(good=False)).good


def test_nothing_of_a_lab_becomes_code() -> None:
    status = dict(STATUS)
    status |= {key: EVIL for key in ("name", "description", "file", "datapath")}
    status["troubles"] = [EVIL]
    status["links"] = [{"name": EVIL, "a": EVIL, "b": EVIL, "up": False}]
    host = dict.fromkeys(("name", "kind", "network", "switch", "port", "ipv4", "ipv6"), EVIL)
    status["hosts"] = [{**host, "up": True}]
    texts = dict.fromkeys(("name", "kind", "state", "health", "message", "reason", "takes"), EVIL)
    numbers = {"packets": 1, "dropped": None, "forward": 2, "backward": 3}
    status["functions"] = [
        {**texts, **numbers, "instances": []},
        {**texts, "instances": [{**texts, **numbers}]},
    ]
    status["chains"] = [{**texts, **numbers, "functions": [EVIL]}]
    text = page(
        Report(
            status,  # type: ignore[arg-type]
            EVIL,
            None,
            EVIL,
            {
                **pings(pair(EVIL, EVIL, reason=EVIL, reached=False), pair("a", EVIL, policy=EVIL)),
                "hosts": [EVIL, "a"],
            },
            [check("failed", finding(EVIL), name=EVIL, hint=EVIL)],
            [(EVIL, EVIL)],
            [Seen(EVIL, 3, (Conversation(EVIL, EVIL, EVIL, 1, 1),)), Seen(EVIL, problem=EVIL)],
        )
    )
    tags = Tags(text)
    assert not tags.open and not {"script", "img"} & set(tags.seen)
    assert text.count(html.escape(EVIL)) > 30


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it_and_nothing_sticks_out(width: int, tmp_path: Path) -> None:
    picture = render(describe(TOPOLOGY), "svg").decode() if shutil.which("dot") else None
    many = [check("failed", *[finding("h1 -> h2 tcp 22")] * 3, name="a check with a long name" * 3)] * 5
    text = page(replace(QUIET, picture=picture, checks=many, captures=[Seen("d1-r1", 0)]))
    frame = tmp_path / "frame.html"
    # the page itself has no script: the one around it measures it
    inner = f'<iframe id=f width={width} height=900 srcdoc="{html.escape(text)}"></iframe>'
    frame.write_text(
        f"<!DOCTYPE html><body>{inner}<script>"
        "onload = () => { const d = document.getElementById('f').contentDocument;"
        "document.title = [d.documentElement.scrollWidth, d.querySelectorAll('section').length,"
        "d.querySelectorAll('svg g.node').length].join(' '); }</script>",
        encoding="utf-8",
    )
    assert BROWSER is not None
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    done = subprocess.run(
        [BROWSER, *options, f"--user-data-dir={tmp_path}/profile", "--dump-dom", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    measured = re.search(r"<title>(\d+) (\d+) (\d+)</title>", done.stdout)
    assert measured, done.stderr[-2000:]
    across, sections, nodes = map(int, measured.groups())
    assert across <= width and sections == 5
    assert nodes >= len(HOSTS) or picture is None
