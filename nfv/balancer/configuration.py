"""HAProxy's configuration for a load balancer. Pure. The keywords are those of HAProxy's manual, from 2.4 on.

There is one frontend at the virtual addresses.  Without layer 7 rules, backends share one ``backend``.  With
them, each set of backends that a rule names has a ``backend`` of its own; requests that match no rule go to
all backends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from topologies.model.functions import Backend, Balancer, HttpRule

SOCKET, STATES = "stats.sock", "./servers.state"
ALL = "all"


def text(name: str, balancer: Balancer) -> str:
    """The configuration file. ``name`` is the function's."""
    layer7 = is_http(balancer)
    sections = [
        _section("global", _global()),
        _section("defaults", _defaults(layer7)),
        _section(f"frontend {name}", _frontend(balancer, layer7)),
        _section(
            f"backend {ALL}",
            _backend(balancer, layer7, [backend.host for backend in balancer.backends], tracked=False),
        ),
    ]
    sections += [
        _section(f"backend rule{number}", _backend(balancer, layer7, rule.backends, tracked=True))
        for number, rule in enumerate(balancer.http)
    ]
    return "\n".join(sections)


def is_http(balancer: Balancer) -> bool:
    """Whether HAProxy inspects requests (layer 7), or connections only."""
    return bool(balancer.http)


def _section(head: str, lines: Iterator[str]) -> str:
    return "\n".join([head, *(f"    {line}" for line in lines)]) + "\n"


def _global() -> Iterator[str]:
    # a successor needs level admin and the listeners to take over without losing connections
    yield f"stats socket unix@{SOCKET} mode 600 level admin expose-fd listeners"
    yield f"server-state-file {STATES}"
    # an old process ends after this time, even if a connection never ends
    yield "hard-stop-after 1h"


def _defaults(layer7: bool) -> Iterator[str]:
    yield f"mode {'http' if layer7 else 'tcp'}"
    yield "timeout connect 2s"
    yield "timeout client 1h" if not layer7 else "timeout client 60s"
    yield "timeout server 1h" if not layer7 else "timeout server 60s"
    # a successor begins with the known health of the servers
    yield "load-server-state-from-file global"
    yield "option redispatch 1"
    yield "retries 3"
    if layer7:
        yield "option forwardfor"
        yield "timeout http-request 10s"


def _frontend(balancer: Balancer, layer7: bool) -> Iterator[str]:
    for port in balancer.ports:
        for interface in balancer.addresses:
            at = f"{interface.ip}:{port}" if interface.version == 4 else f"[{interface.ip}]:{port} v6only"
            yield f"bind {at}"
    if not layer7:
        # If no server is up, send a reset, as a host does where nothing listens.  A process that is replaced
        # counts no servers from then on, but it can still serve a connection that it accepted just before.
        yield f"tcp-request connection reject if {{ nbsrv({ALL}) lt 1 }} !{{ stopping }}"
    for number, rule in enumerate(balancer.http):
        yield f"use_backend rule{number} if {' '.join(_conditions(rule))}"
    yield f"default_backend {ALL}"


def _conditions(rule: HttpRule) -> Iterator[str]:
    if rule.host is not None:
        yield f"{{ req.hdr(host),field(1,:) -i -m str {quoted(rule.host)} }}"
    if rule.path is not None:
        yield f"{{ path -m beg {quoted(rule.path)} }}"
    if rule.host is None and rule.path is None:
        yield "{ always_true }"


def quoted(word: str) -> str:
    """A word that HAProxy takes literally: in strong quotes (2.2 of its manual), with quotes escaped."""
    return "'" + word.replace("'", "'\\''") + "'"


def _backend(balancer: Balancer, layer7: bool, names: Sequence[str], tracked: bool) -> Iterator[str]:
    yield "balance source" if balancer.hash == "source" else "balance roundrobin"
    if balancer.hash == "source":
        # few connections move when a server comes or goes
        yield "hash-type consistent"
    check = balancer.check
    if not tracked and check.kind == "http":
        yield "option httpchk"
        yield f"http-check send meth GET uri {quoted(check.path)} ver HTTP/1.1 hdr Host {_host(balancer)}"
        yield "http-check expect status 200-399"
    if not tracked:
        yield f"timeout check {check.timeout}us"
    by_name = {backend.host: backend for backend in balancer.backends}
    for name in names:
        backend = by_name[name]
        # without a port: HAProxy uses the port to which the client has connected
        at = "" if backend.same_port else f":{backend.port}"
        where = f"server {name} {address(balancer, backend)}{at} weight {backend.weight}"
        if tracked:
            yield f"{where} track {ALL}/{name}"
        else:
            often = f"port {backend.port} " if backend.same_port else ""
            often += f"inter {check.interval}us rise {check.rise} fall {check.fall}"
            yield f"{where} check {often} on-marked-down shutdown-sessions"


def _host(balancer: Balancer) -> str:
    if balancer.ipv4 is not None:
        return str(balancer.ipv4.ip)
    assert balancer.ipv6 is not None
    return f"[{balancer.ipv6.ip}]"


def address(balancer: Balancer, backend: Backend) -> str:
    """A backend's address for the balancer: the IPv4 address if both have one."""
    if balancer.ipv4 is not None and backend.ipv4 is not None:
        return str(backend.ipv4.ip)
    assert backend.ipv6 is not None, f"{backend.host} has no address that the balancer reaches"
    return f"[{backend.ipv6.ip}]"
