"""Writes out the short forms of hosts, functions and chains: one name instead of a list, ``web1:8080``."""

from __future__ import annotations

from collections.abc import Iterable

from topologies.model.choices import CONTAINER, VM
from topologies.syntax.document import Node

FORMS = {
    "functions": "a mapping like fw: {kind: firewall, switch: s1, rules: [...]}",
    "chains": "a mapping like web: {source: client, destination: web1, functions: [fw]}",
    "groups": "a mapping like servers: [web1, web2, 10.0.1.0/24]",
    "rules": "a list like [{action: accept, source: client, protocol: tcp, ports: 80}]",
    "backends": "a list like [web1, web2:8080, {host: web3, weight: 2}]",
    "forwards": "a list like [{port: 8080, to: web1:80}]",
    "http": "a list like [{path: /images, backends: [web3]}]",
    "check": "tcp, icmp, http, or a mapping like {kind: http, path: /, interval: 500ms}",
    "mirrors": "a list of networks and hosts, like [lan, h1]",
    "files": "of a function a list, like [local.rules]; of a host a mapping, like {/etc/motd: hello}",
    "run": "a list of commands, like [iperf3 -s]",
    "interfaces": "a list like [s1, {switch: s2, network: b}], or a mapping like {lan: s1, wan: s2}",
    "trunk": "a list of networks or VLAN ids, like [lan, 20], or a mapping like {lan: {ipv4: 10.1.0.254}}",
    "gateway": "a router or an address, like r1, or a list like [10.0.0.254, fd00::fe]",
    "routes": "a mapping like {10.9.0.0/16: r1, default: 10.0.0.254}",
    "private": "a list of directories, like [/etc]",
    "environment": "a mapping like {EDITOR: vi}",
    "volumes": "a mapping like {data: /srv}",
    "storage": "a mapping like {pools: {disk: {hosts: [st1, st2]}}, volumes: {data: {size: 256MiB}}}",
    "outside": "a mapping like {networks: [lan]}, or a list like [lan]",
    "publish": 'a mapping like {8080: "web1:80"}',
    "pools": "a mapping like disk: {hosts: [st1, st2], size: 1GiB, copies: 2}",
    "command": "a line, or a list like [iperf3, -s]",
    "source": "a host, network, group or prefix, or a list like [h1, 10.0.1.0/24]",
    "destination": "a host, network, group or prefix, or a list like [h1, 10.0.1.0/24]",
}
"""Key -> the form of its value, for problems about a value that has another form."""
# The names that other tools use
SYNONYMS = {
    "type": ("kind",),
    "policy": ("default", "on-failure"),
    "on_failure": ("on-failure",),
    "failure": ("on-failure",),
    "fail": ("on-failure",),
    "src": ("source",),
    "from": ("source",),
    "dst": ("destination",),
    "dest": ("destination",),
    "proto": ("protocol",),
    "sport": ("source-ports",),
    "source_ports": ("source-ports",),
    "dport": ("ports",),
    "dports": ("ports",),
    "destination-ports": ("ports",),
    "servers": ("backends",),
    "members": ("backends",),
    "vip": ("ipv4",),
    "health": ("check",),
    "script": ("file",),
    "replicas": ("instances",),
    "scale": ("instances",),
    "hops": ("functions",),
    "verdict": ("action",),
    "limit": ("rate", "bandwidth"),
    "mirror": ("mirrors",),
    "encap": ("encapsulation",),
    "env": ("environment",),
    "internet": ("outside",),
    "nat": ("outside",),
    "expose": ("publish",),
    "exec": ("run",),
    "cmd": ("command",),
    "mem": ("memory",),
    "ram": ("memory",),
    "cpu": ("cpus", "vcpus"),
    "disk": ("image",),
    "vid": ("vlan",),
    "tag": ("vlan",),
    "vlans": ("trunk",),
    "trunks": ("trunk",),
    "nics": ("interfaces",),
    "ports": ("interfaces", "publish"),
    "ifaces": ("interfaces",),
    "model": ("nic",),
}


def desugar(root: dict[str, Node]) -> None:
    """Write out the shorthands of the sections that are about functions, in place."""
    _groups(root.get("groups"))
    for function in _entries(root.get("functions")):
        _function(function)
    for chain in _entries(root.get("chains")):
        if isinstance(chain.value, list):
            chain.value = {"functions": Node(chain.line, chain.value)}
        if isinstance(chain.value, dict):
            _lists(chain.value, ("functions", "source", "destination"))
            _joined(chain.value, ("ports", "source-ports"))


def desugar_host(keys: dict[str, Node]) -> None:
    """Write out the shorthands of a host, in place: ``vm: micro``, ``ipv4: dhcp``, one entry instead of a
    list, texts."""
    for kind in (VM, CONTAINER):
        image = keys.get(kind)
        if image is not None and isinstance(image.value, str) and "kind" not in keys and "image" not in keys:
            keys["kind"], keys["image"] = Node(image.line, kind), keys.pop(kind)
    address = keys.get("ipv4")
    if address is not None and address.value == "dhcp" and "dhcp" not in keys:
        keys["dhcp"] = Node(keys.pop("ipv4").line, "true")
    _interfaces(keys.get("interfaces"))
    _trunk(keys.get("trunk"))
    _lists(keys, ("gateway", "serves", "run", "private"))
    _words(keys, "command")
    for entry in _items(keys.get("run")):
        if not isinstance(entry.value, dict):
            entry.value = {"command": Node(entry.line, entry.value)}
        _words(entry.value, "command")
    for file in _entries(keys.get("files")):
        if isinstance(file.value, str):
            file.value = {"content": Node(file.line, file.value)}


def _interfaces(section: Node | None) -> None:
    """``[s1, {switch: s2}]`` is a mapping with the numbers of interfaces; ``s1`` is ``{switch: s1}``."""
    if section is None:
        return
    if isinstance(section.value, list):
        section.value = {str(number): node for number, node in enumerate(section.value)}
    for interface in _entries(section):
        if interface.value is None:
            interface.value = {}
        elif isinstance(interface.value, str):
            interface.value = {"switch": Node(interface.line, interface.value)}
        if isinstance(interface.value, dict):
            _trunk(interface.value.get("trunk"))


def _trunk(section: Node | None) -> None:
    """``[lan, 20]`` is a mapping with these keys; ``lan`` is ``[lan]``. For what is twice, see
    ``given_twice``."""
    if section is None:
        return
    if isinstance(section.value, str):
        section.value = [Node(section.line, section.value)]
    if isinstance(section.value, list) and all(isinstance(node.value, str) for node in section.value):
        texts = [str(node.value) for node in section.value]
        if len({*texts}) == len(texts):
            section.value = {
                text: Node(node.line, {}) for text, node in zip(texts, section.value, strict=True)
            }
    for vlan in _entries(section):
        vlan.value = {} if vlan.value is None else vlan.value


def given_twice(keys: dict[str, Node]) -> Iterable[tuple[tuple[str, ...], Node]]:
    """What trunks of a host have twice, each with the path of its trunk in the host. It is taken away."""
    trunks: dict[tuple[str, ...], Node | None] = {("trunk",): keys.get("trunk")}
    interfaces = keys.get("interfaces")
    if interfaces is not None and isinstance(interfaces.value, dict):
        for name, interface in interfaces.value.items():
            if isinstance(interface.value, dict):
                trunks["interfaces", name, "trunk"] = interface.value.get("trunk")
    for path, section in trunks.items():
        if section is None or not isinstance(section.value, list):
            continue
        texts = [node.value for node in section.value]
        twice = [node for number, node in enumerate(section.value) if node.value in texts[:number]]
        if all(isinstance(text, str) for text in texts):
            yield from ((path, node) for node in twice)
            section.value = {str(node.value): Node(node.line, {}) for node in reversed(section.value)}


def _words(holder: dict[str, Node], key: str) -> None:
    """``ping h2`` is ``[/bin/sh, -c, ping h2]``."""
    line = holder.get(key)
    if line is not None and isinstance(line.value, str):
        line.value = [Node(line.line, word) for word in ("/bin/sh", "-c", line.value)]


def _entries(section: Node | None) -> Iterable[Node]:
    return section.value.values() if section is not None and isinstance(section.value, dict) else ()


def _items(section: Node | None) -> Iterable[Node]:
    return section.value if section is not None and isinstance(section.value, list) else ()


def _groups(section: Node | None) -> None:
    if section is not None and isinstance(section.value, dict):
        _lists(section.value, tuple(section.value))


def _function(function: Node) -> None:
    keys = function.value
    if not isinstance(keys, dict):
        return
    _lists(keys, ("networks", "mirrors", "files", "addresses"))
    _joined(keys, ("port",))
    _groups(keys.get("groups"))
    for rule in _items(keys.get("rules")):
        if isinstance(rule.value, dict):
            _lists(rule.value, ("source", "destination"))
            _joined(rule.value, ("ports", "source-ports"))
    for backend in _items(keys.get("backends")):
        if isinstance(backend.value, str):
            host, colon, port = backend.value.partition(":")
            backend.value = {"host": Node(backend.line, host)}
            if colon:
                backend.value["port"] = Node(backend.line, port)
    check = keys.get("check")
    if check is not None and isinstance(check.value, str):
        check.value = {"kind": Node(check.line, check.value)}
    for rule in _items(keys.get("http")):
        if isinstance(rule.value, dict):
            _lists(rule.value, ("backends",))


def _lists(holder: dict[str, Node], keys: Iterable[str]) -> None:
    """``web1`` is ``[web1]``."""
    for key in keys:
        node = holder.get(key)
        if node is not None and isinstance(node.value, str):
            node.value = [Node(node.line, node.value)]


def _joined(holder: dict[str, Node], keys: Iterable[str]) -> None:
    """``[80, 443]`` is ``80,443``."""
    for key in keys:
        node = holder.get(key)
        if node is not None and isinstance(node.value, list):
            texts = [item.value for item in node.value]
            if texts and all(isinstance(text, str) for text in texts):
                node.value = ",".join(str(text) for text in texts)
