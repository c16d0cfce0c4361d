"""The shortest path. A solution."""

import networkx
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib.packet import ether_types, ethernet, packet
from ryu.ofproto import ofproto_v1_3
from ryu.topology import event as topology

LINK_PORTS = (3, 4)  # of every switch; at the others are hosts
ENOUGH_LINKS = 6  # three links in both directions: all switches are joined, also when one link is cut
PATH = 0x50


class ShortestPath(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.net = networkx.DiGraph()
        self.at = {}  # MAC address -> its switch and port
        self.datapaths = {}

    @set_ev_cls(topology.EventLinkAdd)
    def joined(self, event):
        source, target = event.link.src, event.link.dst
        self.net.add_edge(source.dpid, target.dpid, port=source.port_no)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        message = event.msg
        datapath, in_port = message.datapath, message.match["in_port"]
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        if frame.ethertype == ether_types.ETH_TYPE_LLDP or self.net.number_of_edges() < ENOUGH_LINKS:
            return
        if in_port not in LINK_PORTS:
            self.at[frame.src] = (datapath.id, in_port)
        where = self.at.get(frame.dst)
        if where is None:
            self.to_hosts(message)
            return
        self.install(frame.src, frame.dst, datapath.id, where)
        last, port = where
        parser = self.datapaths[last].ofproto_parser
        self.out(last, message.data, [parser.OFPActionOutput(port)])

    def to_hosts(self, message):
        """Send a packet for everybody out at the ports of all hosts but the one where it came in."""
        came = (message.datapath.id, message.match["in_port"])
        for number, datapath in self.datapaths.items():
            for port in datapath.ports:
                if port < 100 and port not in LINK_PORTS and (number, port) != came:
                    self.out(number, message.data, [datapath.ofproto_parser.OFPActionOutput(port)])

    def install(self, source, target, first, where):
        """Add the flows of the shortest path from a switch to a host."""
        last, port = where
        try:
            path = networkx.shortest_path(self.net, first, last)
        except (networkx.NetworkXNoPath, networkx.NodeNotFound):
            return
        for here, following in zip(path, [*path[1:], None], strict=True):
            out = port if following is None else self.net[here][following]["port"]
            parser = self.datapaths[here].ofproto_parser
            match = parser.OFPMatch(eth_src=source, eth_dst=target)
            self.add_flow(self.datapaths[here], 5, match, [parser.OFPActionOutput(out)], PATH)

    def out(self, number, data, actions):
        datapath = self.datapaths[number]
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath,
                buffer_id=ofp.OFP_NO_BUFFER,
                in_port=ofp.OFPP_CONTROLLER,
                actions=actions,
                data=data,
            )
        )

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        """A switch is there: what matches no other flow comes to us."""
        datapath = event.msg.datapath
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        to_us = [parser.OFPActionOutput(ofp.OFPP_CONTROLLER, ofp.OFPCML_NO_BUFFER)]
        self.add_flow(datapath, 0, parser.OFPMatch(), to_us)
        self.datapaths[datapath.id] = datapath

    def add_flow(self, datapath, priority, match, actions, cookie=0):
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        apply = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)]
        datapath.send_msg(
            parser.OFPFlowMod(
                datapath=datapath, cookie=cookie, priority=priority, match=match, instructions=apply
            )
        )

    @set_ev_cls(topology.EventLinkDelete)
    def cut(self, event):
        a, b = event.link.src.dpid, event.link.dst.dpid
        if self.net.has_edge(a, b):
            self.net.remove_edge(a, b)
        for datapath in self.datapaths.values():
            ofp, parser = datapath.ofproto, datapath.ofproto_parser
            datapath.send_msg(
                parser.OFPFlowMod(
                    datapath=datapath,
                    command=ofp.OFPFC_DELETE,
                    cookie=PATH,
                    cookie_mask=0xFFFFFFFF,
                    out_port=ofp.OFPP_ANY,
                    out_group=ofp.OFPG_ANY,
                    match=parser.OFPMatch(),
                )
            )
