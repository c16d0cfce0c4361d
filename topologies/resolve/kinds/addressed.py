"""The parts of load balancers and NATs, the functions with addresses. Pure."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Interface, IPv6Interface
from typing import Literal, cast

from topologies.model import names
from topologies.model.functions import UDP_TIMEOUT, Backend, Balancer, Forward, HealthCheck, HttpRule, Nat
from topologies.model.kinds import LoadBalancer
from topologies.model.values import Port
from topologies.resolve.address_book import known_names, sorted_names
from topologies.resolve.service_addresses import Filled, Lab, Stations
from topologies.syntax.problem import Path, Report
from topologies.syntax.service_specification import CheckSpec, FunctionSpec

MOST_PORTS = 64
"""The most ports of one load balancer."""
MOST_FORMER = 64
"""The most former backends that a load balancer remembers."""


def _identity(backend: Backend) -> tuple[object, ...]:
    return backend.ipv4, backend.ipv6, backend.port, backend.same_port


class Addressed:
    """Resolves them. ``port``: from the name of a load balancer and the side ``at`` to its port."""

    def __init__(
        self, lab: Lab, stations: Stations, filled: Filled, port: Callable[[str, str], Port], report: Report
    ) -> None:
        self.lab, self.stations, self.filled = lab, stations, filled
        self.port, self.report = port, report

    def balancer(self, name: str, spec: FunctionSpec, switch: str | None) -> Balancer | None:
        base: Path = ("functions", name)
        report = self.report
        if spec.port is None:
            report.add((*base, "port"), "the load balancer has no port", "1 to 65535", "write port: 80")
        if not spec.backends:
            listed = ", ".join(list(self.lab.hosts)[:8])
            what = "the load balancer has no backends"
            report.add((*base, "backends"), what, f"hosts: {listed}", "write backends: [...]")
        network = self.filled.homes.get(name)
        ports = self._ports(base, spec)
        backends = self._backends(base, spec, network, ports)
        check = self._check(base, spec)
        http = self._http(base, spec, {backend.host for backend in backends})
        if spec.protocol == "udp" and spec.engine == "haproxy":
            report.add((*base, "protocol"), "HAProxy balances TCP", "tcp", "write engine: openflow for UDP")
        if network is None or not ports or switch is None or name not in self.filled.macs:
            return None
        ipv4, ipv6 = (self.filled.addresses.get((name, family)) for family in (4, 6))
        for index, backend in enumerate(backends):
            usable = (ipv4 and backend.ipv4) or (ipv6 and backend.ipv6)
            if (ipv4 or ipv6) and not usable:
                what = f"host {backend.host} has no address of the balancer's family"
                report.add((*base, "backends", index), what, remedy="give the balancer one of its family")
        return Balancer(
            network=network,
            at=self.port(name, "at"),
            mac=self.filled.macs[name],
            ipv4=cast("IPv4Interface | None", ipv4),
            ipv6=cast("IPv6Interface | None", ipv6),
            protocol=cast(Literal["tcp", "udp"], spec.protocol or "tcp"),
            port=ports[0],
            more_ports=ports[1:],
            more_addresses=self.filled.further.get(name, ()),
            backends=tuple(sorted(backends, key=lambda backend: (names.natural(backend.host), backend.port))),
            hash=cast(Literal["5-tuple", "source"], spec.hash or "5-tuple"),
            check=check,
            http=http,
            udp_timeout=spec.udp_timeout or UDP_TIMEOUT,
            former=self._former(name, network, backends) if spec.engine != "haproxy" else (),
        )

    def _former(self, name: str, network: str, backends: list[Backend]) -> tuple[Backend, ...]:
        """The backends, present and former, that the load balancer has in the running lab and no
        longer in the file; the latest ``MOST_FORMER``. A backend with another address or port is
        another backend."""
        running = self.lab.running
        known = running.functions if running is not None else ()
        balancers = [
            function.balancer
            for function in known
            if function.name == name and isinstance(function, LoadBalancer)
        ]
        if not balancers or balancers[0].network != network:
            return ()
        current = {_identity(backend) for backend in backends}
        by_identity = {
            _identity(backend): backend for backend in (*balancers[0].former, *balancers[0].backends)
        }
        return tuple(backend for identity, backend in by_identity.items() if identity not in current)[
            -MOST_FORMER:
        ]

    def _ports(self, base: Path, spec: FunctionSpec) -> tuple[int, ...]:
        count = sum(last - first + 1 for first, last in spec.port or ())
        if count > MOST_PORTS:
            what = f"the load balancer has {count} ports"
            self.report.add((*base, "port"), what, f"up to {MOST_PORTS}", "use several load balancers")
            return ()
        return tuple(port for first, last in spec.port or () for port in range(first, last + 1))

    def _backends(
        self, base: Path, spec: FunctionSpec, network: str | None, ports: tuple[int, ...]
    ) -> list[Backend]:
        backends: list[Backend] = []
        seen: set[str] = set()
        for index, entry in enumerate(spec.backends or ()):
            path = (*base, "backends", index)
            if entry.host is None:
                self.report.add(path, "the backend names no host", "web1 or {host: web1}", "write host: web1")
                continue
            if entry.host not in self.lab.hosts:
                self.report.no_such(path, "host", entry.host, self.lab.hosts)
                continue
            home = self.lab.member.get(entry.host)
            if home is None:
                continue  # reported where it is
            if entry.host in seen:
                what = f"host {entry.host} is a backend twice"
                self.report.add(path, what, remedy="give it a weight instead, and remove one")
                continue
            seen.add(entry.host)
            if home != network:
                what = f"host {entry.host} is in network {home}, the load balancer in {network}"
                self.report.add(path, what, f"hosts of {network}", "take another backend")
                continue
            backends.append(
                Backend(
                    host=entry.host,
                    mac=self.stations.macs[entry.host],
                    ipv4=self.stations.ipv4.get(entry.host),
                    ipv6=self.stations.ipv6.get(entry.host),
                    port=entry.port or (ports[0] if ports else 1),
                    same_port=entry.port is None and len(ports) > 1,
                    weight=entry.weight or 1,
                )
            )
        return backends

    def _check(self, base: Path, spec: FunctionSpec) -> HealthCheck:
        given = spec.check or CheckSpec.model_construct()
        kind = given.kind or ("icmp" if spec.protocol == "udp" else "tcp")
        path = (*base, "check")
        if given.path is not None and kind != "http":
            self.report.add((*path, "path"), f"a {kind} check asks for no path", remedy="write kind: http")
        if spec.engine == "haproxy" and kind == "icmp":
            what = "HAProxy checks only with tcp and http"
            self.report.add((*path, "kind"), what, "tcp, http", "write kind: tcp, or engine: openflow")
        interval = given.interval or 500_000
        timeout = given.timeout or interval
        if timeout > interval:
            what = "the timeout is longer than the interval"
            allowed = f"up to the interval, {interval // 1000}ms"
            self.report.add((*path, "timeout"), what, allowed, "shorten it, or lengthen the interval")
        return HealthCheck(
            kind=cast(Literal["tcp", "icmp", "http"], kind),
            interval=interval,
            timeout=timeout,
            rise=given.rise or 2,
            fall=given.fall or 2,
            path=given.path or "/",
        )

    def _http(self, base: Path, spec: FunctionSpec, backends: set[str]) -> tuple[HttpRule, ...]:
        rules = []
        for index, rule in enumerate(spec.http or ()):
            path = (*base, "http", index)
            chosen = known_names(
                rule.backends, (*path, "backends"), dict.fromkeys(backends), "backend", self.report
            )
            if rule.backends is None:
                what = "the rule names no backends"
                some = ", ".join(sorted_names(backends))
                self.report.add((*path, "backends"), what, some, "write backends: [...]")
            if index + 1 < len(spec.http or ()) and rule.path is None and rule.host is None:
                what = "this rule takes all requests, those after it get none"
                self.report.add(path, what, "path, host", "move it to the end, or give it a path")
            if chosen:
                rules.append(HttpRule(path=rule.path, host=rule.host, backends=chosen))
        return tuple(rules)

    def nat(self, name: str, spec: FunctionSpec) -> Nat | None:
        base: Path = ("functions", name)
        forwards: list[Forward] = []
        seen: dict[tuple[str, int], int] = {}
        for index, forward in enumerate(spec.forwards or ()):
            path = (*base, "forwards", index)
            if forward.port is None or forward.to is None:
                key, form = ("port", "8080") if forward.port is None else ("to", "web1:80")
                what = "the forward has no port" if forward.port is None else "the forward names no host"
                self.report.add((*path, key), what, remedy=f"write {key}: {form}")
                continue
            protocol = forward.protocol or "tcp"
            if (protocol, forward.port) in seen:
                line = self.report.locate((*base, "forwards", seen[protocol, forward.port]))
                what = f"{protocol} port {forward.port} is forwarded already (line {line})"
                self.report.add(path, what, remedy="change or remove one")
                continue
            seen[protocol, forward.port] = index
            if forward.to.host not in self.lab.hosts:
                self.report.no_such((*path, "to"), "host", forward.to.host, self.lab.hosts)
                continue
            address = self.stations.ipv4.get(forward.to.host)
            if address is None:
                if self.lab.member.get(forward.to.host) is not None:
                    what = f"host {forward.to.host} has no IPv4 address"
                    self.report.add((*path, "to"), what, remedy="give its network a subnet4")
                continue
            forwards.append(
                Forward(
                    protocol=cast(Literal["tcp", "udp"], protocol),
                    port=forward.port,
                    host=forward.to.host,
                    ipv4=address,
                    to_port=forward.to.port or forward.port,
                )
            )
        address = cast("IPv4Interface | None", self.filled.addresses.get((name, 4)))
        network = self.filled.homes.get(name)
        if address is None or network is None:
            return None
        ordered = tuple(sorted(forwards, key=lambda forward: (forward.protocol, forward.port)))
        return Nat(
            network=network, mac=self.filled.macs[name], ipv4=address, forwards=ordered,
            udp_timeout=spec.udp_timeout or UDP_TIMEOUT,
        )  # fmt: skip
