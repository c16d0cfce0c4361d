"""A firewall. A solution."""

from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.ofproto import ofproto_v1_3

H1, H3 = "02:00:00:00:00:01", "02:00:00:00:00:03"


class Firewall(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        """A switch is there: what matches no other flow comes to us."""
        datapath = event.msg.datapath
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        to_us = [parser.OFPActionOutput(ofp.OFPP_CONTROLLER, ofp.OFPCML_NO_BUFFER)]
        self.add_flow(datapath, 0, parser.OFPMatch(), to_us)
        for family, address in (("ipv4", "10.0.0.2"), ("ipv6", "fd00::2")):
            kind = 0x0800 if family == "ipv4" else 0x86DD
            telnet = {"eth_type": kind, f"{family}_dst": address, "ip_proto": 6, "tcp_dst": 23}
            self.add_flow(datapath, 10, parser.OFPMatch(**telnet), [])
        for source, target in ((H3, H1), (H1, H3)):
            self.add_flow(datapath, 10, parser.OFPMatch(eth_src=source, eth_dst=target), [])

    def add_flow(self, datapath, priority, match, actions):
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        apply = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)]
        datapath.send_msg(
            parser.OFPFlowMod(datapath=datapath, priority=priority, match=match, instructions=apply)
        )

    def send(self, message, port):
        """Send the packet of a packet-in out at a port."""
        datapath = message.datapath
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath,
                buffer_id=ofp.OFP_NO_BUFFER,
                in_port=message.match["in_port"],
                actions=[parser.OFPActionOutput(port)],
                data=message.data,
            )
        )

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        self.send(event.msg, event.msg.datapath.ofproto.OFPP_FLOOD)
