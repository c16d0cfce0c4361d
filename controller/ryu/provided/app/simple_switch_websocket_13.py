"""``ryu.app.simple_switch_websocket_13``: a learning switch that tells of packets by WebSocket."""

from __future__ import annotations

import json
from typing import Any

from os_ken.app import simple_switch_13
from os_ken.app.wsgi import ControllerBase, WebSocketRPCServer, WSGIApplication, rpc_public, websocket
from os_ken.controller import ofp_event
from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import packet

simple_switch_instance_name = "simple_switch_api_app"
url = "/simpleswitch/ws"


class SimpleSwitchWebSocket13(simple_switch_13.SimpleSwitch13):
    """Users' apps derive from it."""

    _CONTEXTS = {"wsgi": WSGIApplication}  # noqa: RUF012 - Ryu's way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        wsgi = kwargs["wsgi"]
        wsgi.register(SimpleSwitchWebSocketController, data={simple_switch_instance_name: self})
        self._ws_manager = wsgi.websocketmanager

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def _packet_in_handler(self, ev: Any) -> None:
        super()._packet_in_handler(ev)
        self._ws_manager.broadcast(str(packet.Packet(ev.msg.data)))

    @rpc_public
    def get_arp_table(self) -> str:
        """The learned addresses, as JSON."""
        return json.dumps(self.mac_to_port)


class SimpleSwitchWebSocketController(ControllerBase):
    """Serves WebSockets."""

    def __init__(self, req: Any, link: Any, data: Any, **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self.simple_switch_app = data[simple_switch_instance_name]

    @websocket("simpleswitch", url)
    def _websocket_handler(self, ws: Any) -> None:
        WebSocketRPCServer(ws, self.simple_switch_app).serve_forever()
