"""``ryu.app.rest_topology``: switches, links and hosts that were seen, by REST."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from os_ken.app.wsgi import ControllerBase, Response, WSGIApplication, route
from os_ken.base import app_manager
from os_ken.lib import dpid as dpid_lib
from os_ken.topology.api import get_host, get_link, get_switch

_NAMED = {"dpid": dpid_lib.DPID_PATTERN}


class TopologyAPI(app_manager.OSKenApp):
    """Serves what the app ``switches`` has seen; links need ``--observe-links``."""

    _CONTEXTS = {"wsgi": WSGIApplication}  # noqa: RUF012 - Ryu's way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kwargs["wsgi"].register(TopologyController, {"topology_api_app": self})


class TopologyController(ControllerBase):
    """Answers requests."""

    def __init__(self, req: Any, link: Any, data: Any, **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self.topology_api_app = data["topology_api_app"]

    @route("topology", "/v1.0/topology/switches", methods=["GET"])
    def list_switches(self, req: Any, **more: Any) -> Response:
        return self._listed(get_switch, more)

    @route("topology", "/v1.0/topology/switches/{dpid}", methods=["GET"], requirements=_NAMED)
    def get_switch(self, req: Any, **more: Any) -> Response:
        return self._listed(get_switch, more)

    @route("topology", "/v1.0/topology/links", methods=["GET"])
    def list_links(self, req: Any, **more: Any) -> Response:
        return self._listed(get_link, more)

    @route("topology", "/v1.0/topology/links/{dpid}", methods=["GET"], requirements=_NAMED)
    def get_links(self, req: Any, **more: Any) -> Response:
        return self._listed(get_link, more)

    @route("topology", "/v1.0/topology/hosts", methods=["GET"])
    def list_hosts(self, req: Any, **more: Any) -> Response:
        return self._listed(get_host, more)

    @route("topology", "/v1.0/topology/hosts/{dpid}", methods=["GET"], requirements=_NAMED)
    def get_hosts(self, req: Any, **more: Any) -> Response:
        return self._listed(get_host, more)

    def _listed(self, ask: Callable[..., Any], more: dict[str, Any]) -> Response:
        dpid = dpid_lib.str_to_dpid(more["dpid"]) if "dpid" in more else None
        answers = [one.to_dict() for one in ask(self.topology_api_app, dpid)]
        return Response(content_type="application/json", text=json.dumps(answers))
