"""Real frames through a rootless Open vSwitch: in at a dummy port, out into a capture file.

The dummy datapath is the userspace one without devices: connection tracking, reassembly and translation
are the real ones.  A frame is done before the next of its port is looked at, so once a marker that was sent
after it has come out, all that came of it has come out.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path

from controller.flow.tables import SwitchTables
from controller.openflow import messages, meters, replies
from controller.openflow.replies import PacketIn, parse_packet_in
from controller.update.difference import before_bundle, bundle, difference
from tests.switch.ovs import Channel, Vswitch

MARKER = 0x88B6
"""Ethernet type of markers (IEEE 802's local experimental type 2)."""
_QUEUE = 90
"""Frames at once: a dummy port's queue holds 100."""


class Wire:
    """What comes out of one port, from its capture file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 24

    def new(self) -> list[bytes]:
        """The frames that have come since the last call."""
        data = self.path.read_bytes() if self.path.exists() else b""
        frames = []
        while self.at + 16 <= len(data):
            size = struct.unpack_from("=I", data, self.at + 8)[0]
            if self.at + 16 + size > len(data):
                break
            frames.append(data[self.at + 16 : self.at + 16 + size])
            self.at += 16 + size
        return frames


class Bridge:
    """A bridge with dummy ports, tables, and a controller that hears its packet-ins."""

    def __init__(self, vswitch: Vswitch, name: str, ports: Iterable[int], directory: Path) -> None:
        self.vswitch, self.name = vswitch, name
        ports = tuple(ports)
        vswitch.bridge(name, ports)
        self.wires = {}
        for number in ports:
            path = directory / f"{name}-{number}.pcap"
            vswitch.vsctl("set", "interface", f"{name}-eth{number}", f"options:tx_pcap={path}", wait=True)
            self.wires[number] = Wire(path)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(str(vswitch.directory / f"{name}.mgmt"))
        self.channel = Channel(self._socket)
        self.heard: list[PacketIn] = []
        self._count = 0

    def forget(self) -> None:
        """Have Open vSwitch forget every connection.

        It walks a table that shrinks under it, and may pass one over: it is asked until none is left.
        """
        self.vswitch.appctl("dpctl/flush-conntrack")
        while self.vswitch.appctl("dpctl/dump-conntrack").strip():
            self.vswitch.appctl("dpctl/flush-conntrack")

    def close(self) -> None:
        self._socket.close()
        self.vswitch.vsctl("del-br", self.name, wait=True)

    def tell(self, data: bytes) -> list[bytes]:
        answers = self.channel.send(data)
        self.heard += [parse_packet_in(message) for message in answers if message[1] == messages.PACKET_IN]
        return [message for message in answers if message[1] != messages.PACKET_IN]

    def _ask(self, request: bytes) -> bytes:
        return b"".join(
            message[16:] for message in self.tell(request) if message[1] == messages.MULTIPART_REPLY
        )

    def program(self, tables: SwitchTables) -> None:
        """Have the switch hold these tables, by the difference alone."""
        cookies = replies.parse_cookies(self._ask(messages.flow_stats_request()))
        groups = list(replies.parse_group_desc(self._ask(messages.group_desc_request())))
        metered = list(meters.parse_meter_desc(self._ask(meters.meter_desc_request())))
        change = difference(cookies, groups, tables, metered)
        self.tell(before_bundle(change))
        self.tell(bundle(change))
        # the datapath has cached something of the old tables; to wait for its own look may be to wait for
        # one that was begun before
        self.vswitch.appctl("revalidator/purge")

    def tracks_ports(self, frame: bytes) -> bool:
        """Whether the switch's connection tracking takes an IPv4 frame for the first of a connection between
        the ports of its transport header. The switch has no flows afterwards.

        Versions of Open vSwitch differ here: 3.1 tracks SCTP in its userspace datapath without its ports.
        """
        ports = (
            f"ct_tp_src={int.from_bytes(frame[34:36], 'big')},ct_tp_dst={int.from_bytes(frame[36:38], 'big')}"
        )
        self.vswitch.ofctl("del-flows", self.name)
        for text in (
            f"in_port=1,priority=9,dl_type={MARKER:#06x},actions=2",
            "in_port=1,priority=1,ip,actions=ct(table=1,zone=65000)",
            f"table=1,ct_state=+trk+new-inv,ct_nw_proto={frame[23]},{ports},actions=2",
        ):
            self.vswitch.ofctl("add-flow", self.name, text)
        self.vswitch.appctl("revalidator/purge")
        came = self.send(1, [frame], 2)[2]
        self.vswitch.ofctl("del-flows", self.name)
        return bool(came)

    def send(self, port: int, frames: Iterable[bytes], marker_to: int) -> dict[int, list[bytes]]:
        """Frames into ``port``; what came out, by port, once a marker has come out of ``marker_to``.

        The tables have to send frames of type ``MARKER`` from one to the other.
        """
        out: dict[int, list[bytes]] = {number: [] for number in self.wires}
        some = [*frames]
        for start in range(0, max(len(some), 1), _QUEUE):
            for number, came in self._send(port, some[start : start + _QUEUE], marker_to).items():
                out[number] += came
        return out

    def _send(self, port: int, frames: list[bytes], marker_to: int) -> dict[int, list[bytes]]:
        self._count += 1
        head = bytes.fromhex("020000000bad020000000bae") + MARKER.to_bytes(2, "big")
        marker = head + self._count.to_bytes(4, "big") + bytes(46)
        interface = f"{self.name}-eth{port}"
        self.vswitch.appctl("netdev-dummy/receive", interface, *(frame.hex() for frame in (*frames, marker)))
        out: dict[int, list[bytes]] = {}
        deadline = time.monotonic() + 30
        while True:
            for number, wire in self.wires.items():
                out.setdefault(number, []).extend(wire.new())
            if marker in out[marker_to]:
                out[marker_to].remove(marker)
                return out
            assert time.monotonic() < deadline, f"the marker did not come out of {marker_to}"

    def packet_ins(self, count: int) -> list[PacketIn]:
        """The packet-ins since the last call, once there are ``count``; asked once, if 0 are wanted."""
        deadline = time.monotonic() + 10
        while True:
            self.tell(b"")
            if len(self.heard) >= count:
                heard, self.heard = self.heard, []
                return heard
            assert time.monotonic() < deadline, f"{len(self.heard)} packet-ins, not {count}"
