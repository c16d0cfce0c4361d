"""``ryu.app.simple_switch_lacp_13``: a learning switch with link aggregation."""

from __future__ import annotations

from typing import Any

from os_ken.app import simple_switch_13
from os_ken.app.learning import forget
from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import lacplib
from os_ken.lib.dpid import str_to_dpid


class SimpleSwitchLacp13(simple_switch_13.SimpleSwitch13):
    """Users' apps derive from it."""

    _CONTEXTS = {"lacplib": lacplib.LacpLib}  # noqa: RUF012 - Ryu's way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lacp = kwargs["lacplib"]
        self._lacp.add(dpid=str_to_dpid("0000000000000001"), ports=[1, 2])

    @set_ev_cls(lacplib.EventPacketIn, MAIN_DISPATCHER)
    def _packet_in_handler(self, ev: Any) -> None:
        super()._packet_in_handler(ev)

    @set_ev_cls(lacplib.EventSlaveStateChanged, MAIN_DISPATCHER)
    def _slave_state_changed_handler(self, ev: Any) -> None:
        self.logger.info("slave state changed port: %d enabled: %s", ev.port, ev.enabled)
        forget(ev.datapath, self.mac_to_port.pop(ev.datapath.id, {}))
