"""The tree of a document -> ``specification.File``: shorthands written out, mistakes of form reported."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from topologies.model.choices import NAMESPACE
from topologies.syntax import shorthand, specification
from topologies.syntax.checks_specification import CHECKS_FORM
from topologies.syntax.document import Fatal, Node
from topologies.syntax.host_specification import host_keys
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.service_specification import KINDS, kind_keys

_FORMS = {
    "switches": "a list of names, or a mapping like s1: {domain: d1, dpid: 1}",
    "domains": "a list of names, like [d1, d2]",
    "controllers": "a mapping like mine: my_app.py or mine: {apps: [my_app.py]}",
    "apps": "a list like [my_app.py, ryu.app.ofctl_rest]",
    "options": "a list like [--observe-links]",
    "networks": "a mapping like lan: {subnet4: 10.0.0.0/16, subnet6: fd00::/64}",
    "hosts": "a mapping like h1: s1 or h1: {switch: s1}",
    "links": "a list like [s1 -- s2, s2 -- s3]",
    "serves": "a list like [http, echo:7007]",
    "from": "a mapping like {s2: {bandwidth: 10mbit}}",
    "ends": "a list of two switches, like [s1, s2:3]",
    "routers": "a mapping like r: [web, db]",
    **shorthand.FORMS,
    "checks": CHECKS_FORM,
    "underlay": "a mapping like {routers: [r1], links: [d1 -- r1, d2 -- r1]}",
}
# The names that other tools use
_SYNONYMS = {
    "subnet": ("subnet4",),
    "cidr": ("subnet4",),
    "bw": ("bandwidth",),
    "rate": ("bandwidth",),
    "speed": ("bandwidth",),
    "latency": ("delay",),
    "ip": ("ipv4",),
    "ip4": ("ipv4",),
    "ip6": ("ipv6",),
    "address": ("ipv4",),
    "node": ("switch",),
    "nodes": ("switches",),
    "edges": ("links",),
    "endpoints": ("ends",),
    "vlan_id": ("vlan",),
    "allow_spoofing": ("allow-spoofing",),
    "spoofing": ("allow-spoofing",),
    "gateway": ("gateway4",),
    "via": ("gateway",),
    "gw": ("gateway", "gateway4"),
    "gateway4": ("gateway",),
    "gateway6": ("gateway",),
    "route": ("routes",),
    "serve": ("serves",),
    "services": ("serves",),
    "vxlan": ("vni",),
    "vnid": ("vni",),
    **shorthand.SYNONYMS,
}
_LINK = "s1 -- s2, [s1, s2] or {ends: [s1, s2], bandwidth: 100mbit}"


def check(root: Node, report: Report) -> specification.File:
    """The usable part of the file. The rest is reported, and its paths are marked as broken."""
    if not isinstance(root.value, dict):
        report.add(
            (),
            f"the file is {_kind(root.data())}, not a mapping",
            "keys " + ", ".join(specification.keys_at(())),
            line=root.line,
        )
        raise Fatal
    desugar(root, report)
    data = root.data()
    # Each round removes what is wrong, then checks what is left
    for _ in range(6):
        try:
            return specification.File.model_validate(data)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                _report(detail, data, report)
    raise AssertionError("leaving out what is wrong must end")


def desugar(root: Node, report: Report) -> None:
    """Write out the shorthands, in place: lists of names, ``h1: s1``, ``s1 -- s2``, ``[s1, s2]``."""
    assert isinstance(root.value, dict)
    for key in ("domains", "networks", "switches"):
        section = root.value.get(key)
        if section is None:
            continue
        if isinstance(section.value, list):
            section.value = _names(section.value, key, report)
        if isinstance(section.value, dict):
            for entry in section.value.values():
                entry.value = {} if entry.value is None else entry.value
    _desugar_controllers(root.value.get("controllers"))
    hosts = root.value.get("hosts")
    if hosts is not None and isinstance(hosts.value, dict):
        for name, host in hosts.value.items():
            if host.value is None:
                host.value = {}
            elif isinstance(host.value, str):
                host.value = {"switch": Node(host.line, host.value)}
            if isinstance(host.value, dict):
                shorthand.desugar_host(host.value)
                for path, node in shorthand.given_twice(host.value):
                    what = f"{shown(str(node.value))} is given twice"
                    report.add(("hosts", name, *path), what, remedy="remove one", line=node.line)
    routers = root.value.get("routers")
    if routers is not None and isinstance(routers.value, dict):
        for router in routers.value.values():
            if isinstance(router.value, list):
                router.value = {"networks": Node(router.line, router.value)}
    shorthand.desugar(root.value)
    _desugar_links(root.value.get("links"))
    outside = root.value.get("outside")
    if outside is not None:
        if isinstance(outside.value, str):
            outside.value = [Node(outside.line, outside.value)]
        if isinstance(outside.value, list):
            outside.value = {"networks": Node(outside.line, outside.value)}
    underlay = root.value.get("underlay")
    if underlay is not None:
        if underlay.value is None:
            underlay.value = {}
        if isinstance(underlay.value, dict):
            _desugar_links(underlay.value.get("links"))


def _desugar_controllers(controllers: Node | None) -> None:
    """``mine: my_app.py`` and ``mine: [my_app.py]`` are ``mine: {apps: [my_app.py]}``."""
    if controllers is None or not isinstance(controllers.value, dict):
        return
    for entry in controllers.value.values():
        if isinstance(entry.value, str | list):
            entry.value = {"apps": Node(entry.line, entry.value)}
        if isinstance(entry.value, dict):
            for key in ("apps", "options"):
                node = entry.value.get(key)
                if node is not None and isinstance(node.value, str):
                    node.value = [Node(node.line, node.value)]


def _desugar_links(links: Node | None) -> None:
    if links is not None and isinstance(links.value, list):
        for link in links.value:
            if link.value is None:
                link.value = {}
            elif not isinstance(link.value, dict):
                link.value = {"ends": Node(link.line, link.value)}
            ends = link.value.get("ends")
            if ends is not None and isinstance(ends.value, str):
                ends.value = [Node(ends.line, text) for text in _split(ends.value)]


def _split(text: str) -> list[str]:
    return re.split(r"\s+--\s+", text.strip())


def _names(items: list[Node], key: str, report: Report) -> dict[str, Node]:
    entries: dict[str, Node] = {}
    for index, item in enumerate(items):
        if not isinstance(item.value, str):
            report.add((key, index), f"is {_kind(item.data())}", _FORMS[key], line=item.line)
            report.lacks_names(key)
        elif item.value in entries:
            first = entries[item.value].line
            what = f"{shown(item.value)} is given twice (first on line {first})"
            report.add((key, item.value), what, remedy="rename or remove one", line=item.line)
        else:
            entries[item.value] = Node(item.line, {})
    return entries


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else f"the text {shown(value)}"


def _report(detail: ErrorDetails, data: Any, report: Report) -> None:
    """Report an error of pydantic in words for users, and remove its cause from ``data``."""
    path: Path = detail["loc"]
    holder: Any = data
    for step in path[:-1]:
        holder = holder[step]
    last: Any = path[-1]
    value = holder[last]
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = _keys_of(path[:-1], holder)
        meant = _nearest_key(str(last), known, report)
        allowed = ", ".join(known) if known else "no keys"
        remedy = f"did you mean {shown(meant)}?" if meant else "remove it"
        report.add(path, f"unknown key {shown(last)}", allowed, remedy)
        report.broke(path)
        if meant and meant not in holder:
            report.broke((*path[:-1], meant))  # that this key is missing needs no problem of its own
        del holder[last]
        return
    context = detail.get("ctx", {})
    if kind == "bad_value":
        remedy = str(context["remedy"])
        if context["options"] and (meant := report.nearest(str(value), context["options"])):
            remedy = f"did you mean {shown(meant)}?"
        report.add(path, str(context["what"]), str(context["allowed"]), remedy)
    elif kind == "not_text":
        report.add(path, f"is {_kind(value)}", str(context["allowed"]))
    else:
        section = str(last) if isinstance(last, str) and last in _FORMS else str(path[0])
        allowed = _FORMS.get(section, "")
        if kind == "model_type" and (path[0] != "links" or len(path) > 2):
            allowed = (
                "a mapping with " + ", ".join(specification.keys_at(path))
                if specification.keys_at(path)
                else "an empty mapping"
            )
        elif "from" in path[1:-1]:
            allowed = "a mapping with " + ", ".join(specification.keys_at(path))
        elif path[0] == "links" and len(path) == 2:
            allowed = _LINK
        elif path[:2] == ("underlay", "links"):
            allowed = "d1 -- r1, [d1, r1] or {ends: [d1, r1], bandwidth: 1gbit}"
        report.add(path, f"is {_kind(value)}", allowed)
    report.broke(path)
    holder[last] = {} if kind == "model_type" else None


def _keys_of(path: Path, holder: Any) -> list[str]:
    """The keys that the mapping ``holder`` may have; for a function or host those of its kind."""
    kind = holder.get("kind") if len(path) == 2 else None
    if path[:1] == ("functions",) and isinstance(kind, str) and kind in KINDS:
        return kind_keys(kind)
    if path[:1] == ("hosts",) and len(path) == 2:
        return host_keys(kind if isinstance(kind, str) else NAMESPACE)
    return specification.keys_at(path)


def _nearest_key(key: str, known: list[str], report: Report) -> str:
    """The known key that the user probably means; empty when there is none."""
    meant = next((word for word in _SYNONYMS.get(key.lower(), ()) if word in known), "")
    return meant or report.nearest(key, known)
