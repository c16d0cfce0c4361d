"""The usual reactive learning switch, as in Ryu's ``simple_switch_13``: the peer of ``first_packet``.

Every unknown packet visits the controller, which learns the source, floods or forwards, and installs a
flow for the pair. ``python -m bench.learning_switch`` listens on TCP 6653.
"""

from __future__ import annotations

from os_ken import cfg  # noqa: F401  (registers the options that the manager reads)
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ether_types, ethernet, packet
from os_ken.ofproto import ofproto_v1_3


class LearningSwitch(app_manager.OSKenApp):
    """Learns which address is behind which port, per switch."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]  # noqa: RUF012 (os-ken's own declaration)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.port_of: dict[int, dict[str, int]] = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event) -> None:
        """Send what no flow matches to the controller."""
        datapath = event.msg.datapath
        protocol, parser = datapath.ofproto, datapath.ofproto_parser
        output = [parser.OFPActionOutput(protocol.OFPP_CONTROLLER, protocol.OFPCML_NO_BUFFER)]
        self.add(datapath, 0, parser.OFPMatch(), output)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event) -> None:
        """Learn the source; forward to where the destination was seen, or everywhere."""
        message = event.msg
        datapath = message.datapath
        protocol, parser = datapath.ofproto, datapath.ofproto_parser
        in_port = message.match["in_port"]
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        if frame.ethertype == ether_types.ETH_TYPE_LLDP:
            return
        known = self.port_of.setdefault(datapath.id, {})
        known[frame.src] = in_port
        out = known.get(frame.dst, protocol.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(out)]
        if out != protocol.OFPP_FLOOD:
            match = parser.OFPMatch(in_port=in_port, eth_dst=frame.dst, eth_src=frame.src)
            self.add(datapath, 1, match, actions)
        data = message.data if message.buffer_id == protocol.OFP_NO_BUFFER else None
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath, buffer_id=message.buffer_id, in_port=in_port, actions=actions, data=data
            )
        )

    @staticmethod
    def add(datapath, priority: int, match, actions) -> None:
        """Install a flow."""
        protocol, parser = datapath.ofproto, datapath.ofproto_parser
        apply = parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS, actions)
        flow = parser.OFPFlowMod(datapath=datapath, priority=priority, match=match, instructions=[apply])
        datapath.send_msg(flow)


if __name__ == "__main__":
    from os_ken.lib import hub

    manager = app_manager.AppManager()
    manager.load_apps(["bench.learning_switch", "os_ken.controller.ofp_handler"])
    hub.joinall(manager.instantiate_apps(**manager.create_contexts()))
