"""``ryu.app.simple_switch_stp_13``: a learning switch with a spanning tree."""

from __future__ import annotations

from typing import Any

from os_ken.app import simple_switch_13
from os_ken.app.learning import forget
from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import stplib
from os_ken.lib.dpid import dpid_to_str


class SimpleSwitchStp13(simple_switch_13.SimpleSwitch13):
    """Users' apps derive from it."""

    _CONTEXTS = {"stplib": stplib.Stp}  # noqa: RUF012 - Ryu's way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stp = kwargs["stplib"]
        priorities = {1: 0x8000, 2: 0x9000, 3: 0xA000}
        self.stp.set_config({dpid: {"bridge": {"priority": one}} for dpid, one in priorities.items()})

    @set_ev_cls(stplib.EventPacketIn, MAIN_DISPATCHER)
    def _packet_in_handler(self, ev: Any) -> None:
        super()._packet_in_handler(ev)

    @set_ev_cls(stplib.EventTopologyChange, MAIN_DISPATCHER)
    def _topology_change_handler(self, ev: Any) -> None:
        self.logger.debug("[dpid=%s] the tree changed: forget addresses", dpid_to_str(ev.dp.id))
        forget(ev.dp, self.mac_to_port.pop(ev.dp.id, {}))

    @set_ev_cls(stplib.EventPortStateChange, MAIN_DISPATCHER)
    def _port_state_change_handler(self, ev: Any) -> None:
        states = {
            stplib.PORT_STATE_DISABLE: "DISABLE",
            stplib.PORT_STATE_BLOCK: "BLOCK",
            stplib.PORT_STATE_LISTEN: "LISTEN",
            stplib.PORT_STATE_LEARN: "LEARN",
            stplib.PORT_STATE_FORWARD: "FORWARD",
        }
        self.logger.debug(
            "[dpid=%s][port=%d] state=%s", dpid_to_str(ev.dp.id), ev.port_no, states[ev.port_state]
        )
