"""A monitor with port statistics. A solution."""

import time

from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub
from ryu.lib.packet import ethernet, ipv4, packet, udp
from ryu.ofproto import ofproto_v1_3

H3 = {"mac": "02:00:00:00:00:03", "ip": "10.0.0.3", "port": 3, "udp": 9995}


class Monitor(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.port_of = {}  # MAC address -> port
        self.before = {}  # port -> packets that came in until the last reply, and when that was
        self.datapath = None
        hub.spawn(self.ask)

    def ask(self):
        """Ask for the counters of all ports, every second."""
        while True:
            if self.datapath is not None:
                parser, ofp = self.datapath.ofproto_parser, self.datapath.ofproto
                self.datapath.send_msg(parser.OFPPortStatsRequest(self.datapath, 0, ofp.OFPP_ANY))
            hub.sleep(1)

    @set_ev_cls(ofp_event.EventOFPPortStatsReply, MAIN_DISPATCHER)
    def counters(self, event):
        now = time.monotonic()
        for port in event.msg.body:
            packets, then = self.before.get(port.port_no, (0, 0.0))
            self.before[port.port_no] = port.rx_packets, now
            if then:
                self.report(
                    f"port {port.port_no}: {(port.rx_packets - packets) / (now - then):.0f} packets/s"
                )

    def report(self, text):
        """Send h3 a datagram with a text."""
        data = packet.Packet()
        data.add_protocol(ethernet.ethernet(dst=H3["mac"], src="02:00:00:00:00:fe"))
        data.add_protocol(ipv4.ipv4(src="10.0.0.254", dst=H3["ip"], proto=17))
        data.add_protocol(udp.udp(src_port=H3["udp"], dst_port=H3["udp"]))
        data.add_protocol(text.encode())
        data.serialize()
        self.send(data.data, self.datapath.ofproto.OFPP_CONTROLLER, H3["port"])

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        """A switch is there: what matches no other flow comes to us."""
        self.datapath = event.msg.datapath
        ofp, parser = self.datapath.ofproto, self.datapath.ofproto_parser
        self.add_flow(0, parser.OFPMatch(), ofp.OFPP_CONTROLLER)

    def add_flow(self, priority, match, port):
        ofp, parser = self.datapath.ofproto, self.datapath.ofproto_parser
        out = [parser.OFPActionOutput(port, ofp.OFPCML_NO_BUFFER)]
        apply = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, out)]
        self.datapath.send_msg(
            parser.OFPFlowMod(datapath=self.datapath, priority=priority, match=match, instructions=apply)
        )

    def send(self, data, in_port, port):
        ofp, parser = self.datapath.ofproto, self.datapath.ofproto_parser
        self.datapath.send_msg(
            parser.OFPPacketOut(
                datapath=self.datapath,
                buffer_id=ofp.OFP_NO_BUFFER,
                in_port=in_port,
                actions=[parser.OFPActionOutput(port)],
                data=data,
            )
        )

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        """Learn where the sender is, and send the packet to where its destination is."""
        message = event.msg
        in_port = message.match["in_port"]
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        self.port_of[frame.src] = in_port
        port = self.port_of.get(frame.dst)
        if port is not None:
            self.add_flow(1, message.datapath.ofproto_parser.OFPMatch(eth_dst=frame.dst), port)
        self.send(message.data, in_port, message.datapath.ofproto.OFPP_FLOOD if port is None else port)
