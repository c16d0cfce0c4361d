"""The report's page: self-contained HTML without scripts. Pure.

Everything that comes from a lab is escaped, so that no name or packet in it becomes part of the page's code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from lab.messages.checks import CheckResult, Finding
from lab.messages.lab import Pair, PingResult, PlaceState, Status, place_of
from lab.messages.services import ChainState, FunctionState
from lab.report.style import STYLE
from lab.report.traffic import Conversation

MATRIX_LIMIT = 40
"""Most hosts for which the page has a matrix of all pairs."""
PAIRS_SHOWN = 100
_Tone = Literal["good", "bad", "quiet"]


@dataclass(frozen=True)
class Seen:
    """Packets that were captured at one place of a lab, ``packets`` of them. ``conversations``: the largest
    first. ``problem``: why there are none; empty: nothing went wrong."""

    place: str
    packets: int = 0
    conversations: tuple[Conversation, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Report:
    """What the page tells. ``created``: the time, as text. ``picture``: SVG, or None with the reason in
    ``no_picture``. ``traces``: of pairs that are not reached, a name and its text."""

    status: Status
    created: str
    picture: str | None
    no_picture: str
    pings: PingResult
    checks: Sequence[CheckResult]
    traces: Sequence[tuple[str, str]] = ()
    captures: Sequence[Seen] = ()

    @property
    def good(self) -> bool:
        """Whether everything is as the topology file says."""
        return self.pings["good"] and all(check["verdict"] == "passed" for check in self.checks)


def page(report: Report) -> str:
    """The HTML document."""
    status = report.status
    sections = [
        _head(report),
        _section("The lab", _picture(report)),
        _section("Checks", _checks(report.checks)),
        _section("Traces of what failed", _traces(report.traces)),
        _section("All pairs of hosts", _pairs(report.pings)),
        _section("Network functions", _functions(status["functions"])),
        _section("Service chains", _chains(status["chains"])),
        _section("Captured packets", "".join(map(_captured, report.captures))),
        _section("Parts", _parts(status)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(status['name'])}: report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, sections))
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    status = report.status
    passed = sum(check["verdict"] == "passed" for check in report.checks)
    said = [_pill(f"{passed} of {len(report.checks)} checks passed", _tone(passed == len(report.checks)))]
    if not report.checks:
        said = [_pill("no checks in the file", "quiet")]
    pings = report.pings
    said.append(_pill(f"{pings['reached']} of {pings['total']} pairs reached", _tone(pings["good"])))
    troubles = "".join(f"<li>{escape(trouble)}</li>" for trouble in status["troubles"])
    about = f"{status['file']}, {status['datapath']} datapath, {report.created}"
    return (
        f"<header><h1>{escape(status['name'])}</h1><p>{escape(status['description'])}</p>"
        f'<p class="quiet">{escape(about)}</p><p>{" ".join(said)}</p>'
        + (f'<ul class="bad">{troubles}</ul>' if troubles else "")
        + "</header>"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>" if body else ""


def _picture(report: Report) -> str:
    if report.picture is None:
        return f'<p class="quiet">No picture: {escape(report.no_picture)}</p>'
    # only the element itself: what stands before it (XML declaration, document type) is no HTML
    drawn = report.picture[report.picture.index("<svg") :]
    drawn = re.sub(r'<svg width="[^"]*" height="[^"]*"', "<svg", drawn, count=1)
    return f'<figure class="picture">{drawn}</figure>'


def _checks(checks: Sequence[CheckResult]) -> str:
    if not checks:
        return ""
    rows = []
    for check in checks:
        tried = f"{check['tried'] - check['failed']} of {check['tried']}" if check["tried"] > 1 else ""
        rows.append(
            [
                _pill(check["verdict"], _tone(check["verdict"] == "passed")),
                f"<b>{escape(check['name'])}</b>{_place(check['place'])}",
                escape(check["verb"]),
                escape(check["expected"]) + _because(check),
                tried,
                f"{check['seconds']:.2f} s",
            ]
        )
    return _table(["", "check", "verb", "expected", "held", "took"], rows, "stacked")


def _because(check: CheckResult) -> str:
    """What was seen instead."""
    if check["verdict"] == "passed":
        return ""
    more = check["failed"] - len(check["findings"])
    items = [*map(_finding, check["findings"]), *([f"<li>and {more} more</li>"] if more > 0 else [])]
    hint = f'<p class="hint">Hint: {escape(check["hint"])}</p>' if check["hint"] else ""
    note = f'<p class="quiet">{escape(check["note"])}</p>' if check["note"] else ""
    return f"<ul>{''.join(items)}</ul>{note}{hint}"


def _finding(finding: Finding) -> str:
    facts = [f"<b>{escape(finding['what'])}</b>: {escape(finding['seen'])}"]
    if finding["last_seen"]:
        facts.append(f"last seen at {escape(finding['last_seen'])}")
    if finding["stopped_by"]:
        facts.append(f"stopped by {escape(finding['stopped_by'])}{_place(finding['place'])}")
    packets = escape("\n".join(finding["packets"]))
    return f"<li>{'; '.join(facts)}{f'<pre>{packets}</pre>' if packets else ''}</li>"


def _place(place: PlaceState | None) -> str:
    return "" if place is None else f' <span class="quiet">{escape(place["file"])}:{place["line"]}</span>'


def _traces(traces: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f"<details open><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
        for name, text in traces
    )


def _pairs(pings: PingResult) -> str:
    said = f"{pings['reached']} of {pings['total']} reached"
    if pings["held"]:
        said += f", {pings['held']} blocked as the file says"
    if pings["apart"]:
        said += f", {pings['apart']} not joined by the file"
    if pings["leaked"]:
        said += f", {pings['leaked']} reached that should not be"
    text = f"<p>{escape(said)}. {escape(pings['note'])}</p>"
    hosts, pairs = pings["hosts"], pings["pairs"]
    if len(hosts) <= MATRIX_LIMIT and len({(p["src"], p["dst"]) for p in pairs}) > len(hosts):
        return text + _matrix(hosts, pairs)
    wrong = [pair for pair in pairs if not _fine(pair)]
    facts = [(p["src"], p["dst"], f"IPv{p['family']}", p["reason"] or "reached") for p in wrong]
    rows = [[*map(escape, fact)] for fact in facts]
    more = f"<p>and {len(rows) - PAIRS_SHOWN} more</p>" if len(rows) > PAIRS_SHOWN else ""
    return text + (_table(["from", "to", "family", "result"], rows[:PAIRS_SHOWN]) + more if rows else "")


def _fine(pair: Pair) -> bool:
    return pair["reached"] is not (bool(pair["policy"]) or pair["apart"])


def _matrix(hosts: Sequence[str], pairs: Iterable[Pair]) -> str:
    cells: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        cells.setdefault((pair["src"], pair["dst"]), []).append(pair)
    head = "".join(f'<th scope="col"><span>{escape(host)}</span></th>' for host in hosts)
    rows = []
    for src in hosts:
        row = "".join(_cell(src, dst, cells.get((src, dst), [])) for dst in hosts)
        rows.append(f'<tr><th scope="row">{escape(src)}</th>{row}</tr>')
    legend = (
        '<p class="quiet"><span class="cell yes">●</span> reached '
        '<span class="cell held">○</span> blocked, as it should be '
        '<span class="cell no">×</span> not as the file says</p>'
    )
    table = f'<table class="matrix"><tr><td></td>{head}</tr>{"".join(rows)}</table>'
    return f'<div class="wide">{table}</div>{legend}'


def _cell(src: str, dst: str, pairs: Sequence[Pair]) -> str:
    if not pairs:
        return '<td class="cell"></td>'
    kind, sign = "yes", "●"
    if not all(map(_fine, pairs)):
        kind, sign = "no", "×"
    elif not all(pair["reached"] for pair in pairs):
        kind, sign = "held", "○"
    results = ["reached" if pair["reached"] else pair["policy"] or pair["reason"] for pair in pairs]
    said = "; ".join(f"IPv{pair['family']}: {text}" for pair, text in zip(pairs, results, strict=True))
    return f'<td class="cell {kind}" title="{escape(f"{src} to {dst}: {said}")}">{sign}</td>'


def _functions(functions: Sequence[FunctionState]) -> str:
    rows = []
    for function in functions:
        for instance in function["instances"]:
            fine = instance["state"] == "running" and instance["health"] != "failed"
            said = f"{instance['state']}, {instance['health']}"
            rows.append(
                [
                    escape(instance["name"]),
                    escape(function["kind"]),
                    _pill(said, _tone(fine)),
                    escape(instance["message"] or instance["reason"]),
                    _number(instance["packets"]),
                    _number(instance["dropped"]),
                ]
            )
        if not function["instances"]:
            known = [escape(function["name"]), escape(function["kind"]), escape(function["state"]), ""]
            rows.append([*known, _number(function["packets"]), _number(function["dropped"])])
    return _table(["function", "kind", "state", "", "packets", "dropped"], rows) if rows else ""


def _chains(chains: Sequence[ChainState]) -> str:
    rows = [
        [
            escape(chain["name"]),
            escape(chain["takes"]),
            escape(" → ".join(chain["functions"])),
            _number(chain["forward"]),
            _number(chain["backward"]),
        ]
        for chain in chains
    ]
    return _table(["chain", "takes", "functions", "packets", "back"], rows) if rows else ""


def _captured(seen: Seen) -> str:
    title = f"<h3>{escape(seen.place)}</h3>"
    if seen.problem:
        return f'{title}<p class="bad">{escape(seen.problem)}</p>'
    rows = [[*map(escape, one[:3]), _number(one.packets), _number(one.octets)] for one in seen.conversations]
    rest = seen.packets - sum(one.packets for one in seen.conversations)
    more = f"<p>and {rest} packets of smaller conversations</p>" if rest else ""
    table = _table(["protocol", "from", "to", "packets", "bytes"], rows) if rows else ""
    return f"{title}<p>{seen.packets} packets</p>{table}{more}"


def _parts(status: Status) -> str:
    hosts = [
        [
            escape(host["name"]),
            escape(host["kind"]),
            escape(host["network"]),
            escape(place_of(host)),
            escape(host["ipv4"] or ""),
            escape(host["ipv6"] or ""),
            _pill("up", "good") if host["up"] else _pill("down", "bad"),
        ]
        for host in status["hosts"]
    ]
    links = [
        [
            *map(escape, (link["name"], link["a"], link["b"])),
            _pill("up", "good") if link["up"] else _pill("cut", "bad"),
        ]
        for link in status["links"]
    ]
    tables = [("hosts", _table(["host", "kind", "network", "port", "IPv4", "IPv6", ""], hosts))]
    if links:
        tables.append(("links", _table(["link", "from", "to", ""], links)))
    return "".join(
        f"<details><summary>{len(status[kind])} {kind}</summary>{table}</details>"  # type: ignore[literal-required]
        for kind, table in tables
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """A table; ``rows`` are HTML, ``heads`` are text. ``kind``: its class in the style sheet."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table class="{kind}"><tr>{head}</tr>{body}</table></div>'


def _pill(text: str, tone: _Tone) -> str:
    return f'<span class="pill {tone}">{escape(text)}</span>'


def _tone(fine: bool) -> _Tone:
    return "good" if fine else "bad"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
