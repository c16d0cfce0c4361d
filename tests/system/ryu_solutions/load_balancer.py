"""A load balancer. A solution."""

from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib.packet import arp, ethernet, ipv4, packet, tcp
from ryu.ofproto import ofproto_v1_3

ADDRESS, MAC = "10.0.0.100", "02:00:00:00:01:00"
SERVERS = [("02:00:00:00:00:03", "10.0.0.3", 3), ("02:00:00:00:00:04", "10.0.0.4", 4)]


class LoadBalancer(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.chosen = {}  # client and its port -> the server of that connection

    def answer_arp(self, message, parsed):
        """Answer who asks for the address of the service; whether it was such a question."""
        asked = parsed.get_protocol(arp.arp)
        if asked is None or asked.opcode != arp.ARP_REQUEST or asked.dst_ip != ADDRESS:
            return False
        answer = packet.Packet()
        answer.add_protocol(ethernet.ethernet(ethertype=0x0806, dst=asked.src_mac, src=MAC))
        answer.add_protocol(
            arp.arp(
                opcode=arp.ARP_REPLY,
                src_mac=MAC,
                src_ip=ADDRESS,
                dst_mac=asked.src_mac,
                dst_ip=asked.src_ip,
            )
        )
        answer.serialize()
        datapath = message.datapath
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath,
                buffer_id=ofp.OFP_NO_BUFFER,
                in_port=ofp.OFPP_CONTROLLER,
                actions=[parser.OFPActionOutput(message.match["in_port"])],
                data=answer.data,
            )
        )
        return True

    def balance(self, message, client, port, server):
        """Send a connection to a server, and its answers back in the name of the service."""
        datapath, parser = message.datapath, message.datapath.ofproto_parser
        mac, address, out = server
        there = [
            parser.OFPActionSetField(eth_dst=mac),
            parser.OFPActionSetField(ipv4_dst=address),
            parser.OFPActionOutput(out),
        ]
        back = [
            parser.OFPActionSetField(eth_src=MAC),
            parser.OFPActionSetField(ipv4_src=ADDRESS),
            parser.OFPActionOutput(message.match["in_port"]),
        ]
        of_client = {
            "eth_type": 0x0800,
            "ip_proto": 6,
            "ipv4_src": client,
            "ipv4_dst": ADDRESS,
            "tcp_src": port,
        }
        of_server = {
            "eth_type": 0x0800,
            "ip_proto": 6,
            "ipv4_src": address,
            "ipv4_dst": client,
            "tcp_dst": port,
        }
        self.add_flow(datapath, 10, parser.OFPMatch(**of_server), back)
        self.add_flow(datapath, 10, parser.OFPMatch(**of_client), there)
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath,
                buffer_id=datapath.ofproto.OFP_NO_BUFFER,
                in_port=message.match["in_port"],
                actions=there,
                data=message.data,
            )
        )

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        """A switch is there: what matches no other flow comes to us."""
        datapath = event.msg.datapath
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        to_us = [parser.OFPActionOutput(ofp.OFPP_CONTROLLER, ofp.OFPCML_NO_BUFFER)]
        self.add_flow(datapath, 0, parser.OFPMatch(), to_us)

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
        message = event.msg
        parsed = packet.Packet(message.data)
        if self.answer_arp(message, parsed):
            return
        segment, ip = parsed.get_protocol(tcp.tcp), parsed.get_protocol(ipv4.ipv4)
        if segment is not None and ip is not None and ip.dst == ADDRESS:
            # a packet that is sent again, while we are slow, goes to the same server
            following = SERVERS[len(self.chosen) % len(SERVERS)]
            server = self.chosen.setdefault((ip.src, segment.src_port), following)
            self.balance(message, ip.src, segment.src_port, server)
            return
        self.send(message, message.datapath.ofproto.OFPP_FLOOD)
