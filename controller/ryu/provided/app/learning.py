"""A learning switch for every version of OpenFlow: what the apps ``ryu.app.simple_switch*`` share.

Their classes, methods and attributes have Ryu's names, since users' apps derive from them.
"""

from __future__ import annotations

from typing import Any

from os_ken.base import app_manager
from os_ken.lib.mac import haddr_to_bin
from os_ken.lib.packet import ether_types, ethernet, packet
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_2, ofproto_v1_5


class LearningSwitch(app_manager.OSKenApp):
    """Learns at which port each address is, floods to unknown ones, and adds a flow for known ones.

    ``mac_to_port``: datapath id -> address -> port.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mac_to_port: dict[int, dict[str, int]] = {}

    def miss(self, datapath: Any) -> None:
        """Let the switch send what no flow matches to this controller."""
        ofproto, parser = datapath.ofproto, datapath.ofproto_parser
        output = parser.OFPActionOutput(ofproto.OFPP_CONTROLLER, ofproto.OFPCML_NO_BUFFER)
        self.add_flow(datapath, 0, parser.OFPMatch(), [output])

    def add_flow(
        self, datapath: Any, priority: int, match: Any, actions: Any, buffer_id: int | None = None
    ) -> None:
        """Add a flow that applies actions."""
        ofproto, parser = datapath.ofproto, datapath.ofproto_parser
        apply = parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, actions)
        more = {} if buffer_id is None else {"buffer_id": buffer_id}
        datapath.send_msg(
            parser.OFPFlowMod(datapath=datapath, priority=priority, match=match, instructions=[apply], **more)
        )

    def learned(self, msg: Any, data: bytes | None = None) -> tuple[int, str, str, int] | None:
        """Learn from a packet-in: its port, destination, source, and where to send it; None for LLDP."""
        datapath = msg.datapath
        frame = packet.Packet(msg.data if data is None else data).get_protocols(ethernet.ethernet)[0]
        if frame.ethertype == ether_types.ETH_TYPE_LLDP:
            return None
        version = datapath.ofproto.OFP_VERSION
        in_port = msg.in_port if version == ofproto_v1_0.OFP_VERSION else msg.match["in_port"]
        table = self.mac_to_port.setdefault(datapath.id, {})
        self.logger.info("packet in %s %s %s %s", datapath.id, frame.src, frame.dst, in_port)
        table[frame.src] = in_port
        return in_port, frame.dst, frame.src, table.get(frame.dst, datapath.ofproto.OFPP_FLOOD)

    def forward(self, msg: Any, in_port: int, actions: Any) -> None:
        """Send the packet of a packet-in on."""
        datapath = msg.datapath
        ofproto, parser = datapath.ofproto, datapath.ofproto_parser
        data = msg.data if msg.buffer_id == ofproto.OFP_NO_BUFFER else None
        if ofproto.OFP_VERSION == ofproto_v1_5.OFP_VERSION:
            origin: dict[str, Any] = {"match": parser.OFPMatch(in_port=in_port)}
        else:
            origin = {"in_port": in_port}
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath, buffer_id=msg.buffer_id, actions=actions, data=data, **origin
            )
        )

    def handle(self, msg: Any) -> None:
        """All that a switch of OpenFlow 1.2 or newer does with a packet-in."""
        way = self.learned(msg)
        if way is None:
            return
        in_port, destination, source, out_port = way
        datapath = msg.datapath
        ofproto, parser = datapath.ofproto, datapath.ofproto_parser
        actions = [parser.OFPActionOutput(out_port, 0)]
        if out_port != ofproto.OFPP_FLOOD:
            if ofproto.OFP_VERSION == ofproto_v1_2.OFP_VERSION:
                self.add_flow(datapath, in_port, destination, source, actions)  # type: ignore[arg-type]
            else:
                match = parser.OFPMatch(in_port=in_port, eth_dst=destination, eth_src=source)
                if msg.buffer_id != ofproto.OFP_NO_BUFFER:
                    self.add_flow(datapath, 1, match, actions, msg.buffer_id)
                    return
                self.add_flow(datapath, 1, match, actions)
        self.forward(msg, in_port, actions)


def forget(datapath: Any, addresses: Any) -> None:
    """Delete the flows to these addresses."""
    ofproto, parser = datapath.ofproto, datapath.ofproto_parser
    for address in addresses:
        if ofproto.OFP_VERSION == ofproto_v1_0.OFP_VERSION:
            flow = parser.OFPFlowMod(
                datapath=datapath,
                match=parser.OFPMatch(dl_dst=haddr_to_bin(address)),
                cookie=0,
                command=ofproto.OFPFC_DELETE,
            )
        else:
            flow = parser.OFPFlowMod(
                datapath=datapath,
                command=ofproto.OFPFC_DELETE,
                out_port=ofproto.OFPP_ANY,
                out_group=ofproto.OFPG_ANY,
                match=parser.OFPMatch(eth_dst=address),
            )
        datapath.send_msg(flow)
