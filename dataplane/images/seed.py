"""The disk that tells cloud-init what a machine is: its name, its addresses, and the lab's agent. Pure.

cloud-init's data source NoCloud reads three files from a disk with the label ``cidata``
(https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html). They are JSON, which is YAML.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any

from dataplane.images import iso9660

LABEL = "cidata"
SERVICE = "sdnlab-agent.service"
START = "/usr/lib/sdnlab/start"
"""What the service runs: the command in a form that needs no quoting of systemd's."""
COMPLETE = "/usr/lib/sdnlab/complete"
"""The file that is written last: all others are whole when it is there."""

Interface = IPv4Interface | IPv6Interface
Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Machine:
    """What cloud-init makes of an image at its first boot.

    ``mac``: of the one network device. ``gateways``: a default route by each. ``mtu``: bytes. ``agent``: the
    content of the agent's files, by their path in the machine. ``command``: starts the agent.
    """

    name: str
    mac: str
    addresses: Sequence[Interface]
    gateways: Sequence[Address]
    mtu: int
    agent: Mapping[str, bytes] = field(default_factory=dict)
    command: Sequence[str] = ()


def disk(machine: Machine) -> bytes:
    """The content of the seed's disk, to be attached read-only."""
    return iso9660.disk(LABEL, files(machine))


def files(machine: Machine) -> dict[str, bytes]:
    """The three files of the seed, by name."""
    user = b"#cloud-config\n" + _json(user_data(machine))
    network = _json(network_config(machine))
    # another content is another instance: cloud-init then does everything again
    instance = hashlib.sha256(user + network).hexdigest()[:16]
    meta = {"instance-id": f"sdnlab-{instance}", "local-hostname": machine.name}
    return {"meta-data": _json(meta), "network-config": network, "user-data": user}


def network_config(machine: Machine) -> dict[str, Any]:
    """Version 2 of cloud-init's network configuration: static addresses, nothing asked for or taken."""
    routes = [
        {"to": "0.0.0.0/0" if one.version == 4 else "::/0", "via": str(one)} for one in machine.gateways
    ]
    device = {
        "match": {"macaddress": machine.mac},
        "set-name": "eth0",
        "dhcp4": False,
        "dhcp6": False,
        "accept-ra": False,
        "mtu": machine.mtu,
        "addresses": [str(one) for one in machine.addresses],
        "routes": routes,
    }
    return {"version": 2, "ethernets": {"eth0": device}}


def user_data(machine: Machine) -> dict[str, Any]:
    """What cloud-init does: it writes the agent's files, and starts the agent as a service of systemd."""
    told: dict[str, Any] = {
        "hostname": machine.name,
        "package_update": False,
        "package_upgrade": False,
    }
    if not machine.command:
        return told
    start = f"#!/bin/sh\nexec {shlex.join(machine.command)}\n".encode()
    told["write_files"] = [
        *(_file(path, content, "0644") for path, content in sorted(machine.agent.items())),
        _file(START, start, "0755"),
        _file(f"/etc/systemd/system/{SERVICE}", _UNIT.encode(), "0644"),
        _file(COMPLETE, b"", "0644"),
    ]
    # cloud-init runs the first long before the second, which is at the end of its first boot
    told["bootcmd"] = [["sh", "-c", f"({_EARLY}) </dev/null >/dev/null 2>&1 &"]]
    told["runcmd"] = [["sh", "-c", _BEGIN]]
    return told


_BEGIN = f"systemctl daemon-reload; systemctl --no-block enable --now {SERVICE}"
_EARLY = f"""\
systemctl is-enabled --quiet {SERVICE} && exit
for look in $(seq 600); do
    test -e {COMPLETE} && break
    sleep 0.5
done
{_BEGIN}
"""
"""Starts the agent as soon as its files are written, beside the rest of the boot; once it is enabled, systemd
starts it."""

_UNIT = f"""\
[Unit]
Description=The lab's agent
DefaultDependencies=no
After=systemd-modules-load.service systemd-udevd.service

[Service]
ExecStart={START}
Restart=always
RestartSec=1
# what users start by the agent is no part of it
KillMode=process
TasksMax=infinity

[Install]
WantedBy=sysinit.target
"""


def _file(path: str, content: bytes, mode: str) -> dict[str, str]:
    text = base64.b64encode(content).decode()
    return {"path": path, "encoding": "b64", "content": text, "permissions": mode, "owner": "root:root"}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"
