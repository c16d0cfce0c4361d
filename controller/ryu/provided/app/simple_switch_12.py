"""``ryu.app.simple_switch_12``: a learning switch for OpenFlow 1.2."""

from __future__ import annotations

from typing import Any

from os_ken.app.learning import LearningSwitch
from os_ken.controller import ofp_event
from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import ofproto_v1_2


class SimpleSwitch12(LearningSwitch):
    """Users' apps derive from it. A switch of 1.2 sends what nothing matches by itself."""

    OFP_VERSIONS = [ofproto_v1_2.OFP_VERSION]  # noqa: RUF012 - Ryu's way

    def add_flow(self, datapath: Any, port: int, dst: str, src: str, actions: Any) -> None:
        match = datapath.ofproto_parser.OFPMatch(in_port=port, eth_dst=dst, eth_src=src)
        super().add_flow(datapath, 0x8000, match, actions)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def _packet_in_handler(self, ev: Any) -> None:
        self.handle(ev.msg)
