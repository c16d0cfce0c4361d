"""``ryu.app.simple_switch``: a learning switch for OpenFlow 1.0."""

from __future__ import annotations

from typing import Any

from os_ken.app.learning import LearningSwitch
from os_ken.controller import ofp_event
from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.mac import haddr_to_bin
from os_ken.ofproto import ofproto_v1_0


class SimpleSwitch(LearningSwitch):
    """Users' apps derive from it."""

    OFP_VERSIONS = [ofproto_v1_0.OFP_VERSION]  # noqa: RUF012 - Ryu's way

    def add_flow(self, datapath: Any, in_port: int, dst: str, src: str, actions: Any) -> None:
        ofproto, parser = datapath.ofproto, datapath.ofproto_parser
        match = parser.OFPMatch(in_port=in_port, dl_dst=haddr_to_bin(dst), dl_src=haddr_to_bin(src))
        datapath.send_msg(
            parser.OFPFlowMod(
                datapath=datapath,
                match=match,
                cookie=0,
                command=ofproto.OFPFC_ADD,
                idle_timeout=0,
                hard_timeout=0,
                priority=ofproto.OFP_DEFAULT_PRIORITY,
                flags=ofproto.OFPFF_SEND_FLOW_REM,
                actions=actions,
            )
        )

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def _packet_in_handler(self, ev: Any) -> None:
        msg = ev.msg
        way = self.learned(msg)
        if way is None:
            return
        in_port, destination, source, out_port = way
        actions = [msg.datapath.ofproto_parser.OFPActionOutput(out_port)]
        if out_port != msg.datapath.ofproto.OFPP_FLOOD:
            self.add_flow(msg.datapath, in_port, destination, source, actions)
        self.forward(msg, in_port, actions)

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def _port_status_handler(self, ev: Any) -> None:
        msg = ev.msg
        ofproto = msg.datapath.ofproto
        words = {
            ofproto.OFPPR_ADD: "added",
            ofproto.OFPPR_DELETE: "deleted",
            ofproto.OFPPR_MODIFY: "modified",
        }
        self.logger.info("port %s %s", words.get(msg.reason, msg.reason), msg.desc.port_no)
