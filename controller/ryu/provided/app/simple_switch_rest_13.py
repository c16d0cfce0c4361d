"""``ryu.app.simple_switch_rest_13``: a learning switch whose tables are read and filled by REST."""

from __future__ import annotations

import json
from typing import Any

from os_ken.app import simple_switch_13
from os_ken.app.wsgi import ControllerBase, Response, WSGIApplication, route
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, set_ev_cls
from os_ken.lib import dpid as dpid_lib

simple_switch_instance_name = "simple_switch_api_app"
url = "/simpleswitch/mactable/{dpid}"


class SimpleSwitchRest13(simple_switch_13.SimpleSwitch13):
    """Users' apps derive from it."""

    _CONTEXTS = {"wsgi": WSGIApplication}  # noqa: RUF012 - Ryu's way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.switches: dict[int, Any] = {}
        kwargs["wsgi"].register(SimpleSwitchController, {simple_switch_instance_name: self})

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def switch_features_handler(self, ev: Any) -> None:
        super().switch_features_handler(ev)
        datapath = ev.msg.datapath
        self.switches[datapath.id] = datapath
        self.mac_to_port.setdefault(datapath.id, {})

    def set_mac_to_port(self, dpid: int, entry: dict[str, Any]) -> dict[str, int]:
        """Add an entry, with flows between it and all that are known; the table."""
        table: dict[str, int] = self.mac_to_port.setdefault(dpid, {})
        datapath = self.switches.get(dpid)
        mac, port = entry["mac"], entry["port"]
        if datapath is not None and port not in table.values():
            parser = datapath.ofproto_parser
            for other, other_port in table.items():
                for source, target, here, there in ((mac, other, port, other_port),
                                                    (other, mac, other_port, port)):  # fmt: skip
                    match = parser.OFPMatch(in_port=here, eth_src=source, eth_dst=target)
                    self.add_flow(datapath, 1, match, [parser.OFPActionOutput(there)])
            table[mac] = port
        return table


class SimpleSwitchController(ControllerBase):
    """Answers requests for a switch's table."""

    def __init__(self, req: Any, link: Any, data: Any, **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self.simple_switch_app = data[simple_switch_instance_name]

    @route("simpleswitch", url, methods=["GET"], requirements={"dpid": dpid_lib.DPID_PATTERN})
    def list_mac_table(self, req: Any, **kwargs: Any) -> Response:
        table = self.simple_switch_app.mac_to_port.get(dpid_lib.str_to_dpid(kwargs["dpid"]))
        if table is None:
            return Response(status=404)
        return Response(content_type="application/json", text=json.dumps(table))

    @route("simpleswitch", url, methods=["PUT"], requirements={"dpid": dpid_lib.DPID_PATTERN})
    def put_mac_table(self, req: Any, **kwargs: Any) -> Response:
        dpid = dpid_lib.str_to_dpid(kwargs["dpid"])
        if dpid not in self.simple_switch_app.mac_to_port:
            return Response(status=404)
        try:
            table = self.simple_switch_app.set_mac_to_port(dpid, req.json)
        except (ValueError, KeyError, TypeError):
            return Response(status=400)
        return Response(content_type="application/json", text=json.dumps(table))
