"""OVSDB operations and the database file, as values."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from dataplane.ovs.openvswitch import SCHEMA, SETTINGS
from dataplane.ovs.ovsdb import bridge_operations, database_file, timeout_operations
from dataplane.plan.lab import plan
from tests.unit.dataplane.labs import line
from topologies.model.topology import Shaping

UUID = "c7d9e6d2-0509-4f42-9cb2-ad9bdc4e3e28"


def test_every_record_of_a_database_file_has_its_length_and_digest() -> None:
    data = database_file('{"name": "Open_vSwitch"}', {"a": "b"}, UUID)
    records = []
    while data:
        head, data = data.split(b"\n", 1)
        _, _, length, digest = head.split()
        body, data = data[: int(length)], data[int(length) :]
        assert hashlib.sha1(body).hexdigest() == digest.decode()
        records.append(json.loads(body))
    assert records[1]["Open_vSwitch"][UUID]["other_config"] == ["map", [["a", "b"]]]


@pytest.mark.skipif(
    shutil.which("ovsdb-tool") is None or not SCHEMA.exists(), reason="needs the package openvswitch-switch"
)
def test_ovsdb_tool_reads_the_database_file(tmp_path: Path) -> None:
    path = tmp_path / "conf.db"
    path.write_bytes(database_file(SCHEMA.read_text(), SETTINGS, UUID))
    ask = '["Open_vSwitch",{"op":"select","table":"Open_vSwitch","where":[],"columns":["other_config"]}]'
    said = subprocess.run(["ovsdb-tool", "query", path, ask], capture_output=True, text=True, check=True)
    (row,) = json.loads(said.stdout)[0]["rows"]
    assert dict(row["other_config"][1]) == SETTINGS


def rows(operations: list[dict[str, object]], table: str) -> list[dict[str, object]]:
    return [o["row"] for o in operations if o["op"] == "insert" and o["table"] == table]  # type: ignore[misc]


def test_one_transaction_holds_bridges_ports_and_controllers() -> None:
    operations = bridge_operations(plan(line(2)).domains[0].bridges, "netdev", "tcp:198.18.0.1:6653")
    bridges = rows(operations, "Bridge")
    assert [bridge["name"] for bridge in bridges] == ["s1", "s2"]
    assert all(bridge["fail_mode"] == "secure" and bridge["datapath_type"] == "netdev" for bridge in bridges)
    assert dict(bridges[0]["other_config"][1])["datapath-id"] == "0000000000000001"  # type: ignore[index]
    interfaces = {row["name"]: row for row in rows(operations, "Interface")}
    assert interfaces["s1-eth3"]["options"] == ["map", [["peer", "s2-eth2"]]]
    assert interfaces["s1-eth3"]["ofport_request"] == 3 and "type" not in interfaces["s1-eth1"]
    assert {row["connection_mode"] for row in rows(operations, "Controller")} == {"out-of-band"}
    names = [o["uuid-name"] for o in operations if o["op"] == "insert"]
    assert len(names) == len(set(names))


def test_a_shaped_port_is_kept_from_open_vswitchs_own_qos() -> None:
    shaped = plan(line(2, shaping=Shaping(bandwidth=1_000_000))).domains[0].bridges
    operations = bridge_operations(shaped, "netdev", None)
    assert rows(operations, "QoS") == [{"type": "linux-noop"}] * 2
    assert {row["name"] for row in rows(operations, "Port") if "qos" in row} == {"s1-eth3", "s2-eth2"}


def test_zones_with_one_timeout_share_its_policy() -> None:
    operations = timeout_operations("netdev", ((7, 120), (9, 300), (11, 120)))
    assert [dict(row["timeouts"][1]) for row in rows(operations, "CT_Timeout_Policy")] == [  # type: ignore[index]
        {f"udp_{kind}": seconds for kind in ("first", "single", "multiple")}
        | {"icmp_first": 60, "icmp_reply": 60}
        for seconds in (120, 300)
    ]
    (datapath,) = rows(operations, "Datapath")
    assert [zone for zone, _ in datapath["ct_zones"][1]] == [7, 9, 11]  # type: ignore[index]
    assert operations[-1]["row"] == {"datapaths": ["map", [["netdev", ["named-uuid", "datapath"]]]]}
    assert rows(timeout_operations("netdev", ()), "Datapath") == [{"ct_zones": ["map", []]}]
