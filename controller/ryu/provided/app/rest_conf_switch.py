"""``ryu.app.rest_conf_switch``: values that apps keep for each switch, by REST."""

from __future__ import annotations

import json
from typing import Any

from os_ken.app.wsgi import ControllerBase, Response, WSGIApplication, route
from os_ken.base import app_manager
from os_ken.controller import conf_switch
from os_ken.lib import dpid as dpid_lib

_ALL = "/v1.0/conf/switches"
_ONE = _ALL + "/{dpid}"
_KEY = _ONE + "/{key}"
_NAMED = {"dpid": dpid_lib.DPID_PATTERN}


def _json(value: Any) -> Response:
    return Response(content_type="application/json", text=json.dumps(value))


class ConfSwitchController(ControllerBase):
    """``data`` is the set of values."""

    def __call__(self, req: Any) -> Any:
        try:
            return super().__call__(req)
        except KeyError as problem:
            return Response(status=404, text=f"no dpid/key is found {problem}")

    @route("conf_switch", _ALL, methods=["GET"])
    def list_switches(self, req: Any, **_more: Any) -> Response:
        return _json([dpid_lib.dpid_to_str(dpid) for dpid in self.data.dpids()])

    @route("conf_switch", _ONE, methods=["DELETE"], requirements=_NAMED)
    def delete_switch(self, req: Any, dpid: str, **_more: Any) -> Response:
        self.data.del_dpid(dpid_lib.str_to_dpid(dpid))
        return Response(status=202)

    @route("conf_switch", _ONE, methods=["GET"], requirements=_NAMED)
    def list_keys(self, req: Any, dpid: str, **_more: Any) -> Response:
        return _json(list(self.data.keys(dpid_lib.str_to_dpid(dpid))))

    @route("conf_switch", _KEY, methods=["PUT"], requirements=_NAMED)
    def set_key(self, req: Any, dpid: str, key: str, **_more: Any) -> Response:
        try:
            value = req.json if req.body else {}
        except ValueError:
            return Response(status=400, text="the body is no JSON")
        self.data.set_key(dpid_lib.str_to_dpid(dpid), key, value)
        return Response(status=201)

    @route("conf_switch", _KEY, methods=["GET"], requirements=_NAMED)
    def get_key(self, req: Any, dpid: str, key: str, **_more: Any) -> Response:
        return _json(self.data.get_key(dpid_lib.str_to_dpid(dpid), key))

    @route("conf_switch", _KEY, methods=["DELETE"], requirements=_NAMED)
    def delete_key(self, req: Any, dpid: str, key: str, **_more: Any) -> Response:
        self.data.del_key(dpid_lib.str_to_dpid(dpid), key)
        return Response()


class ConfSwitchAPI(app_manager.OSKenApp):
    """Serves the values."""

    _CONTEXTS = {  # noqa: RUF012 - Ryu's way
        "conf_switch": conf_switch.ConfSwitchSet,
        "wsgi": WSGIApplication,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conf_switch = kwargs["conf_switch"]
        kwargs["wsgi"].register(ConfSwitchController, self.conf_switch)
