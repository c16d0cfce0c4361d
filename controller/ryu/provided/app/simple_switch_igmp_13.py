"""``ryu.app.simple_switch_igmp_13``: a learning switch that asks for and follows IGMP."""

from __future__ import annotations

from typing import Any

from os_ken.app import simple_switch_13
from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import igmplib
from os_ken.lib.dpid import str_to_dpid


class SimpleSwitchIgmp13(simple_switch_13.SimpleSwitch13):
    """Users' apps derive from it."""

    _CONTEXTS = {"igmplib": igmplib.IgmpLib}  # noqa: RUF012 - Ryu's way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._snoop = kwargs["igmplib"]
        self._snoop.set_querier_mode(dpid=str_to_dpid("0000000000000001"), server_port=2)

    @set_ev_cls(igmplib.EventPacketIn, MAIN_DISPATCHER)
    def _packet_in_handler(self, ev: Any) -> None:
        super()._packet_in_handler(ev)

    @set_ev_cls(igmplib.EventMulticastGroupStateChanged, MAIN_DISPATCHER)
    def _status_changed(self, ev: Any) -> None:
        reasons = {
            igmplib.MG_GROUP_ADDED: "Multicast Group Added",
            igmplib.MG_MEMBER_CHANGED: "Multicast Group Member Changed",
            igmplib.MG_GROUP_REMOVED: "Multicast Group Removed",
        }
        self.logger.info(
            "%s: [%s] querier:[%s] hosts:%s", reasons.get(ev.reason), ev.address, ev.src, ev.dsts
        )
