"""``ryu.app.simple_switch_15``: a learning switch for OpenFlow 1.5."""

from __future__ import annotations

from typing import Any

from os_ken.app.learning import LearningSwitch
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import ofproto_v1_5


class SimpleSwitch15(LearningSwitch):
    """Users' apps derive from it, and replace or call its handlers."""

    OFP_VERSIONS = [ofproto_v1_5.OFP_VERSION]  # noqa: RUF012 - Ryu's way

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def switch_features_handler(self, ev: Any) -> None:
        self.miss(ev.msg.datapath)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def _packet_in_handler(self, ev: Any) -> None:
        self.handle(ev.msg)
