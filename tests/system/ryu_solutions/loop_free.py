"""Flooding without loops. A solution."""

import networkx
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, set_ev_cls
from ryu.ofproto import ofproto_v1_3
from ryu.topology import event as topology

HOST_PORT = 1  # of every switch; its other ports lead to switches


def tree(links):
    """The links of a spanning tree, out of ``links``: pairs of switches, (1, 2) for the link of s1 and s2."""
    graph = networkx.Graph(sorted(links))
    return {tuple(sorted(link)) for link in networkx.minimum_spanning_edges(graph, data=False)}


class LoopFree(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.port_to = {}  # (switch, its neighbour) -> port
        self.datapaths = {}

    def flood_ports(self, switch):
        """The ports of a switch at which it sends what is for everybody."""
        used = tree({tuple(sorted(ends)) for ends in self.port_to})
        links = {
            port for ends, port in self.port_to.items() if ends[0] == switch and tuple(sorted(ends)) in used
        }
        return {HOST_PORT} | links

    @set_ev_cls(topology.EventLinkAdd)
    def joined(self, event):
        source, target = event.link.src, event.link.dst
        self.port_to[source.dpid, target.dpid] = source.port_no
        self.use_tree()

    @set_ev_cls(topology.EventLinkDelete)
    def cut(self, event):
        self.port_to.pop((event.link.src.dpid, event.link.dst.dpid), None)
        self.use_tree()

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        """A switch is there; what no flow takes it drops."""
        self.datapaths[event.msg.datapath.id] = event.msg.datapath
        self.use_tree()

    def use_tree(self):
        """Let each switch send what comes in at a port of the tree out at its other ports of the tree."""
        for number, datapath in self.datapaths.items():
            ofp, parser = datapath.ofproto, datapath.ofproto_parser
            ports = self.flood_ports(number)
            print("switch", number, "uses its ports", sorted(ports))
            for port in range(1, 5):
                out = [parser.OFPActionOutput(other) for other in sorted(ports - {port})]
                apply = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, out if port in ports else [])]
                match = parser.OFPMatch(in_port=port)
                # A flow with the same match and priority takes the place of the old one.
                datapath.send_msg(
                    parser.OFPFlowMod(datapath=datapath, priority=1, match=match, instructions=apply)
                )
