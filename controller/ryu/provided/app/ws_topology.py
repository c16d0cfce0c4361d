"""``ryu.app.ws_topology``: tells each WebSocket of switches, links and hosts, as they come and go."""

from __future__ import annotations

from typing import Any

from os_ken.app.wsgi import ControllerBase, WebSocketRPCClient, WSGIApplication, websocket
from os_ken.app.wsgi_rpc import RPCError
from os_ken.base import app_manager
from os_ken.controller.handler import set_ev_cls
from os_ken.topology import event, switches


class WebSocketTopology(app_manager.OSKenApp):
    """Calls ``event_switch_enter`` and so on at the other end."""

    _CONTEXTS = {"wsgi": WSGIApplication, "switches": switches.Switches}  # noqa: RUF012 - Ryu's way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rpc_clients: list[WebSocketRPCClient] = []
        kwargs["wsgi"].register(WebSocketTopologyController, {"app": self})

    @set_ev_cls(event.EventSwitchEnter)
    def _event_switch_enter_handler(self, ev: Any) -> None:
        self._tell("event_switch_enter", ev.switch)

    @set_ev_cls(event.EventSwitchLeave)
    def _event_switch_leave_handler(self, ev: Any) -> None:
        self._tell("event_switch_leave", ev.switch)

    @set_ev_cls(event.EventLinkAdd)
    def _event_link_add_handler(self, ev: Any) -> None:
        self._tell("event_link_add", ev.link)

    @set_ev_cls(event.EventLinkDelete)
    def _event_link_delete_handler(self, ev: Any) -> None:
        self._tell("event_link_delete", ev.link)

    @set_ev_cls(event.EventHostAdd)
    def _event_host_add_handler(self, ev: Any) -> None:
        self._tell("event_host_add", ev.host)

    def _tell(self, name: str, what: Any) -> None:
        for client in list(self.rpc_clients):
            try:
                getattr(client.get_proxy(), name)(what.to_dict())
            except OSError:
                self.rpc_clients.remove(client)
            except RPCError as problem:
                self.logger.error("%s: %s", name, problem)


class WebSocketTopologyController(ControllerBase):
    """Serves WebSockets."""

    @websocket("topology", "/v1.0/topology/ws")
    def _websocket_handler(self, ws: Any) -> None:
        client = WebSocketRPCClient(ws)
        self.data["app"].rpc_clients.append(client)
        client.serve_forever()
