"""OVSDB: the operations for a lab's switches (pure), and a small client (RFC 7047).

The client uses JSON-RPC over ovsdb-server's Unix socket: one transaction for any number of rows. ``next_cfg``
and ``cur_cfg`` show when ovs-vswitchd has applied it (ovs-vswitchd.conf.db(5)).
"""

from __future__ import annotations

import codecs
import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from dataplane.plan.lab import BridgePlan, PortPlan
from dataplane.plan.trunks import TagBridge, TrunkPlan
from topologies.model.choices import SDNLAB
from wire.mac import BROADCAST, LOCAL_BIT, mac_text

DATABASE = "Open_vSwitch"
PROTOCOLS = ("OpenFlow13", "OpenFlow14", "OpenFlow15")
FOR_ANYBODY = ("OpenFlow10", "OpenFlow11", "OpenFlow12", *PROTOCOLS)
"""What a bridge of a user's own controller speaks: that chooses."""
Operation = dict[str, Any]


MARK = "sdnlab-order"
"""The key of Open_vSwitch:external_ids with the mark of the last order."""
PACKET_INS = {"controller_rate_limit": 2000, "controller_burst_limit": 500}
"""How many packets a second a switch sends to its controller, and how many wait for that.

Those that wait are sent in turn of their ports (ovs-vswitchd.conf.db(5), Controller). Without a limit, one
queue of 100 packets is for all ports: a host that floods fills it, and what others send is lost, also the
probes of functions.
"""
PATIENCE = 60.0
"""Timeouts in seconds: for an answer of ovsdb-server, and for a change by ovs-vswitchd."""
_LOOK = 0.5
"""Seconds between two checks of the daemon that we wait for."""


class OvsdbError(Exception):
    """ovsdb-server refused a transaction, or ovs-vswitchd does not apply it."""


class Disconnected(OvsdbError):
    """ovsdb-server closed the connection."""


def ovs_set(items: Iterable[Any]) -> list[Any]:
    """An OVSDB set (RFC 7047, 5.1)."""
    return ["set", list(items)]


def ovs_map(items: Mapping[str, str]) -> list[Any]:
    """An OVSDB map (RFC 7047, 5.1)."""
    return ["map", [list(pair) for pair in items.items()]]


def database_file(schema: str, other_config: Mapping[str, str], uuid: str) -> bytes:
    """A new conf.db (ovsdb(5), log format): the schema, and the root row with its configuration.

    This saves a process (ovsdb-tool) and a transaction before ovs-vswitchd starts, which reads settings such
    as userspace-tso-enable only once.
    """
    root = {DATABASE: {uuid: {"other_config": ovs_map(other_config)}}, "_comment": "sdnlab"}
    out = b""
    for record in (json.loads(schema), root):
        body = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        out += b"OVSDB JSON %d %s\n" % (len(body), hashlib.sha1(body).hexdigest().encode()) + body
    return out


def _uuid_name(kind: str, name: str) -> str:
    return f"{kind}_" + "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in name)


def port_operations(
    bridge: str, port: PortPlan, more: Mapping[str, Any] = MappingProxyType({})
) -> list[Operation]:
    """Insert one port and its interface; the caller links it to its bridge. ``more``: columns of the port."""
    interface: dict[str, Any] = {"name": port.device, "ofport_request": port.number}
    if port.peer is not None:
        interface |= {"type": "patch", "options": ovs_map({"peer": port.peer})}
    if port.tunnel:  # ovs-vswitchd.conf.db(5): VNI and VTEP come from the flow
        interface |= {"type": "vxlan", "options": ovs_map({"key": "flow", "remote_ip": "flow"})}
    i, p = _uuid_name("i", port.device), _uuid_name("p", port.device)
    row: dict[str, Any] = {"name": port.device, "interfaces": ["named-uuid", i], **more}
    operations: list[Operation] = [{"op": "insert", "table": "Interface", "uuid-name": i, "row": interface}]
    if port.shaped:
        operations.append(_alone(port))
        row["qos"] = ["named-uuid", operations[-1]["uuid-name"]]
    operations.append({"op": "insert", "table": "Port", "uuid-name": p, "row": row})
    return operations


def shaped_operations(uuid: str, port: PortPlan) -> list[Operation]:
    """Make the port with this row as ``shaped`` as the plan says."""
    operations = [_alone(port)] if port.shaped else []
    qos = ["named-uuid", operations[0]["uuid-name"]] if port.shaped else ["set", []]
    where = [["_uuid", "==", ["uuid", uuid]]]
    return [*operations, {"op": "update", "table": "Port", "where": where, "row": {"qos": qos}}]


def _alone(port: PortPlan) -> Operation:
    """Insert what a port refers to whose queueing disciplines are left alone.

    Without a QoS of type linux-noop, ovs-vswitchd removes any queueing discipline that it finds.
    """
    return _insert("QoS", _uuid_name("q", port.device), {"type": "linux-noop"})


def bridge_operations(
    bridges: Iterable[BridgePlan], datapath: str, controller: str | None
) -> list[Operation]:
    """Insert bridges with all their ports and a controller each, and link them to the root row."""
    operations: list[Operation] = []
    names = []
    for bridge in bridges:
        for port in bridge.ports:
            operations += port_operations(bridge.device, port)
        mac = mac_text(bridge.dpid & BROADCAST | LOCAL_BIT)
        own_i, own_p = _uuid_name("bi", bridge.device), _uuid_name("bp", bridge.device)
        row: dict[str, Any] = {
            "name": bridge.device,
            "datapath_type": datapath,
            "fail_mode": "secure",
            "protocols": _protocols(bridge),
            "other_config": ovs_map(
                {
                    "datapath-id": f"{bridge.dpid:016x}",
                    # A fixed address: otherwise Open vSwitch chooses a new one from the ports at each change.
                    "hwaddr": mac,
                    "disable-in-band": "true",
                }
            ),
            "ports": ovs_set(
                [
                    ["named-uuid", own_p],
                    *(["named-uuid", _uuid_name("p", port.device)] for port in bridge.ports),
                ]
            ),
        }
        own = {"name": bridge.device, "type": "internal"}
        operations += [
            {"op": "insert", "table": "Interface", "uuid-name": own_i, "row": own},
            {
                "op": "insert",
                "table": "Port",
                "uuid-name": own_p,
                "row": {"name": bridge.device, "interfaces": ["named-uuid", own_i]},
            },
            {"op": "insert", "table": "Bridge", "uuid-name": _uuid_name("b", bridge.device), "row": row},
        ]
        names.append(["named-uuid", _uuid_name("b", bridge.device)])
        operations += controller_operations(bridge, controller)
    if names:
        operations.append(_mutate(DATABASE, [], [["bridges", "insert", ovs_set(names)]]))
    return operations


_NO_VLAN = 4095
"""The VLAN of a bridge's own port: no frame is in it, so the kernel gets none (IEEE 802.1Q reserves it)."""


def trunk_operations(trunks: Iterable[TrunkPlan], datapath: str) -> list[Operation]:
    """Insert the bridges of trunks, which are VLAN switches of their own."""
    operations: list[Operation] = []
    names = []
    for trunk in trunks:
        for bridge in trunk.bridges:
            operations += _tag_bridge(bridge, datapath)
            names.append(["named-uuid", _uuid_name("b", bridge.device)])
    if names:
        operations.append(_mutate(DATABASE, [], [["bridges", "insert", ovs_set(names)]]))
    return operations


def _tag_bridge(bridge: TagBridge, datapath: str) -> list[Operation]:
    operations: list[Operation] = []
    own = PortPlan(bridge.device, 0)
    for port in bridge.ports:
        vlan: dict[str, Any] = {"vlan_mode": "trunk", "trunks": ovs_set(bridge.tags)}
        if port.tag is not None:
            vlan = {"vlan_mode": "access", "tag": port.tag}
        operations += port_operations(bridge.device, port.port, vlan)
    interface = {"name": own.device, "type": "internal"}
    i, p = _uuid_name("i", own.device), _uuid_name("p", own.device)
    operations += [
        {"op": "insert", "table": "Interface", "uuid-name": i, "row": interface},
        _insert(
            "Port",
            p,
            {
                "name": own.device,
                "interfaces": ["named-uuid", i],
                "vlan_mode": "access",
                "tag": _NO_VLAN,
            },
        ),
        _insert(
            "Bridge",
            _uuid_name("b", bridge.device),
            {
                "name": bridge.device,
                "datapath_type": datapath,
                "fail_mode": "standalone",  # and no controller: it is a switch by itself
                # All but the sender get what is in a VLAN: nothing is learned that could be out of date
                "flood_vlans": ovs_set(bridge.tags),
                "other_config": ovs_map({"forward-bpdu": "true", "disable-in-band": "true"}),
                "ports": ovs_set(
                    ["named-uuid", _uuid_name("p", device)]
                    for device in (own.device, *(port.port.device for port in bridge.ports))
                ),
            },
        ),
    ]
    return operations


ICMP_TIMEOUT = 60
"""The least timeout in seconds of an ICMP query in connection tracking (RFC 5508, REQ-2)."""


def timeout_operations(datapath: str, timeouts: Iterable[tuple[int, int]]) -> list[Operation]:
    """Set the timeouts of UDP connections in these connection tracking zones, in seconds.

    ICMP queries there get ``ICMP_TIMEOUT``; other protocols keep Open vSwitch's defaults
    (ovs-vswitchd.conf.db(5), CT_Timeout_Policy).
    """
    operations: list[Operation] = []
    policies, zones = set[int](), []
    for zone, seconds in timeouts:
        if seconds not in policies:
            policies.add(seconds)
            kinds = {f"udp_{kind}": seconds for kind in ("first", "single", "multiple")}
            kinds |= {f"icmp_{kind}": ICMP_TIMEOUT for kind in ("first", "reply")}
            row = {"timeouts": ["map", [list(pair) for pair in kinds.items()]]}
            operations.append(_insert("CT_Timeout_Policy", f"policy{seconds}", row))
        operations.append(
            _insert("CT_Zone", f"zone{zone}", {"timeout_policy": ["named-uuid", f"policy{seconds}"]})
        )
        zones.append([zone, ["named-uuid", f"zone{zone}"]])
    operations.append(_insert("Datapath", "datapath", {"ct_zones": ["map", zones]}))
    known = ["map", [[datapath, ["named-uuid", "datapath"]]]]
    update = {"op": "update", "table": DATABASE, "where": [], "row": {"datapaths": known}}
    return [*operations, update]


def _insert(table: str, name: str, row: dict[str, Any]) -> Operation:
    return {"op": "insert", "table": table, "uuid-name": name, "row": row}


def controller_operations(bridge: BridgePlan, target: str | None) -> list[Operation]:
    """Set a bridge's controller; target None: it has none.

    A user's own controller gets all packets that are sent to it, as in any network.
    """
    if target is None:
        return []
    name = _uuid_name("c", bridge.device)
    limits = PACKET_INS if bridge.controller == SDNLAB else {}
    row = {"target": target, "connection_mode": "out-of-band", "max_backoff": 1000, **limits}
    return [
        {"op": "insert", "table": "Controller", "uuid-name": name, "row": row},
        _mutate(
            "Bridge",
            [["name", "==", bridge.device]],
            [["controller", "insert", ovs_set([["named-uuid", name]])]],
        ),
    ]


def no_controller(bridge: str) -> list[Operation]:
    """Take its controller from a bridge."""
    where = [["name", "==", bridge]]
    return [{"op": "update", "table": "Bridge", "where": where, "row": {"controller": ovs_set([])}}]


def other_controller(bridge: BridgePlan, target: str | None) -> list[Operation]:
    """Give a bridge that has no controller another one, with the protocols for it."""
    row = {"protocols": _protocols(bridge)}
    update = {"op": "update", "table": "Bridge", "where": [["name", "==", bridge.device]], "row": row}
    return [update, *controller_operations(bridge, target)]


def _protocols(bridge: BridgePlan) -> list[Any]:
    return ovs_set(PROTOCOLS if bridge.controller == SDNLAB else FOR_ANYBODY)


def _mutate(table: str, where: list[Any], mutations: list[Any]) -> Operation:
    return {"op": "mutate", "table": table, "where": where, "mutations": mutations}


def add_ports(bridge: str, ports: Iterable[PortPlan]) -> list[Operation]:
    """Add ports to an existing bridge; without ports, there is no operation."""
    operations: list[Operation] = []
    names = []
    for port in ports:
        operations += port_operations(bridge, port)
        names.append(["named-uuid", _uuid_name("p", port.device)])
    if names:
        operations.append(_mutate("Bridge", [["name", "==", bridge]], [["ports", "insert", ovs_set(names)]]))
    return operations


def remove_ports(bridge: str, ports: Iterable[str]) -> list[Operation]:
    """Remove ports (UUIDs of their rows) from a bridge; their rows are deleted, too."""
    rows = ovs_set(["uuid", port] for port in ports)
    return [_mutate("Bridge", [["name", "==", bridge]], [["ports", "delete", rows]])]


def remove_bridge(bridge: str) -> list[Operation]:
    """Remove a bridge (UUID of its row), with all rows that belong to it."""
    return [_mutate(DATABASE, [], [["bridges", "delete", ovs_set([["uuid", bridge]])]])]


class Client:
    """A blocking connection to ovsdb-server; the caller may pass a prepared socket.

    ``check`` is called twice a second during a wait, and may raise, for example if the daemon has died.  No
    answer within ``timeout`` seconds raises TimeoutError.
    """

    def __init__(
        self, path: str, timeout: float = PATIENCE, check: Callable[[], None] = lambda: None
    ) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_LOOK)
        self._timeout, self._check = timeout, check
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._text = codecs.getincrementaldecoder("utf-8")()
        self._id = 0
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _patiently(self, action: Callable[[], int | bytes], what: str) -> int | bytes:
        """Do a step that may wait for ovsdb-server."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return action()
            except TimeoutError:
                self._check()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"ovsdb-server did not {what} within {self._timeout:.0f} s") from None
            except OSError as error:
                raise Disconnected(f"ovsdb-server closed the connection: {error.strerror}") from None

    def _send(self, message: dict[str, Any]) -> None:
        rest = memoryview(json.dumps(message, separators=(",", ":")).encode())
        while rest:
            rest = rest[int(self._patiently(partial(self._socket.send, rest), "take a request")) :]

    def _receive(self) -> dict[str, Any]:
        while True:
            if self._buffer:
                try:
                    message, end = self._decoder.raw_decode(self._buffer)
                except json.JSONDecodeError:
                    pass
                else:
                    self._buffer = self._buffer[end:].lstrip()
                    return dict(message)
            data = self._patiently(lambda: self._socket.recv(1 << 20), "answer")
            if not isinstance(data, bytes) or not data:
                raise Disconnected("ovsdb-server closed the connection")
            self._buffer += self._text.decode(data)

    def _message(self) -> dict[str, Any]:
        """The next message. ovsdb-server's keep-alive messages are answered here."""
        while True:
            message = self._receive()
            if message.get("method") != "echo":
                return message
            self._send({"id": message["id"], "result": message["params"], "error": None})

    def call(self, method: str, *params: Any) -> Any:
        """Send one request; its result. Update messages before it are dropped."""
        self._id += 1
        self._send({"id": self._id, "method": method, "params": list(params)})
        while True:
            message = self._message()
            if message.get("id") == self._id and "method" not in message:
                if message.get("error"):
                    raise OvsdbError(str(message["error"]))
                return message["result"]

    def transact(self, operations: Iterable[Operation]) -> list[dict[str, Any]]:
        """Do all operations, or none; the result of each."""
        results = self.call("transact", DATABASE, *operations)
        for result in results:
            if result and result.get("error"):
                raise OvsdbError(f"{result['error']}: {result.get('details', '')}")
        return list(results)

    def order(self, operations: Iterable[Operation], mark: str) -> int:
        """Transact, and write ``mark`` into the database; the number that cur_cfg reaches when it is
        applied."""
        notes = [
            ["external_ids", "delete", ovs_set([MARK])],
            ["external_ids", "insert", ovs_map({MARK: mark})],
        ]
        bump = _mutate(DATABASE, [], [["next_cfg", "+=", 1], *notes])
        ask = {"op": "select", "table": DATABASE, "where": [], "columns": ["next_cfg"]}
        return int(self.transact([*operations, bump, ask])[-1]["rows"][0]["next_cfg"])

    def ordered(self, mark: str) -> int | None:
        """The number that ``order`` returned, or would have returned; None if the last order had another
        mark."""
        (row,) = self.select(DATABASE, ["next_cfg", "external_ids"])
        return int(row["next_cfg"]) if dict(row["external_ids"][1]).get(MARK) == mark else None

    def wait(self, wanted: int) -> None:
        """Wait until ovs-vswitchd has applied the transaction for which ``order`` returned ``wanted``.

        Raises TimeoutError, and the exceptions of ``check``.
        """
        self._id += 1
        watch = f"cfg{self._id}"
        current = self.call("monitor", DATABASE, watch, {DATABASE: {"columns": ["cur_cfg"]}})
        while not _reached(current, wanted):
            message = self._message()
            current = message["params"][1] if message.get("method") == "update" else {}
        self.call("monitor_cancel", watch)

    def select(self, table: str, columns: Iterable[str], where: Iterable[Any] = ()) -> list[dict[str, Any]]:
        """Rows of a table."""
        ask = {"op": "select", "table": table, "where": list(where), "columns": list(columns)}
        return list(self.transact([ask])[0]["rows"])


def _reached(update: dict[str, Any], wanted: int) -> bool:
    rows = update.get(DATABASE, {}).values()
    return any(row["new"].get("cur_cfg", 0) >= wanted for row in rows if "new" in row)
